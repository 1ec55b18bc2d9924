"""The steps that every training shares: the rate, the running mean, checkpoints, and a loss that is no number."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from starloom.errors import FitError, ModelFileError
from starloom.galaxies.descent import Descent, identity_of, rate_share


def descent(average=0.9, rate=0.1, about="a"):
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    groups = [{"params": list(network.parameters()), "lr": rate, "full_lr": rate}]
    return Descent(
        network, torch.optim.AdamW(groups), clip=1.0, identity=identity_of(about, network), label="test",
        average=average,
    )  # fmt: skip


def walk(made, first, last):
    images = torch.arange(24.0).reshape(8, 3) / 10.0
    for step in range(first, last):
        loss = (made.network(images) - 1.0).square().mean()
        made.step(loss, rate_share(step, 10, 0.2), f"at step {step}", number=step)


def test_the_rate_rises_and_falls():
    shares = [rate_share(step, 100, 0.1) for step in range(100)]
    assert int(np.argmax(shares)) == 9
    assert shares[0] == pytest.approx(0.1)
    assert shares[-1] < 0.001
    assert rate_share(0, 10, 0.0) == 1.0


def test_it_goes_on_from_a_checkpoint_bit_by_bit(tmp_path):
    whole, part = descent(), descent()
    walk(whole, 0, 10)
    walk(part, 0, 4)
    part.keep(tmp_path / "state.safetensors", {"step": torch.tensor(4)})
    rest = descent()
    assert int(rest.restore(tmp_path / "state.safetensors")["step"]) == 4
    walk(rest, 4, 10)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, rest.network.state_dict()[name]), name
        assert torch.equal(whole.average[name], rest.average[name]), name
    with pytest.raises(ModelFileError, match="another training"):
        descent(about="b").restore(tmp_path / "state.safetensors")


def test_the_running_mean_follows_with_its_decay():
    made = descent(average=0.5)
    before = made.average["0.weight"].clone()
    walk(made, 0, 1)
    now = made.network.state_dict()["0.weight"]
    assert torch.allclose(made.average["0.weight"], 0.1 * before + 0.9 * now)  # short memory at first: 1 / 10
    assert descent(average=0.0).average == {}


def test_a_loss_that_is_no_number_stops_it_before_the_weights_change():
    made = descent()
    before = made.network[0].weight.detach().clone()
    loss = made.network(torch.ones(4, 3)).sum() * float("nan")
    with pytest.raises(FitError, match="nan at step 3"):
        made.step(loss, 1.0, "at step 3")
    assert torch.equal(before, made.network[0].weight)
