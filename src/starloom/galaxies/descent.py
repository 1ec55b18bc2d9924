"""What every training of an encoder does at each step, and how it is kept and gone on with after an interrupt."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from starloom.errors import FitError, ModelFileError
from starloom.neural.checkpoints import load_tensors, save_tensors


def rate_share(step: int, steps: int, warm_up: float) -> float:
    """The learning rate of a step as a share of the largest: it rises in proportion, then falls as half a cosine.

    Parameters
    ----------
    step, steps : which step (the first is 0) of how many.
    warm_up : share of the steps until the rate no longer rises.

    Examples
    --------
    >>> [round(rate_share(step, 10, 0.2), 3) for step in (0, 1, 5, 9)]
    [0.5, 0.976, 0.5, 0.024]
    """
    rise = min(1.0, (step + 1) / max(warm_up * steps, 1.0))
    return rise * 0.5 * (1.0 + math.cos(math.pi * min(step / steps, 1.0)))


def identity_of(about: Any, shapes: nn.Module, *arrays: Any) -> Tensor:
    """Whose checkpoint it is: a digest of settings (JSON), of the names and shapes of weights, and of arrays."""
    sizes = {name: list(value.shape) for name, value in shapes.state_dict().items()}
    digest = hashlib.sha256(json.dumps([about, sizes], sort_keys=True).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return torch.tensor(list(digest.digest()), dtype=torch.uint8)


class Descent:
    """The state of a training: weights, optimizer and the running mean of the weights.

    Parameters
    ----------
    network : its weights are changed in place.
    optimizer : with a ``full_lr`` in each group, the largest learning rate.
    clip : largest norm of the gradient.
    identity : see :func:`identity_of`.
    label : what it is called in errors.
    average : decay of the running mean of the weights; 0 for none.
    still : beginnings of names whose values do not move (statistics of modules in evaluation mode).
    """

    def __init__(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, *, clip: float, identity: Tensor, label: str,
        average: float = 0.0, still: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self.network, self.optimizer, self.clip, self.label = network, optimizer, clip, label
        self.identity, self.decay = identity, average
        self.learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.average: dict[str, Tensor] = {}
        if average > 0.0:
            self.average = {name: value.detach().clone() for name, value in network.state_dict().items()}
        learned = {name for name, value in network.named_parameters() if value.requires_grad}
        self._moving = {name for name in self.average if name in learned or not name.startswith(still)}

    def step(self, loss: Tensor, share: float, when: str, *, number: int = 0) -> float:
        """One step down the loss; returns the loss.

        Parameters
        ----------
        loss : scalar.
        share : of the largest learning rates.
        when : which step it is, in words, for an error.
        number : of the step, by which the running mean begins with short memory.

        Raises
        ------
        FitError
            When the loss or its gradient is not finite; the weights are then as they were.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = group["full_lr"] * share
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.learning, self.clip)
        value = float(loss.detach())
        if not (math.isfinite(value) and bool(torch.isfinite(norm))):
            raise FitError(f"{self.label}: the loss became {value} {when}; lower the learning rate")
        self.optimizer.step()
        if self.average:
            self._follow(min(self.decay, (1 + number) / (10 + number)))
        return value

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        for name, value in self.network.state_dict().items():
            if value.is_floating_point() and name in self._moving:
                self.average[name].lerp_(value, 1.0 - decay)
            else:
                self.average[name].copy_(value)

    def keep(self, path: Path, more: Mapping[str, Tensor]) -> None:
        """Write a checkpoint, with what else the training needs to go on."""
        tensors = {"identity": self.identity, **more}
        tensors |= {f"weight.{name}": value.detach() for name, value in self.network.state_dict().items()}
        tensors |= {f"average.{name}": value for name, value in self.average.items()}
        for name, parameter in self.network.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}|{key}"] = torch.as_tensor(value)
        save_tensors(path, tensors)

    def restore(self, path: Path) -> dict[str, Tensor]:
        """Go on from a checkpoint; returns what was kept besides.

        Raises
        ------
        ModelFileError
            When it belongs to another training, or is damaged.
        """
        tensors = load_tensors(path)
        found = tensors.get("identity")
        if found is None or not torch.equal(found, self.identity):
            raise ModelFileError(
                f"{path} belongs to another training (other settings, images or seed); remove it to start anew"
            )
        self.network.load_state_dict({name: tensors[f"weight.{name}"] for name in self.network.state_dict()})
        for name, value in self.average.items():
            value.copy_(tensors[f"average.{name}"])
        for name, parameter in self.network.named_parameters():
            start = f"optimizer.{name}|"
            state = {key[len(start) :]: value for key, value in tensors.items() if key.startswith(start)}
            if state:
                self.optimizer.state[parameter] = state
        own = ("weight.", "average.", "optimizer.")
        return {name: value for name, value in tensors.items() if not name.startswith(own)}
