from __future__ import annotations

import pytest
import torch

from starloom.errors import ConfigError
from starloom.neural.curves import Curve, Curves, read_off

RANGE = (-70.0, -20.0)


def made(*curves, members=3, **more):
    return Curves(curves, RANGE, members, torch.Generator().manual_seed(1), **more)


def bounds(values, curve, place):
    part = values[..., place]
    return float(part.min()) >= curve.low and float(part.max()) <= curve.high


def test_the_curves_start_where_they_were_told():
    curves = made(Curve("a", -5.0, 5.0, start=0.3), Curve("b", -10.0, -0.05, start=-2.3), Curve("c", 2.0, 4.0))
    values = curves().detach()
    assert values.shape == (3, 257, 3)
    for place, (start, span) in enumerate([(0.3, 10.0), (-2.3, 9.95), (3.0, 2.0)]):
        assert float((values[..., place] - start).abs().max()) < 0.12 * span
        assert float(values[..., place].mean()) == pytest.approx(start, abs=0.05 * span)


def test_the_networks_of_an_ensemble_differ_and_follow_their_generator():
    first, again = made(Curve("a", -1.0, 1.0))(), made(Curve("a", -1.0, 1.0))()
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])


def test_the_bounds_hold_for_any_weights():
    kinds = (Curve("a", -5.0, 5.0), Curve("b", -10.0, -0.05, start=-0.06), Curve("c", 2.0, 4.0, constant=True))
    curves = made(*kinds)
    with torch.no_grad():
        for parameter in curves.parameters():
            parameter.mul_(1e3)
    values = curves().detach()
    assert torch.isfinite(values).all()
    for place, curve in enumerate(kinds):
        assert bounds(values, curve, place), curve
    assert float(values[..., 0].max() - values[..., 0].min()) > 9.9, "the whole range can be reached"


def test_a_constant_curve_is_constant_and_learns():
    curves = made(Curve("free", 0.0, 1.0), Curve("level", 0.0, 1.0, constant=True))
    values = curves()
    plain = values.detach()
    assert float((plain[..., 1] - plain[:, :1, 1]).abs().max()) == 0.0
    assert float((plain[..., 0] - plain[:, :1, 0]).abs().max()) > 0.0
    values[..., 1].sum().backward()
    assert all(float(weight.grad.abs().sum()) > 0 for weight in curves.weights)


def test_a_straight_line_is_not_rough():
    curves = made(Curve("a", -10.0, 10.0, scale=1.0, length=10.0), members=2)
    line = (0.3 * curves.grid - 4.0)[None, :, None].expand(2, -1, -1).double()
    assert float(curves.roughness(line).abs().max()) < 1e-4


def test_the_roughness_of_a_parabola():
    # y = c x^2: half the integral of (2 c length^2 / scale)^2 dx / length
    curves = made(Curve("a", -10.0, 10.0, scale=0.4, length=15.0), Curve("b", 0.0, 1.0, scale=2.0, length=5.0))
    x = curves.grid.double()[None, :, None]
    values = torch.cat([0.01 * x**2, -0.02 * x**2], dim=2).expand(3, -1, -1)
    expected = [0.5 * (2 * c * length**2 / scale) ** 2 * 50.0 / length for c, length, scale in
                [(0.01, 15.0, 0.4), (0.02, 5.0, 2.0)]]  # fmt: skip
    found = curves.roughness(values)
    assert found.shape == (3,)
    assert found.tolist() == pytest.approx([sum(expected)] * 3, rel=0.01)


def test_a_curve_that_bends_by_its_scale_over_each_length_pays_a_half_a_length():
    curves = made(Curve("a", -10.0, 10.0, scale=0.7, length=10.0))
    bending = 0.5 * 0.7 * (curves.grid.double() / 10.0) ** 2  # y'' = scale / length^2
    assert float(curves.roughness(bending[None, :, None])[0]) == pytest.approx(0.5 * 50.0 / 10.0, rel=0.01)


def test_reading_off_is_linear_between_the_nodes_and_flat_beyond_the_ends():
    curves = made(Curve("a", 0.0, 1.0), nodes=11)
    values = torch.randn(3, 11, 1, generator=torch.Generator().manual_seed(2))
    x = torch.tensor([-70.0, -67.5, -65.0, -20.0, -100.0, 30.0], dtype=torch.float64)
    found = read_off(values, curves.places(x))[..., 0]
    middle = 0.5 * (values[:, 0] + values[:, 1])
    expected = torch.cat([values[:, 0], middle, values[:, 1], values[:, 10], values[:, 0], values[:, 10]], dim=1)
    torch.testing.assert_close(found, expected)


def test_reading_off_passes_gradients_to_both_neighbors():
    curves = made(Curve("a", 0.0, 1.0), nodes=11)
    values = torch.zeros(3, 11, 1, requires_grad=True)
    read_off(values, curves.places(torch.tensor([-69.0]))).sum().backward()
    torch.testing.assert_close(values.grad[0, :3, 0], torch.tensor([0.8, 0.2, 0.0]))


@pytest.mark.parametrize(
    "settings",
    [
        {"low": 1.0, "high": 1.0},
        {"low": 2.0, "high": 1.0},
        {"low": float("nan"), "high": 1.0},
        {"low": 0.0, "high": 1.0, "start": 0.0},
        {"low": 0.0, "high": 1.0, "start": 1.5},
        {"low": 0.0, "high": 1.0, "start": float("nan")},
    ],
)
def test_a_curve_without_room(settings):
    with pytest.raises(ConfigError, match="curve 'width'"):
        Curve("width", **settings)
