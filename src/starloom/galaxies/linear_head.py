"""The last layer alone: a regularized linear fit on the features of a frozen encoder."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from starloom.errors import FitError
from starloom.galaxies.tasks import Task
from starloom.neural.training import one_thread

PENALTIES = tuple(float(p) for p in np.logspace(1, -6, 15))
FOLDS = 4


@dataclass(frozen=True)
class LinearFit:
    """A linear layer, how strongly it was regularized, and the cross-validated loss at each penalty."""

    layer: nn.Linear
    penalty: float
    losses: dict[float, float]


def folds_of(classes: NDArray[np.int64], folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Fold of each row, at random, each class spread evenly over them."""
    order = rng.permutation(len(classes))
    order = order[np.argsort(classes[order], kind="stable")]
    result = np.empty(len(classes), dtype=np.int64)
    result[order] = np.arange(len(classes)) % folds
    return result


def fit_linear(
    features: Tensor, targets: Tensor, task: Task, rng: np.random.Generator, *,
    penalties: tuple[float, ...] = PENALTIES, folds: int = FOLDS,
) -> LinearFit:  # fmt: skip
    """Fit a linear layer by L-BFGS, with an L2 penalty on standardized features chosen by cross-validation.

    Parameters
    ----------
    features : (n, d), or (views, n, d): views of one image share its target and are never in two folds.
    targets : as the task gives them.
    task : what is asked.
    rng : the folds.
    penalties : those tried, in the mean loss of an image, strong to weak until the loss has risen twice; one alone is
        taken as it is.
    folds : of the cross-validation; with fewer than 3 images a fold the strongest of the middle is taken.

    Raises
    ------
    FitError
        When there are fewer than two images, or the fit is not finite.
    """
    views, count = (1, len(features)) if features.dim() == 2 else (features.shape[0], features.shape[1])
    if count < 2:
        raise FitError(f"{count} labeled image is too few to fit a linear layer on; two at least")
    kind = torch.float64 if features.numel() < 2e7 else torch.float32
    x = features.reshape(views * count, -1).to(kind)
    mean, scale = x.mean(dim=0), x.std(dim=0)
    scale = torch.where(scale > 1e-6 * scale.max().clamp_min(1e-12), scale, torch.ones_like(scale))
    x = (x - mean) / scale
    losses: dict[float, float] = {}
    chosen = penalties[len(penalties) // 2]
    with one_thread():
        all_targets = targets.repeat(views, *[1] * (targets.dim() - 1))
        if len(penalties) > 1 and count >= 3 * folds:
            fold = torch.from_numpy(folds_of(task.classes_for_split(targets), folds, rng)).repeat(views)
            starts: list[tuple[Tensor, Tensor] | None] = [None] * folds
            for penalty in sorted(penalties, reverse=True):  # strong to weak, each begun where the last one ended
                total = 0.0
                for held in range(folds):
                    inside = fold != held
                    starts[held] = found = _solve(x[inside], all_targets[inside], task, penalty, starts[held])
                    with torch.no_grad():
                        away = task.losses(x[~inside] @ found[0].T + found[1], all_targets[~inside])
                    total += float(away.double().sum())
                losses[penalty] = total / len(x)
                if len(losses) > 2 and min(list(losses.values())[-2:]) > min(losses.values()):
                    break  # twice worse than the best: weaker ones only fit the noise
            chosen = min(losses, key=losses.__getitem__)
        weight, bias = _solve(x, all_targets, task, chosen, None)
    layer = nn.Linear(x.shape[1], task.outputs)
    with torch.no_grad():
        layer.weight.copy_(weight / scale)
        layer.bias.copy_(bias - (weight / scale) @ mean)
    return LinearFit(layer, chosen, losses)


def _solve(
    x: Tensor, targets: Tensor, task: Task, penalty: float, start: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    if start is None:
        probe = nn.Linear(1, task.outputs)
        task.start(probe, torch.Generator().manual_seed(0))  # for its bias, where answers begin
        start = torch.zeros(task.outputs, x.shape[1], dtype=x.dtype), probe.bias.detach().to(x.dtype)
    weight, bias = (value.clone().requires_grad_() for value in start)
    optimizer = torch.optim.LBFGS(
        [weight, bias], lr=1.0, max_iter=100, history_size=12, line_search_fn="strong_wolfe", tolerance_grad=1e-6
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = task.losses(x @ weight.T + bias, targets).mean() + 0.5 * penalty * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    final = float(optimizer.step(closure).detach())  # type: ignore[no-untyped-call]
    if not (math.isfinite(final) and bool(torch.isfinite(weight).all())):
        raise FitError(f"the linear fit became {final}; look at the features and labels")
    return weight.detach(), bias.detach()
