from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from starloom.errors import FitError, ModelFileError
from starloom.neural import training
from starloom.neural.checkpoints import load_tensors
from starloom.neural.flows import BoxFlow
from starloom.neural.training import TrainingRecord, descend, fit_density, one_thread, seeded

TARGET = torch.tensor([1.0, -2.0, 0.5])


def quadratic(parameter):
    return lambda _: ((parameter - TARGET) ** 2 * torch.tensor([1.0, 3.0, 0.3])).sum()


@pytest.fixture
def always_keep(monkeypatch):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1.0)


def test_descend_converges_on_a_quadratic():
    parameter = nn.Parameter(torch.zeros(3))
    ended = descend(quadratic(parameter), [parameter], steps=400, learning_rate=0.1, label="toy")
    torch.testing.assert_close(parameter.detach(), TARGET, atol=1e-3, rtol=0)
    assert len(ended.losses) == 400
    assert ended.losses[0] == pytest.approx(float(quadratic(torch.zeros(3))(0)))
    assert ended.losses[-1] < 1e-5
    assert abs(ended.last_change) < 1e-3
    assert ended.resumed_at == 0


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 11, 20])
def test_descend_takes_any_number_of_steps(steps):
    parameter = nn.Parameter(torch.zeros(3))
    ended = descend(quadratic(parameter), [parameter], steps=steps, learning_rate=0.1, label="toy")
    assert len(ended.losses) == steps


def test_a_descent_that_has_not_settled_says_so():
    falling = TrainingRecord([100.0 - step for step in range(100)], 0.0)
    assert falling.last_change == pytest.approx(39 / 99)
    assert TrainingRecord([3.0, 2.0, 1.0], 0.0).last_change == 1.0  # too short to have settled
    assert TrainingRecord([1.0] * 50, 0.0).last_change == 1.0  # nothing was gained
    assert TrainingRecord([100.0] + [0.0] * 99, 0.0).last_change == 0.0


def network(seed=5):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))


def loss_of(model, interrupt_at=None):
    x = torch.linspace(-2, 2, 50)[:, None]
    y = torch.sin(2 * x)

    def loss(step):
        if step == interrupt_at:
            raise KeyboardInterrupt
        return ((model(x) - y) ** 2).mean() * (1 + 0.1 * math.sin(step))

    return loss


@pytest.mark.parametrize("interrupt_at", [1, 4, 37, 59])
def test_an_interrupted_descent_goes_on_bit_for_bit(tmp_path, always_keep, interrupt_at):
    whole, parts = network(), network()
    settings = {"steps": 60, "learning_rate": 0.03, "label": "toy"}
    expected = descend(loss_of(whole), list(whole.parameters()), **settings)
    checkpoint = tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        descend(loss_of(parts, interrupt_at), list(parts.parameters()), checkpoint=checkpoint, **settings)
    resumed = network(seed=99)  # nothing but the checkpoint is left of the interrupted run
    ended = descend(loss_of(resumed), list(resumed.parameters()), checkpoint=checkpoint, **settings)
    assert ended.resumed_at == interrupt_at
    assert ended.losses == expected.losses
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_finished_descent_is_not_done_again(tmp_path):
    model = network()
    settings = {"steps": 30, "learning_rate": 0.03, "label": "toy", "checkpoint": tmp_path / "state.safetensors"}
    first = descend(loss_of(model), list(model.parameters()), **settings)
    again = network(seed=99)
    ended = descend(loss_of(again, interrupt_at=0), list(again.parameters()), **settings)
    assert ended.resumed_at == 30
    assert ended.losses == first.losses
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_a_loss_that_is_not_finite_is_a_fit_error():
    parameter = nn.Parameter(torch.zeros(3))

    def loss(step):
        return quadratic(parameter)(step) * (math.nan if step == 7 else 1.0)

    with pytest.raises(FitError, match="toy: the loss became nan at step 7 of 20"):
        descend(loss, [parameter], steps=20, learning_rate=0.1, label="toy")
    assert torch.isfinite(parameter).all()


def test_a_gradient_that_is_not_finite_does_not_spoil_the_checkpoint(tmp_path, always_keep):
    parameter, path = nn.Parameter(torch.ones(2)), tmp_path / "state.safetensors"

    def loss(step):
        # at step 4 the value is finite and the gradient is not: the square root of zero
        return (parameter**2).sum() + (torch.sqrt((parameter - parameter.detach()).abs()).sum() if step == 4 else 0.0)

    with pytest.raises(FitError, match="toy: the"):
        descend(loss, [parameter], steps=20, learning_rate=0.1, label="toy", checkpoint=path)
    assert torch.isfinite(load_tensors(path)["parameter.0"]).all()


def kept(tmp_path, steps=20):
    model = network()
    path = tmp_path / "state.safetensors"
    descend(loss_of(model), list(model.parameters()), steps=steps, learning_rate=0.03, label="toy", checkpoint=path)
    return path


def test_a_checkpoint_of_other_sizes(tmp_path):
    path, other = kept(tmp_path), nn.Linear(3, 3)
    with pytest.raises(ModelFileError, match="other settings"):
        descend(
            lambda _: other.weight.sum(),
            list(other.parameters()),
            steps=20,
            learning_rate=0.1,
            label="toy",
            checkpoint=path,
        )


@pytest.mark.parametrize("steps", [12, 40])
def test_a_checkpoint_of_another_length(tmp_path, steps):
    path, model = kept(tmp_path), network()
    with pytest.raises(ModelFileError, match="other settings"):
        descend(loss_of(model), list(model.parameters()), steps=steps, learning_rate=0.03, label="toy", checkpoint=path)


def test_a_corrupt_checkpoint(tmp_path):
    path, model = kept(tmp_path), network()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ModelFileError, match="cannot be read"):
        descend(loss_of(model), list(model.parameters()), steps=20, learning_rate=0.1, label="toy", checkpoint=path)


# ----------------------------------------------------------------------------------------------------- fit_density


def density(rows, seed=2, **more):
    """A flow to be fitted to a truncated exponential on [-1, 1]."""
    rate = 2.0
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(rows, generator=generator)
    square = (-torch.log1p(uniform * math.expm1(-2 * rate)) / rate - 1.0)[:, None]
    context = torch.zeros(rows, 1)
    with seeded(generator):
        model = BoxFlow(1, 1, bins=6, hidden=8, **more)
    norm = rate / -math.expm1(-2 * rate)
    mean = 1 / rate - 2 * math.exp(-2 * rate) / -math.expm1(-2 * rate)  # of x + 1
    entropy = rate * mean - math.log(norm)
    return model, (lambda index: model.log_prob(square[index], context[index])), entropy, generator


def test_a_known_density_is_learned():
    rows = 4000
    model, log_prob, entropy, generator = density(rows)
    settings = {"epochs": 25, "learning_rate": 1e-2, "label": "toy"}
    report = fit_density(model, log_prob, rows, torch.ones(rows), generator, **settings)
    # the surprise of the 800 held-out rows has a standard deviation of 0.85: its mean scatters by 0.03;
    # 0.1 is over three sigma, and a quarter of what there is to learn
    assert report["held_out"] == pytest.approx(entropy, abs=0.1)
    assert report["held_out_before"] > entropy + 0.3
    assert 1 <= report["best_epoch"] <= 25


def test_early_stopping_gives_back_the_best_epoch():
    rows = 60
    model, log_prob, _, generator = density(rows)
    state = generator.get_state()
    settings = {"epochs": 120, "learning_rate": 5e-2, "label": "toy"}
    report = fit_density(model, log_prob, rows, torch.ones(rows), generator, **settings)
    held = torch.randperm(rows, generator=torch.Generator().set_state(state))[:12]
    assert report["best_epoch"] < 120, "48 rows are overfitted long before the end"
    assert float(-log_prob(held).mean().detach()) == pytest.approx(report["held_out"], abs=1e-6)


def test_rows_without_weight_have_no_say():
    rows = 600
    model, log_prob, _, generator = density(rows)
    weights = torch.ones(rows)
    weights[300:] = 0.0

    def poisoned(index):
        return torch.where(index < 300, log_prob(index), log_prob(index) * 1e4)

    report = fit_density(model, poisoned, rows, weights, generator, epochs=3, learning_rate=1e-2, label="toy")
    assert abs(report["held_out"]) < 10


@pytest.mark.parametrize(("rows", "weight"), [(0, 1.0), (1, 1.0), (3, 1.0), (100, 0.0)])
def test_too_few_rows(rows, weight):
    model, log_prob, _, generator = density(max(rows, 1))
    with pytest.raises(FitError, match=f"toy: {rows} rows are too few"):
        fit_density(
            model,
            log_prob,
            rows,
            torch.full((rows,), weight),
            generator,
            epochs=2,
            learning_rate=1e-2,
            label="toy",
        )


def test_a_density_that_is_not_finite_is_a_fit_error():
    rows = 200
    model, log_prob, _, generator = density(rows)
    with pytest.raises(FitError, match="toy"):
        fit_density(
            model,
            lambda index: log_prob(index) * math.nan,
            rows,
            torch.ones(rows),
            generator,
            epochs=2,
            learning_rate=1e-2,
            label="toy",
        )


# ---------------------------------------------------------------------------------------------------- global state


def test_seeded_draws_from_the_generator_and_leaves_the_global_state():
    before = torch.get_rng_state()
    generator = torch.Generator().manual_seed(4)
    with seeded(generator):
        first = torch.rand(3)
    with seeded(generator):
        second = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first, second)
    with seeded(torch.Generator().manual_seed(4)):
        assert torch.equal(torch.rand(3), first)


def test_the_global_state_is_left_even_after_an_error():
    state, threads = torch.get_rng_state(), torch.get_num_threads()

    def interrupted():
        with one_thread(), seeded(torch.Generator().manual_seed(4)):
            torch.rand(3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_one_thread_is_for_its_block_alone():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
