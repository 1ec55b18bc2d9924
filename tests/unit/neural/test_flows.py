from __future__ import annotations

import math

import pytest
import torch

from starloom.neural.flows import BoxFlow


def flow(features, seed=3, **more):
    torch.manual_seed(seed)
    return BoxFlow(features, 1, **more)


def shaken(model, factor):
    """The flow as training may leave it: far from where it began."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(factor)
    return model


def mass(model, features, context, nodes):
    # nodes crowd towards the edges, where a density may be steep: x = sin(angle)
    angle = ((torch.arange(nodes, dtype=torch.float64) + 0.5) / nodes - 0.5) * math.pi
    x, weight = torch.sin(angle).float(), torch.cos(angle) * math.pi / nodes
    total = 0.0
    with torch.no_grad():
        for row, row_weight in zip(x.split(50), weight.split(50), strict=True):
            grid = row[:, None] if features == 1 else torch.cartesian_prod(row, x)
            weights = row_weight if features == 1 else torch.cartesian_prod(row_weight, weight).prod(dim=1)
            total += float((model.log_prob(grid, torch.full((len(grid), 1), context)).double().exp() * weights).sum())
    return total


@pytest.fixture(autouse=True)
def own_random_state():
    with torch.random.fork_rng():
        yield


@pytest.mark.parametrize("factor", [1.0, 5.0])
@pytest.mark.parametrize(("features", "nodes"), [(1, 4000), (2, 1000)])
def test_the_density_integrates_to_one(features, nodes, factor):
    model = shaken(flow(features, bins=6, hidden=16), factor)
    for context in (-1.0, 0.3, 1.0):
        assert mass(model, features, context, nodes) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(("features", "nodes"), [(1, 4000), (2, 1000)])
def test_the_density_integrates_to_one_after_training(features, nodes):
    model = flow(features, bins=6, hidden=16)
    generator = torch.Generator().manual_seed(1)
    context = torch.rand(600, 1, generator=generator) * 2 - 1
    square = (torch.rand(600, features, generator=generator) ** 2 * 2 - 1) * (1 - 0.2 * context)
    square = square.clamp(-1, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    before = float(model.log_prob(square, context).mean().detach())
    for _ in range(60):
        optimizer.zero_grad()
        (-model.log_prob(square, context).mean()).backward()
        optimizer.step()
    assert float(model.log_prob(square, context).mean().detach()) > before + 0.2, "it learned something"
    for context_value in (-1.0, 0.0, 1.0):
        assert mass(model, features, context_value, nodes) == pytest.approx(1.0, abs=1e-3)


def test_samples_stay_inside_and_follow_the_density():
    model = shaken(flow(1), 4.0)
    with torch.no_grad():
        sample = model(torch.tensor([0.5])).sample((20_000,))[:, 0]
        edges = torch.linspace(-1, 1, 9)
        fine = torch.linspace(-1 + 1 / 8000, 1 - 1 / 8000, 8000)
        density = model.log_prob(fine[:, None], torch.full((8000, 1), 0.5)).exp()
    assert float(sample.abs().max()) <= 1.0 + 1e-5
    counts = torch.histogram(sample, edges)[0]
    expected = density.reshape(8, 1000).mean(dim=1) * 0.25 * 20_000
    chi2 = float(((counts - expected) ** 2 / expected).sum())
    assert chi2 < 29.9  # 8 bins, 7 degrees of freedom: p = 1e-4, the seed is fixed


def test_a_point_on_the_edge_or_a_rounding_beyond_it_has_a_density():
    model = shaken(flow(2), 3.0)
    points = torch.tensor([[-1.0, 1.0], [1.0, 1.0], [1.0 + 1e-6, -1.0 - 1e-6]])
    assert torch.isfinite(model.log_prob(points, torch.zeros(3, 1))).all()


@pytest.mark.parametrize("edge", [-1.0, 1.0])
def test_the_density_is_continuous_up_to_the_edge(edge):
    model = shaken(flow(1), 5.0)
    near = torch.tensor([[edge], [edge * (1 - 1e-5)]])
    with torch.no_grad():
        at, beside = model.log_prob(near, torch.zeros(2, 1)).tolist()
    assert at == pytest.approx(beside, abs=0.01)


def test_the_context_matters_and_sizes_are_kept():
    model = shaken(flow(2, bins=5, hidden=8, transforms=3), 4.0)
    assert model.sizes == {"features": 2, "context": 1, "bins": 5, "hidden": 8, "transforms": 3}
    point = torch.zeros(2, 2)
    first, second = model.log_prob(point, torch.tensor([[-1.0], [1.0]])).tolist()
    assert not math.isclose(first, second, rel_tol=1e-4)
