"""Training: gradient descent that shows progress, resumes after an interrupt, and reports how it ended."""

from __future__ import annotations

import contextlib
import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from starloom import progress
from starloom.errors import FitError, ModelFileError
from starloom.neural.checkpoints import load_tensors, save_tensors

CHECKPOINT_SECONDS = 5.0


@contextlib.contextmanager
def seeded(generator: torch.Generator) -> Iterator[None]:
    """Draw torch's global random numbers (weight initialization of libraries) from a generator, and put them back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
        yield


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread for the length of a block.

    Sums over threads differ in their last bits with the number of threads, and training amplifies that: on one thread
    the same seed gives the same result however many cores there are. Compiled kernels, whose results do not depend on
    the split, keep all of theirs.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass
class TrainingRecord:
    """How a training ended: the loss at each step, and a warning when it had not settled."""

    losses: list[float]
    seconds: float
    resumed_at: int = 0

    @property
    def last_change(self) -> float:
        """Share of the loss's whole fall that came after six tenths of the steps (near 0: settled).

        The learning rate fades towards the end, so that the very last steps always look settled.
        """
        whole = self.losses[0] - self.losses[-1]
        if len(self.losses) < 20 or whole <= 0:
            return 1.0
        return (self.losses[int(0.6 * len(self.losses))] - self.losses[-1]) / whole


def descend(
    loss: Callable[[int], Tensor],
    parameters: list[nn.Parameter],
    *,
    steps: int,
    learning_rate: float,
    label: str,
    checkpoint: Path | None = None,
    clip: float = 10.0,
) -> TrainingRecord:
    """Minimise a loss with Adam and a one-cycle learning rate.

    Parameters
    ----------
    loss : step -> scalar tensor.
    parameters : what is changed, in place.
    steps, learning_rate : length of the descent and its largest rate.
    label : name on the progress bar.
    checkpoint : a file where the state is kept every few seconds; when it exists the descent goes on from it.
    clip : largest gradient norm.

    Raises
    ------
    FitError
        When the loss is not finite; the last checkpoint is kept.
    """
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=steps, pct_start=max(0.1, min(1.5 / steps, 0.9))
    )
    record = TrainingRecord([], 0.0)
    if checkpoint is not None and checkpoint.exists():
        _restore(checkpoint, parameters, optimizer, schedule, record, steps)
    started = saved = time.monotonic()
    with progress.bar(label, steps) as advance:
        advance(record.resumed_at)
        for step in range(record.resumed_at, steps):
            optimizer.zero_grad()
            value = loss(step)
            if not torch.isfinite(value):
                raise FitError(f"{label}: the loss became {float(value.detach())} at step {step} of {steps}")
            value.backward()  # type: ignore[no-untyped-call]
            if not torch.isfinite(torch.nn.utils.clip_grad_norm_(parameters, clip)):
                raise FitError(f"{label}: the gradient is not finite at step {step} of {steps}")
            optimizer.step()
            schedule.step()
            record.losses.append(float(value.detach()))
            advance(1, f"loss {record.losses[-1]:.4f}")
            if checkpoint is not None and (time.monotonic() - saved > CHECKPOINT_SECONDS or step == steps - 1):
                _keep(checkpoint, parameters, optimizer, record, steps)
                saved = time.monotonic()
    record.seconds = time.monotonic() - started
    return record


def _keep(
    path: Path, parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer, record: TrainingRecord, steps: int
) -> None:
    tensors = {f"parameter.{place}": parameter.detach() for place, parameter in enumerate(parameters)}
    for place, parameter in enumerate(parameters):
        for name, value in optimizer.state[parameter].items():
            tensors[f"optimizer.{place}.{name}"] = torch.as_tensor(value)
    tensors["steps"] = torch.tensor(steps)  # the learning rate of a step depends on how many there are
    tensors["losses"] = torch.tensor(record.losses, dtype=torch.float64)
    save_tensors(path, tensors)


def _restore(
    path: Path,
    parameters: list[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.OneCycleLR,
    record: TrainingRecord,
    steps: int,
) -> None:
    tensors = load_tensors(path)
    names = [f"parameter.{place}" for place in range(len(parameters))]
    shapes = [tensors[name].shape if name in tensors else None for name in names]
    losses = tensors.get("losses", torch.zeros(0, dtype=torch.float64)).tolist()
    if shapes != [parameter.shape for parameter in parameters] or int(tensors.get("steps", torch.tensor(-1))) != steps:
        raise ModelFileError(f"{path} belongs to a run with other settings; remove it or run without resuming")
    for place, (name, parameter) in enumerate(zip(names, parameters, strict=True)):
        with torch.no_grad():
            parameter.copy_(tensors[name])
        keys = [key for key in tensors if key.startswith(f"optimizer.{place}.")]
        optimizer.state[parameter] = {key.split(".", 2)[2]: tensors[key] for key in keys}
    for _ in losses:  # the rate and momentum of the one-cycle schedule depend on the step alone
        optimizer._opt_called = True  # type: ignore[attr-defined]  # no step was skipped: it was made before the interrupt
        schedule.step()
    record.losses, record.resumed_at = losses, len(losses)


def fit_density(
    model: nn.Module,
    log_prob: Callable[[Tensor], Tensor],
    rows: int,
    weights: Tensor,
    generator: torch.Generator,
    *,
    epochs: int,
    learning_rate: float,
    label: str,
    batch: int = 1024,
    held_out: float = 0.2,
) -> dict[str, Any]:
    """Fit a density by maximum likelihood with early stopping on held-out rows.

    Parameters
    ----------
    model : its parameters are changed in place and end at the epoch of the best held-out likelihood.
    log_prob : row indices (k,) -> log densities (k,).
    rows : number of rows.
    weights : shape (rows,), non-negative.
    generator : the order of the batches and the held-out rows.

    Returns
    -------
    dict with the best epoch and the held-out mean negative log-likelihood there and before training.
    """
    order = torch.randperm(rows, generator=generator)
    held, used = order[: int(held_out * rows)], order[int(held_out * rows) :]
    if len(held) == 0 or float(weights[used].sum()) <= 0 or float(weights[held].sum()) <= 0:
        raise FitError(
            f"{label}: {rows} rows are too few to fit a density; widen the window or use a simpler background"
        )
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)

    def mean_loss(index: Tensor) -> Tensor:
        return -(weights[index] * log_prob(index)).sum() / weights[index].sum().clamp_min(1e-12)

    def held_loss() -> float:
        with torch.no_grad():
            return float(mean_loss(held))

    before = best = held_loss()
    state, best_epoch = copy.deepcopy(model.state_dict()), 0
    with progress.bar(label, epochs, "epochs") as advance:
        for epoch in range(1, epochs + 1):
            for index in used[torch.randperm(len(used), generator=generator)].split(batch):  # type: ignore[no-untyped-call]
                optimizer.zero_grad()
                mean_loss(index).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            schedule.step()
            value = held_loss()
            if not math.isfinite(value):
                raise FitError(f"{label}: the held-out likelihood became {value} in epoch {epoch}")
            if value < best:
                best, best_epoch, state = value, epoch, copy.deepcopy(model.state_dict())
            advance(1, f"held-out {value:.4f}")
    model.load_state_dict(state)
    return {"best_epoch": best_epoch, "held_out": best, "held_out_before": before}
