import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from starloom.catalog.tables import read_table
from starloom.errors import CatalogError, ConfigError, FitError, ModelFileError
from starloom.galaxies.augmentation import Augmentation, symmetries
from starloom.galaxies.embedding import embed
from starloom.galaxies.encoder_weights import load_encoder
from starloom.galaxies.encoders import encoder
from starloom.galaxies.finetune import fit, with_settings
from starloom.galaxies.image_feed import ImageFeed
from starloom.galaxies.image_model import ImageModel
from starloom.galaxies.image_sources import image_source
from starloom.galaxies.image_training import DEEP, LINEAR, SCRATCH, Network, parameter_groups, set_learning
from starloom.galaxies.images import ImageForm
from starloom.galaxies.linear_head import fit_linear
from starloom.galaxies.tasks import Classification, Regression, Votes
from starloom.galaxies.votes import Question, VoteSchema, schema
from starloom.neural.training import seeded
from starloom.seeds import generator

SHORT = replace(SCRATCH, epochs=2, batch=16, held_out=0.25)
TASK = Classification([0, 1])


def fresh(name="convnext_speck", channels=1, seed=3):
    with seeded(torch.Generator().manual_seed(seed)):
        return encoder(name, channels)


@pytest.fixture(scope="module")
def galaxies():
    """Ellipses of known axis ratio at any angle, and stripes or none: (images, axis ratios, striped)."""
    rng = np.random.default_rng(1)
    count, size = 96, 32
    ratio, angle, striped = rng.uniform(0.25, 1.0, count), rng.uniform(0, np.pi, count), np.arange(count) % 2
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    images = np.empty((count, 1, size, size), np.float32)
    for row in range(count):
        u = x * np.cos(angle[row]) + y * np.sin(angle[row])
        v = (y * np.cos(angle[row]) - x * np.sin(angle[row])) / ratio[row]
        images[row, 0] = np.exp(-3 * np.hypot(u, v)) * (1 - 0.7 * striped[row] * (np.sin(20 * x) > 0))
    return np.clip(images + rng.normal(0, 0.02, images.shape), 0, 1).astype(np.float32), ratio, striped


@pytest.fixture(scope="module")
def linear(galaxies):
    images, _, striped = galaxies
    return fit(images, striped, TASK, encoder=fresh(), seed=2)


def test_a_linear_fit_learns_and_leaves_the_encoder_alone(galaxies, linear):
    images, _, striped = galaxies
    for key, value in fresh().state_dict().items():
        assert torch.equal(value, linear.encoder.state_dict()[key])
    answers = linear.predict(images)
    assert (answers["class"] == striped).mean() > 0.9
    assert answers["probability_0"] + answers["probability_1"] == pytest.approx(1.0)
    assert linear.history["linear"]["penalty"] in map(float, linear.history["linear"]["cross_validated"])


@pytest.mark.parametrize("name", ["convnext_speck", "resnet_speck", "efficientnet_lite_speck"])
def test_frozen_means_frozen(galaxies, name):
    """Parameters and running statistics of the parts that do not learn, bit for bit."""
    images, _, striped = galaxies
    made = fresh(name)
    before = {key: value.clone() for key, value in made.state_dict().items()}
    fit(images, striped, TASK, encoder=made, settings=replace(SHORT, parts=2), seed=1)
    parts = made.parts()
    learning = {id(m) for part in parts[:2] for top in part for m in top.modules()}
    moved, owner = set(), {}
    for path, module in made.named_modules():
        for key, value in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
            full = f"{path}.{key}" if path else key
            if full in before:
                owner[full] = id(module) in learning
                if not torch.equal(before[full], value):
                    moved.add(full)
    assert moved
    assert all(owner[name] for name in moved)


def test_rates_fall_by_the_factor_from_part_to_part():
    made = encoder("convnext_speck", 1)
    network = Network(made, nn.Linear(made.out_features, 2), 0.1)
    settings = replace(DEEP, parts=3, learning_rate=1e-3, lr_decay=0.25)
    groups = parameter_groups(network, settings)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    parts = made.parts()
    assert {rates[id(p)] for p in network.layer.parameters()} == {1e-3}
    for place in range(3):
        found = {rates[id(p)] for module in parts[place] for p in module.parameters()}
        assert found == {1e-3 * 0.25**place}
    for part in parts[3:]:
        assert all(id(p) not in rates and not p.requires_grad for m in part for p in m.parameters())
    set_learning(network, settings)
    assert parts[0][0].training
    assert not parts[3][0].training
    assert all(group["weight_decay"] == (0.05 if group["params"][0].dim() > 1 else 0.0) for group in groups)


def test_saved_models_answer_the_same_bits(galaxies, tmp_path, linear):
    images, _, _ = galaxies
    linear.save(tmp_path / "model")
    loaded = ImageModel.load(tmp_path / "model")
    one, other = linear.predict(images), loaded.predict(images)
    assert np.array_equal(one["probability_1"], other["probability_1"])
    assert loaded.history == linear.history
    assert loaded.form == linear.form
    # its encoder begins another training
    assert torch.equal(load_encoder(tmp_path / "model").stem[0].weight, linear.encoder.stem[0].weight)


def test_threads_and_batches_of_one_change_nothing(galaxies, linear):
    images, _, _ = galaxies
    both = [linear.predict(images, workers=workers)["probability_1"] for workers in (1, 3)]
    assert np.array_equal(*both)
    single = linear.predict(images[:1])
    assert len(single) == 1
    assert single["probability_1"][0] == pytest.approx(both[0][0], abs=1e-6)
    assert np.array_equal(linear.embed(images, workers=2), embed(linear.encoder, images, linear.form, workers=1))


def test_the_same_seed_gives_the_same_training_and_a_checkpoint_goes_on(galaxies, tmp_path):
    images, ratio, _ = galaxies
    task = Regression(unit_interval=True)
    settings = replace(SHORT, epochs=4)
    whole = fit(images, ratio, task, encoder="resnet_speck", settings=settings, seed=5)
    again = fit(images, ratio, task, encoder="resnet_speck", settings=settings, seed=5, workers=1)
    path = tmp_path / "state.safetensors"
    fit(images, ratio, task, encoder="resnet_speck", settings=settings, seed=5, checkpoint=path, until=2)
    resumed = fit(images, ratio, task, encoder="resnet_speck", settings=settings, seed=5, checkpoint=path)
    assert resumed.history["training"]["resumed_at"] == 2
    expected = whole.predict(images)["predicted_label"]
    for other in (again, resumed):
        assert np.array_equal(other.predict(images)["predicted_label"], expected)
    assert ((expected > 0) & (expected < 1)).all()
    with pytest.raises(ModelFileError, match="other settings"):
        fit(images, ratio, task, encoder="resnet_speck", settings=settings, seed=6, checkpoint=path)


def test_deep_training_learns_votes_and_stops_early(galaxies):
    images, ratio, _ = galaxies
    rng = np.random.default_rng(4)
    totals = rng.integers(20, 60, len(ratio))
    yes = rng.binomial(totals, ratio)
    votes = np.stack([yes, totals - yes], axis=1).astype(float)
    task = Votes(VoteSchema([Question("round", ("yes", "no"))]))
    settings = replace(SCRATCH, epochs=14, batch=16, held_out=0.2, patience=3, learning_rate=3e-3)
    model = fit(images, votes, task, encoder="convnext_speck", settings=settings, seed=1)
    answers = model.predict(images, views=2)
    error = np.sqrt(np.mean((answers["round_yes_fraction"] - ratio) ** 2))
    assert error < 0.6 * ratio.std()
    record = model.history["training"]
    assert record["best_epoch"] == int(np.argmin(record["held_out_losses"])) + 1
    assert (answers["round_yes_fraction"] + answers["round_no_fraction"]) == pytest.approx(1.0)
    assert (answers["round_yes_fraction_error"] > 0).all()
    # the concentrations are a Dirichlet distribution of the same mean
    a = task.concentrations(answers)
    assert a[:, 0] / a.sum(axis=1) == pytest.approx(answers["round_yes_fraction"])


def test_training_stops_early_when_nothing_is_to_be_learned(galaxies):
    images, _, _ = galaxies
    labels = np.random.default_rng(3).integers(0, 2, len(images))
    settings = replace(SHORT, epochs=12, patience=2, learning_rate=1e-2)
    record = fit(images, labels, TASK, encoder="convnext_speck", settings=settings, seed=2).history["training"]
    assert record["stopped_early"]
    assert len(record["held_out_losses"]) == record["best_epoch"] + 2 < 12


def test_passes_scatter_and_repeat(galaxies):
    images, _, striped = galaxies
    settings = replace(SHORT, dropout=0.5, start_linear=True, epochs=1)
    model = fit(images, striped, TASK, encoder="convnext_speck", settings=settings, seed=1)
    answers = model.predict(images, passes=20, seed=4)
    assert (answers["probability_1_error"] > 0).all()
    assert np.array_equal(
        answers["probability_1"], model.predict(images, passes=20, seed=4, workers=1)["probability_1"]
    )
    assert not np.array_equal(answers["probability_1"], model.predict(images, passes=20, seed=5)["probability_1"])
    assert np.abs(answers["probability_1"] - model.predict(images)["probability_1"]).max() < 0.3
    linear = replace(LINEAR, dropout=0.0)
    with pytest.raises(ConfigError, match="without dropout"):
        fit(images, striped, TASK, encoder="convnext_speck", settings=linear).predict(images, passes=2)
    with pytest.raises(ConfigError, match="views 1 to 8"):
        model.predict(images, views=9)


def test_color_and_gray_and_own_modules(galaxies, tmp_path):
    images, _, striped = galaxies
    color = np.repeat(images, 3, axis=1)
    model = fit(color, striped, TASK, encoder="convnext_speck", seed=1)
    assert model.form.channels == 3
    gray_in_color = model.predict(images)  # gray images into a color model
    assert gray_in_color["probability_1"] == pytest.approx(model.predict(color)["probability_1"], abs=1e-5)
    own = nn.Sequential(nn.Conv2d(1, 8, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    mine = fit(images, striped, TASK, encoder=own, settings=SHORT, seed=1)
    mine.save(tmp_path / "own")
    with pytest.raises(ModelFileError, match="encoder_module"):
        ImageModel.load(tmp_path / "own")
    blank = nn.Sequential(nn.Conv2d(1, 8, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    loaded = ImageModel.load(tmp_path / "own", encoder_module=blank)
    assert np.array_equal(loaded.predict(images)["probability_1"], mine.predict(images)["probability_1"])


def test_images_that_cannot_be_read_are_said_and_passed_by(galaxies):
    images, _, striped = galaxies
    mixed = [images[row] for row in range(40)]
    mixed[3], mixed[5] = b"broken", np.full((1, 32, 32), np.nan, np.float32)
    labels = np.array([*map(str, striped[:40])], dtype=object)
    labels[7], labels[8] = "", "spiral"
    task = Classification(["0", "1"])
    for settings in (LINEAR, SHORT):
        model = fit(mixed, labels.astype(str), task, encoder="convnext_speck", settings=settings, seed=1,
                    form=ImageForm(size=32, channels=1))  # fmt: skip
        rows = model.training_rows
        assert np.flatnonzero(np.asarray(rows["reason"]) != "").tolist() == [3, 5, 7, 8]
        assert "unknown class spiral" in rows["reason"][8]
        assert model.history["used"] == 36
    answers = model.predict(mixed)
    assert np.isnan(answers["probability_1"][[3, 5]]).all()
    assert answers["class"].mask[[3, 5]].all()
    assert np.isfinite(answers["probability_1"][[0, 1, 2, 4]]).all()
    assert np.isnan(model.embed(mixed)[3]).all()


def test_images_beyond_the_memory_are_read_in_every_pass(galaxies):
    images, _, _ = galaxies
    mixed = [images[row] for row in range(20)]
    mixed[4] = b"broken"
    source, form = image_source(mixed), ImageForm(size=32, channels=1)
    kept, streamed = ImageFeed(source, form), ImageFeed(source, form, memory=0, workers=2)
    assert streamed.pixels is None
    parts = [np.array([4, 1]), np.array([7]), np.array([0, 19, 2])]
    for (a, usable), (b, readable) in zip(kept.batches(parts), streamed.batches(parts), strict=True):
        assert torch.allclose(a, b, atol=1e-3)
        assert torch.equal(usable, readable)
    assert [row for row, reason in enumerate(streamed.reasons) if reason] == [4]


def test_a_contrastive_branch_uses_images_without_labels(galaxies):
    images, _, striped = galaxies
    labels = striped.astype(float)
    labels[20:] = np.nan
    settings = replace(SHORT, epochs=2, contrastive=0.5, precision="bfloat16")
    model = fit(images, labels, TASK, encoder="resnet_speck", settings=settings, seed=1)
    assert model.history["labeled"] == 20
    assert np.isfinite(model.history["training"]["train_losses"]).all()
    assert not any("branch" in name for name in model.encoder.state_dict())


def test_a_linear_fit_is_that_of_a_closed_form():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(50, 4)) * [1.0, 10.0, 0.1, 1.0] + 3.0
    y = x @ [1.0, -0.2, 3.0, 0.0] + 0.5 + rng.normal(0, 0.3, 50)
    penalty = 0.05
    found = fit_linear(torch.tensor(x), torch.tensor(y[:, None]), Regression(), generator(1), penalties=(penalty,))
    z = (x - x.mean(0)) / x.std(0, ddof=1)
    weight = np.linalg.solve(2 / 50 * z.T @ z + penalty * np.eye(4), 2 / 50 * z.T @ (y - y.mean()))
    expected = y.mean() + z @ weight
    with torch.no_grad():
        assert found.layer(torch.tensor(x).float())[:, 0].numpy() == pytest.approx(expected, abs=1e-4)


def test_views_and_augmentations():
    images = torch.rand(5, 2, 16, 16)
    views = torch.stack([symmetries(images, which) for which in range(8)])
    assert len({view.numpy().tobytes() for view in views}) == 8
    assert torch.equal(symmetries(symmetries(images, 4), 4), images)
    nothing = Augmentation(rotate=0, mirror=False, shift=0, zoom=(1.0, 1.0))
    assert nothing(images, torch.Generator()) is images
    # a round image looks the same after any turn
    y, x = torch.meshgrid(torch.arange(-15.5, 16), torch.arange(-15.5, 16), indexing="ij")
    disk = torch.exp(-((torch.hypot(x, y) / 6) ** 2)).expand(6, 1, -1, -1)
    turned = Augmentation(shift=0, zoom=(1.0, 1.0))(disk, torch.Generator().manual_seed(1))
    assert torch.allclose(turned, disk, atol=0.03)
    # processes change their share as it is changed in the whole batch
    changed = Augmentation(erase=3)
    whole = changed(images, torch.Generator().manual_seed(2))
    for rank in range(2):
        part = changed(images[rank::2], torch.Generator().manual_seed(2), (rank, 2, 5))
        assert torch.allclose(part, whole[rank::2])
    with pytest.raises(ConfigError):
        Augmentation(rotate=270)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: fit(x, np.zeros(3), TASK), CatalogError, "96 images and 3 labels"),
        (lambda x: fit(x, None, TASK), CatalogError, "no labels"),
        (lambda x: fit(x, np.full(96, np.nan), TASK), FitError, "0 of 96 images have a label"),
        (lambda x: fit(x[:1], np.zeros(1), TASK), FitError, "1 of 1 images"),
        (lambda x: fit(x, read_table({"a": np.zeros(96)}), TASK), CatalogError, "lack the column 'label'"),
        (lambda x: fit(x, np.array(["a"] * 96), Regression()), CatalogError, "not numbers"),
        (lambda x: fit(x, np.zeros((96, 3)), Votes(schema("rings"))), CatalogError, r"not \(n, 2\)"),
        (lambda x: fit(x, np.zeros(96), TASK, held_out=np.zeros(3, bool)), CatalogError, "held_out"),
        (lambda x: fit(x, np.zeros(96), TASK, encoder="convnext_spek"), ConfigError, "did you mean"),
        (lambda x: fit(x, np.zeros(96), TASK, encoder=encoder("convnext_speck"), form=ImageForm(32, 1)), ConfigError,
         "3 channels and the form has 1"),
        (lambda x: Classification([1]), ConfigError, "two or more"),
        (lambda x: Classification([1, 2], class_weights=[1.0]), ConfigError, "one positive weight"),
        (lambda x: Classification([1, 2], label_smoothing=1.0), ConfigError, "label_smoothing"),
        (lambda x: Regression(loss="huber"), ConfigError, "mse or mae"),
        (lambda x: with_settings(LINEAR, blocks=3), ConfigError, "no such setting"),
        (lambda x: with_settings(LINEAR, parts=-2), ConfigError, "cannot be"),
        (lambda x: with_settings(LINEAR, views=9), ConfigError, "views from 1 to 8"),
        (lambda x: ImageModel.load("/nowhere"), ModelFileError, "no saved model"),
    ],
)  # fmt: skip
def test_wrong_input_is_said(galaxies, call, error, message):
    with pytest.raises(error, match=message):
        call(galaxies[0])


def test_tasks_take_labels_of_any_kind():
    targets, reasons = Classification([0, 1]).targets(np.array([1.0, 0.0, np.nan, 2.0]))
    assert targets.tolist() == [1, 0, 0, 0]
    assert reasons.tolist() == ["", "", "no label", "unknown class 2"]
    assert Classification([0, 1]).targets(np.array([True, False]))[0].tolist() == [1, 0]
    masked = read_table({"label": np.ma.masked_array([1, 0], mask=[False, True])})
    assert Classification([0, 1]).targets(masked)[1].tolist() == ["", "no label"]
    values, reasons = Regression(["a", "b"], unit_interval=True).targets(
        read_table({"a": [0.5, 2.0, np.nan], "b": [0.1, 0.2, 0.3]})
    )
    assert reasons.tolist() == ["", "label outside 0 to 1", "no label"]
    assert values[0].tolist() == pytest.approx([0.5, 0.1])
    smooth = Classification([0, 1], label_smoothing=0.2, class_weights=[1.0, 3.0])
    loss = smooth.losses(torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
    logs = torch.log_softmax(torch.tensor([2.0, 0.0]), 0)
    assert float(loss) == pytest.approx(float(-(0.9 * logs[0] + 3.0 * 0.1 * logs[1])), rel=1e-5)


SCRIPT = """
import sys
import numpy as np
from dataclasses import replace
from starloom.galaxies.finetune import fit
from starloom.galaxies.image_training import SCRATCH
from starloom.galaxies.tasks import Regression
from starloom.neural.processes import process_group, world
data = np.load(sys.argv[1])
settings = replace(SCRATCH, epochs=2, batch=16, dropout=0.0, learning_rate=1e-3)
with process_group():
    model = fit(data["images"], data["ratio"], Regression(), encoder="convnext_speck", settings=settings, seed=7)
    if world()[0] == 0:
        model.save(sys.argv[2])
"""


def test_two_processes_train_as_one(galaxies, tmp_path):
    """torchrun with gloo: shares of the same batches, the same augmentations, the gradient of the whole batch."""
    images, ratio, _ = galaxies
    np.savez(tmp_path / "data.npz", images=images, ratio=ratio)
    (tmp_path / "train.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3] / "src"), "OMP_NUM_THREADS": "1"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    both = [*launch, str(tmp_path / "train.py"), str(tmp_path / "data.npz"), str(tmp_path / "two")]
    done = subprocess.run(both, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    settings = replace(SCRATCH, epochs=2, batch=16, dropout=0.0, learning_rate=1e-3)
    alone = fit(images, ratio, Regression(), encoder="convnext_speck", settings=settings, seed=7)
    alone.save(tmp_path / "one")
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    start = fresh(seed=99).state_dict()
    assert any(not torch.equal(one[f"encoder.{key}"], start[key]) for key in start)
    for key in one:
        assert torch.allclose(one[key], two[key], atol=2e-4), key
