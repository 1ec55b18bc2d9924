"""Training on votes: it learns, resumes bit by bit, keeps frozen what is frozen, and refuses what does not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from starloom.errors import CatalogError, ConfigError, ModelFileError
from starloom.galaxies import mock_votes
from starloom.galaxies.encoders import encoder
from starloom.galaxies.pretraining import Recipe, load, make_sample, pretrain, save, scores_of, shipped
from starloom.galaxies.vote_training import (
    Schedule,
    VoteModel,
    concentrations,
    represent,
    train_on_votes,
    turned,
    vote_scores,
)
from starloom.neural.training import seeded

SIZE = {"depths": (1, 1, 1, 1), "widths": (8, 8, 16, 16)}


def network(seed=1, **size):
    with seeded(torch.Generator().manual_seed(seed)):
        return encoder("resnet", 3, **{**SIZE, **size})


@pytest.fixture(scope="module")
def sample():
    return make_sample(160, 24, seed=1)


def fit(sample, steps=12, **more):
    schedule = Schedule(steps=steps, batch=32, **more.pop("schedule", {}))
    arguments = {"seed": 3, "schedule": schedule, **more}
    return train_on_votes(network(), sample.pictures, sample.votes, mock_votes.schema(), **arguments)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_the_loss_falls(sample):
    model, log = fit(sample, steps=100, schedule={"learning_rate": 5e-3, "average": 0.9})
    first = VoteModel(network(), mock_votes.schema(), 3)
    assert scores_of(model, sample)["loss"] < 0.8 * scores_of(first, sample)["loss"]
    assert log.steps == 100
    assert log.losses[-1] < log.losses[0]


def test_an_interrupted_training_gives_the_same(sample, tmp_path):
    whole, log = fit(sample)
    _, part = fit(sample, checkpoint=tmp_path / "state.safetensors", until=5)
    assert part.steps == 5
    rest, resumed = fit(sample, checkpoint=tmp_path / "state.safetensors")
    assert resumed.resumed_at == 5
    assert log.steps == resumed.steps == 12
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(rest)[name]), name
    with pytest.raises(ModelFileError, match="another training"):
        fit(sample, checkpoint=tmp_path / "state.safetensors", schedule={"learning_rate": 1e-4})


def test_frozen_means_frozen(sample):
    made = network()
    before = weights(made)
    schedule = Schedule(steps=4, batch=32, frozen=2)
    train_on_votes(made, sample.pictures, sample.votes, mock_votes.schema(), seed=1, schedule=schedule)
    after = weights(made)
    assert torch.equal(before["conv1.weight"], after["conv1.weight"])
    assert torch.equal(before["bn1.running_mean"], after["bn1.running_mean"])
    assert torch.equal(before["layer1.0.bn1.running_var"], after["layer1.0.bn1.running_var"])
    assert not torch.equal(before["layer3.0.conv1.weight"], after["layer3.0.conv1.weight"])
    assert not torch.equal(before["layer3.0.bn1.running_mean"], after["layer3.0.bn1.running_mean"])
    still = network()
    schedule = Schedule(steps=4, batch=32, still_norms=True)
    train_on_votes(still, sample.pictures, sample.votes, mock_votes.schema(), seed=1, schedule=schedule)
    assert torch.equal(before["layer3.0.bn1.running_mean"], weights(still)["layer3.0.bn1.running_mean"])
    assert not torch.equal(before["layer3.0.conv1.weight"], weights(still)["layer3.0.conv1.weight"])
    assert all(parameter.requires_grad for parameter in made.parameters())
    with pytest.raises(ConfigError, match="0 to 4 parts"):
        train_on_votes(made, sample.pictures, sample.votes, mock_votes.schema(), seed=1, schedule=Schedule(frozen=5))


def test_turns_are_symmetries_and_shifts_stay_inside():
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 255, size=(1, 12, 12, 3), dtype=np.uint8)
    seen = {turned(picture, rng).tobytes() for _ in range(200)}
    views = [np.rot90(flip, k).tobytes() for flip in (picture[0], picture[0][:, ::-1]) for k in range(4)]
    assert seen == set(views)
    moved = turned(np.repeat(picture, 50, axis=0), rng, shift=2)
    assert moved.shape == (50, 12, 12, 3)
    assert len({one.tobytes() for one in moved}) > 20


def test_what_does_not_fit_is_refused(sample):
    schema = mock_votes.schema()
    with pytest.raises(CatalogError, match="votes have the shape"):
        train_on_votes(network(), sample.pictures, sample.votes[:, :-1], schema, seed=1)
    with pytest.raises(CatalogError, match="8-bit"):
        train_on_votes(network(), sample.pictures.astype(float), sample.votes, schema, seed=1)
    with pytest.raises(CatalogError, match="8-bit"):
        represent(network(), sample.pictures[:0])
    for wrong in (
        {"steps": 0},
        {"kernel_rate": -0.1},
        {"coarse": 1.5},
        {"coarse": float("nan")},
    ):
        with pytest.raises(ConfigError):
            Schedule(**wrong)


def test_coarse_pictures_and_orthogonal_kernels_go_on_after_an_interrupt(sample, tmp_path):
    more = {"kernel_rate": 0.05, "coarse": 0.5}
    whole, log = fit(sample, steps=8, schedule=more)
    fit(sample, steps=8, schedule=more, checkpoint=tmp_path / "state.safetensors", until=5)
    rest, _ = fit(sample, steps=8, schedule=more, checkpoint=tmp_path / "state.safetensors")
    assert all(torch.equal(value, weights(rest)[name]) for name, value in weights(whole).items())
    plain, _ = fit(sample, steps=8, schedule={"kernel_rate": 0.05})
    other, _ = fit(sample, steps=8, schedule={"coarse": 0.5})
    for model in (plain, other):
        assert not torch.equal(weights(model)["encoder.conv1.weight"], weights(whole)["encoder.conv1.weight"])
    assert np.isfinite(log.losses).all()


def test_half_precision_trains_nearly_the_same_and_goes_on_after_an_interrupt(sample, tmp_path):
    half = {"half": True}
    plain, rough = (fit(sample, steps=6, schedule=more)[1].losses[-1] for more in ({}, half))
    assert rough == pytest.approx(plain, rel=0.02)
    whole, _ = fit(sample, steps=6, schedule=half)
    fit(sample, steps=6, schedule=half, checkpoint=tmp_path / "state.safetensors", until=3)
    rest, _ = fit(sample, steps=6, schedule=half, checkpoint=tmp_path / "state.safetensors")
    assert all(torch.equal(value, weights(rest)[name]) for name, value in weights(whole).items())
    assert all(value.is_contiguous() for value in rest.state_dict().values())


def test_votes_averaged_over_all_views_do_not_depend_on_how_a_picture_lies(sample):
    model = VoteModel(network(pool=False), mock_votes.schema(), 3).eval()
    pictures = sample.pictures[:6]
    upright, lying = (
        concentrations(model, each, views=8) for each in (pictures, np.rot90(pictures, axes=(1, 2))[:, :, ::-1])
    )
    assert upright == pytest.approx(lying, rel=1e-5)
    assert not np.allclose(concentrations(model, pictures), concentrations(model, np.rot90(pictures, axes=(1, 2))))
    with pytest.raises(ConfigError, match="symmetric views"):
        concentrations(model, pictures, views=9)


def test_features_do_not_depend_on_the_batch(sample):
    made = network()
    many, few = (represent(made, sample.pictures[:9], batch=batch) for batch in (9, 2))
    assert many == pytest.approx(few, abs=1e-5)
    assert many.shape == (9, 16)


def test_the_oracle_is_scored_as_one():
    """With the concentrations that votes were drawn with: loss ratio 1, and the stated coverage."""
    table = make_sample(600, 8, seed=2)
    oracle = mock_votes.oracle_concentrations(table.fractions)
    scores = vote_scores(oracle, table.votes, table.fractions, oracle, mock_votes.schema())
    assert scores.loss == pytest.approx(scores.oracle)
    assert scores.rmse < 1e-6
    assert scores.coverage == pytest.approx(0.80, abs=0.015)  # 8,000 answers, correlated in a question
    narrow = vote_scores(30 * oracle, table.votes, table.fractions, oracle, mock_votes.schema())
    assert narrow.coverage < 0.75
    assert narrow.loss > scores.loss
    assert sum(scores.questions.values()) == pytest.approx(scores.loss)


def test_a_model_is_saved_and_read(sample, tmp_path):
    model, _ = fit(sample, steps=2)
    save(tmp_path / "model", model, Recipe("resnet", SIZE), {"seed": 3})
    again, about = load(tmp_path / "model")
    assert about["seed"] == 3
    given, read = (concentrations(each, sample.pictures[:5]) for each in (model, again))
    assert read == pytest.approx(given, rel=2e-3)  # the head is kept in 16 bits
    from starloom.galaxies.encoder_weights import load_encoder, save_encoder

    assert np.array_equal(
        represent(load_encoder(tmp_path / "model"), sample.pictures[:3]), represent(model.encoder, sample.pictures[:3])
    )
    save_encoder(network(), tmp_path / "bare")
    with pytest.raises(ModelFileError, match="pretrained on votes"):
        load(tmp_path / "bare")
    with pytest.raises(ModelFileError):
        load(tmp_path / "nothing")


def test_recipes_and_carried_models_by_name(tmp_path):
    with pytest.raises(ConfigError, match="small"):
        pretrain("large", tmp_path / "x")
    with pytest.raises(ConfigError, match="small"):
        shipped("large")


def test_the_pieces_of_a_pretraining_share_what_was_drawn(tmp_path, monkeypatch):
    from starloom.galaxies import pretraining

    def piece(until, seed=1):
        return pretrain("small", tmp_path / "model", seed=seed, until=until, galaxies=30, steps=3)[1]

    assert piece(1).steps == 1
    kept = tmp_path / ".model.sample.safetensors"
    first = kept.read_bytes()
    monkeypatch.setattr(pretraining, "make_sample", lambda *_, **__: pytest.fail("drawn again"))
    assert piece(2).resumed_at == 1
    assert not (tmp_path / "model").exists()
    monkeypatch.undo()
    (tmp_path / ".model.checkpoint.safetensors").unlink()
    piece(1, seed=2)  # other galaxies: what was kept is not theirs
    assert kept.read_bytes() != first
