"""The networks of arXiv:2306.09319: each quantity of a map is a small network of the covariates.

Five hidden layers of 20 units with SiLU, AdamW with learning rate 0.005 times 0.95 every 500 steps, 3000 steps of
batches of 256 rows. The paper's score is unbounded below as a variance goes to zero, so variances here have a floor;
the covariates and responses are standardized. The result is limited by the noise of the last batches, so that more
rows do not help; the splines are the engine to use, and these the published reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from starloom.errors import ConfigError, FitError
from starloom.seeds import generator, torch_generator

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from starloom.dependence.conditional import ConditionalMap, Rows

    Floats = NDArray[np.float64]

LAYERS, UNITS = 5, 20
STEPS, BATCH, RATE, DECAY, DECAY_EVERY = 3000, 256, 0.005, 0.95, 500
FLOOR = 1e-3  # of a variance, in units of the column's own
OUTPUTS = {
    "mean": ("mean",),
    "variance": ("mean", "variance"),
    "quantile": ("value",),
    "expectile": ("value",),
    "correlation": ("mean", "variance", "mean_y", "variance_y", "rho"),
}


@dataclass(frozen=True)
class NetworkMap:
    """Networks that were fitted: weights and biases of each layer, one network a quantity.

    Parameters
    ----------
    functional : what they map.
    weights, biases : of the layers, (q, inputs, units) and (q, 1, units).
    middle, width : (d,) of the covariates.
    center, scale : of the response.
    """

    functional: str
    weights: tuple[torch.Tensor, ...]
    biases: tuple[torch.Tensor, ...]
    middle: Floats
    width: Floats
    center: float
    scale: float

    def evaluate(self, z: Floats) -> Floats:
        """The functional at places, (n,)."""
        import torch

        with torch.no_grad():
            inputs = torch.as_tensor((z - self.middle) / self.width, dtype=torch.float32)
            found = _quantities(self.functional, _forward(inputs, self.weights, self.biases))
        if self.functional == "correlation":
            return found["rho"].numpy().astype(np.float64)
        if self.functional == "variance":
            return found["variance"].numpy().astype(np.float64) * self.scale**2
        name = "mean" if self.functional == "mean" else "value"
        return self.center + self.scale * found[name].numpy().astype(np.float64)


def fit_networks(model: ConditionalMap, rows: Rows, seed: int | np.random.Generator) -> NetworkMap:
    """Fit the networks of a map by its consistent score.

    Raises
    ------
    ConfigError
        When measurement errors are given, which this engine does not take out.
    FitError
        When the loss is not finite.
    """
    import torch

    if rows.x_error is not None or rows.y_error is not None:
        raise ConfigError("the networks do not take measurement errors out; use engine='splines'")
    chance = torch_generator(generator(seed))
    middle, width = rows.z.mean(axis=0), np.maximum(rows.z.std(axis=0), 1e-12)
    inputs = torch.as_tensor((rows.z - middle) / width, dtype=torch.float32)
    center, scale = float(np.average(rows.x, weights=rows.weights)), float(rows.x.std())
    x = torch.as_tensor((rows.x - center) / scale, dtype=torch.float32)
    y = None
    if rows.y is not None:
        y = torch.as_tensor((rows.y - rows.y.mean()) / rows.y.std(), dtype=torch.float32)
    weights = torch.as_tensor(rows.weights / rows.weights.mean(), dtype=torch.float32)
    outputs = len(OUTPUTS[model.functional])
    sizes = [inputs.shape[1], *([UNITS] * LAYERS), 1]
    matrices: list[torch.Tensor] = []
    shifts: list[torch.Tensor] = []
    for before, after in pairwise(sizes):
        reach = before**-0.5
        for kept, shape in ((matrices, (outputs, before, after)), (shifts, (outputs, 1, after))):
            start = (2.0 * torch.rand(shape, generator=chance) - 1.0) * reach
            kept.append(start.requires_grad_())
    optimizer = torch.optim.AdamW([*matrices, *shifts], lr=RATE)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, DECAY_EVERY, DECAY)
    for _ in range(STEPS):
        batch = torch.randint(len(inputs), (BATCH,), generator=chance)
        found = _quantities(model.functional, _forward(inputs[batch], matrices, shifts))
        each = _score(model.functional, model.level, found, x[batch], None if y is None else y[batch])
        loss = (weights[batch] * each).mean()
        if not torch.isfinite(loss):
            raise FitError("the loss of the networks is not finite: check the columns for values of absurd size")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    frozen, moved = (tuple(part.detach() for part in kept) for kept in (matrices, shifts))
    return NetworkMap(model.functional, frozen, moved, middle, width, center, scale)


def _forward(
    inputs: torch.Tensor, weights: list[torch.Tensor] | tuple[torch.Tensor, ...],
    biases: list[torch.Tensor] | tuple[torch.Tensor, ...],
) -> torch.Tensor:  # fmt: skip
    """All networks at once: (n, d) to (q, n)."""
    import torch

    values = inputs.expand(weights[0].shape[0], *inputs.shape)
    for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        values = torch.baddbmm(bias, values, weight)
        if index < len(weights) - 1:
            values = torch.nn.functional.silu(values)
    return values[..., 0]


def _quantities(functional: str, raw: torch.Tensor) -> dict[str, torch.Tensor]:
    import torch

    found = dict(zip(OUTPUTS[functional], raw, strict=True))
    for name in ("variance", "variance_y"):
        if name in found:
            found[name] = torch.nn.functional.softplus(found[name]) + FLOOR
    if "rho" in found:
        found["rho"] = torch.tanh(found["rho"])
    return found


def _score(
    functional: str, level: float, found: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor | None
) -> torch.Tensor:
    """The scores of ``starloom.stats.scores``, differentiable."""
    if functional in ("mean", "quantile", "expectile"):
        gap = found["mean" if functional == "mean" else "value"] - x
        if functional == "mean":
            return gap**2
        below = (gap >= 0).to(gap.dtype)
        return (below - level) * gap if functional == "quantile" else (below - level).abs() * gap**2
    v = found["variance"]
    score = ((found["mean"] - x) ** 2 - 2.0 * v) / v**2
    if functional == "variance":
        return score
    assert y is not None  # a correlation has two responses
    w, mean_y = found["variance_y"], found["mean_y"]
    moment = (v * w).sqrt() * found["rho"] + found["mean"] * mean_y
    return score + ((mean_y - y) ** 2 - 2.0 * w) / w**2 + (moment - x * y) ** 2
