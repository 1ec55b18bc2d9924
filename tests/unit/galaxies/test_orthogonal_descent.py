"""Kernels move by orthogonal momentum; everything else moves as under AdamW."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from starloom.galaxies.orthogonal_descent import OrthogonalDescent, orthogonal


@pytest.mark.parametrize("shape", [(12, 40), (40, 12), (7, 7), (1, 5)])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_the_singular_vectors_stay_and_the_values_become_about_one(shape, kind):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 1e-3
    found = orthogonal(matrix, kind)
    assert found.dtype == matrix.dtype
    values = torch.linalg.svdvals(found)
    assert (values > 0.55).all()
    assert (values < 1.35).all()
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    inside = u.T @ found @ v.T
    assert torch.allclose(inside, torch.diag(inside.diagonal()), atol=1e-4 if kind == torch.float32 else 0.15)


def test_nothing_stays_nothing():
    assert not orthogonal(torch.zeros(3, 5)).any()


def layers():
    torch.manual_seed(2)
    return nn.Conv2d(3, 8, 3), nn.Linear(8, 2)


def step(optimizer, kernel, layer, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in (*kernel.parameters(), *layer.parameters()):
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimizer.step()


def test_only_kernels_are_moved_otherwise_than_by_adamw():
    (kernel, layer), (plain_kernel, plain) = layers(), layers()
    mine = OrthogonalDescent(
        [
            {"params": [kernel.bias, *layer.parameters()]},
            {"params": [kernel.weight], "orthogonal": True, "lr": 0.1, "weight_decay": 0.5},
        ],
        lr=1e-2,
        weight_decay=0.0,
    )
    theirs = torch.optim.AdamW([plain_kernel.bias, *plain.parameters()], lr=1e-2, weight_decay=0.0)
    before = kernel.weight.detach().clone()
    step(mine, kernel, layer, 1)
    gradient = torch.randn(before.shape, generator=torch.Generator().manual_seed(1))
    wanted = before * (1 - 0.05) - 0.1 * orthogonal(gradient.flatten(1)).view(before.shape)  # one gradient: its own U V
    assert torch.allclose(kernel.weight, wanted, atol=2e-4)
    step(theirs, plain_kernel, plain, 1)
    for number in (2, 3):
        step(mine, kernel, layer, number)
        step(theirs, plain_kernel, plain, number)
    assert torch.equal(layer.weight, plain.weight)
    assert torch.equal(kernel.bias, plain_kernel.bias)
