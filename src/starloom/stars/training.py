"""Training of the star foundation model: many requests a star a step, resumable, alone or on many processes.

The loss of a requested value y with measurement error e is that of arXiv:2308.10944, in standardized values,

    L = 1/2 [ (y - mu)^2 / (exp(s) + e^2) + ln(exp(s) + e^2) ],

so that exp(s) is the variance beyond the error of the label. Each step draws its stars, contexts and requests from
(seed, step) alone; under ``torchrun`` every process takes its share of that same draw, so that the gradient, and with
it the result, is that of one process.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from starloom import progress
from starloom.errors import ConfigError, FitError, ModelFileError
from starloom.neural.checkpoints import load_tensors, save_tensors
from starloom.neural.processes import has_bfloat16, process_group, world
from starloom.neural.training import one_thread
from starloom.stars.contexts import MODES, Draw, Mode, Sampler
from starloom.stars.network import ARCHITECTURES, Architecture, StarNetwork, attention_products, count_parameters
from starloom.stars.tokens import Vocabulary

CHECKPOINT_SECONDS = 20.0

SMALL_MODES = {
    "full": Mode(0.38, 256, 67, 10),
    "few": Mode(0.30, 384, 16, 12),
    "arm": Mode(0.10, 256, 35, 14),
    "random": Mode(0.22, 256, 40, 12),
}


@dataclass(frozen=True)
class Settings:
    """How a model is trained.

    Parameters
    ----------
    architecture : the network.
    steps : how many; of a run that stops at ``until`` this still sets the learning rate.
    learning_rate, warm_up : the largest rate, and the share of the steps until it is reached; then half a cosine.
    weight_decay : of matrices; embeddings, biases and norms have none.
    average : decay of the running mean of the weights, which is what is kept.
    clip : largest norm of the gradient.
    usual : orders of coefficients in a full context.
    other_weight : of a request that is no label in the loss.
    bfloat16 : multiply matrices in bfloat16; None: where the CPU can.
    modes : stars, places and requests of a step of each mode.
    """

    architecture: Architecture = ARCHITECTURES["small"]
    steps: int = 15_000
    learning_rate: float = 2e-3
    warm_up: float = 0.05
    weight_decay: float = 0.05
    average: float = 0.998
    clip: float = 1.0
    usual: int = 32
    other_weight: float = 0.3
    bfloat16: bool | None = None
    modes: Mapping[str, Mode] = field(default_factory=lambda: dict(SMALL_MODES))

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.learning_rate > 0 or set(self.modes) != set(MODES):
            raise ConfigError(f"a training needs steps, a learning rate, and the modes {', '.join(MODES)}")

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


@dataclass
class Progress:
    """Where a training stands: mean loss of each hundred steps, CPU seconds, and the step it was resumed at."""

    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    resumed_at: int = 0
    steps: int = 0


def loss_of(network: nn.Module, draw: Draw, device: torch.device, bfloat16: bool) -> Tensor:
    """Weighted sum over the requests of a draw, by the sum of all processes' weights done elsewhere."""
    put = {name: torch.from_numpy(getattr(draw, name)).to(device) for name in draw.__dataclass_fields__}
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bfloat16):
        mean, log_variance = network(put["kinds"], put["values"], put["requests"])
    variance = torch.exp(log_variance) + put["errors"] ** 2
    each = 0.5 * ((put["targets"] - mean) ** 2 / variance + torch.log(variance))
    total: Tensor = (put["weights"] * each).sum()
    return total


def _share(draw: Draw, rank: int, size: int) -> Draw:
    return Draw(**{name: getattr(draw, name)[rank::size] for name in draw.__dataclass_fields__})


def learning_rate(settings: Settings, step: int) -> float:
    """The rate at a step: up in a straight line, then down half a cosine."""
    done = step / settings.steps
    return (
        settings.learning_rate
        * min(1.0, (done + 1e-9) / settings.warm_up)
        * 0.5
        * (1 + math.cos(math.pi * min(done, 1)))
    )


def train(
    vocabulary: Vocabulary,
    values: NDArray[np.float32],
    errors: NDArray[np.float32],
    settings: Settings,
    *,
    seed: int,
    checkpoint: Path | None = None,
    until: int | None = None,
    start: Mapping[str, Tensor] | None = None,
    device: str = "cpu",
    label: str = "star foundation",
) -> tuple[StarNetwork, Progress]:
    """Train a network.

    Parameters
    ----------
    vocabulary, values, errors : the kinds, and standardized values and errors (stars, kinds) of the training stars.
    settings, seed : how.
    checkpoint : file that keeps the state every 20 s; where it exists the training goes on from it.
    until : stop before this step, with the checkpoint written.
    start : weights to begin with, as in fine-tuning.
    device : ``cpu`` or ``cuda``.

    Returns
    -------
    The network with the averaged weights, and where the training stands.

    Raises
    ------
    FitError
        When the loss is not finite.
    ModelFileError
        When the checkpoint belongs to a training with other settings.
    """
    rank, size = world()
    modes, usual, weight = dict(settings.modes), settings.usual, settings.other_weight
    sampler = Sampler(vocabulary, values, errors, modes, usual=usual, other_weight=weight)
    place = torch.device(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = StarNetwork(len(vocabulary), settings.architecture)
    if start is not None:
        network.load_state_dict(dict(start))
    elif network.completion is not None and not (checkpoint is not None and checkpoint.exists()):
        with one_thread():
            network.completion.fit(values, seed=seed)
        network.asked[1:] = torch.tensor([kind.requested for kind in vocabulary.kinds])
    network.to(place).train()
    optimizer = _optimizer(network, settings)
    average = {name: value.detach().clone() for name, value in network.named_parameters()}
    stand = Progress()
    if checkpoint is not None and checkpoint.exists():
        _restore(checkpoint, network, optimizer, average, stand, settings, seed)
    bfloat16 = has_bfloat16() if settings.bfloat16 is None else settings.bfloat16
    last = settings.steps if until is None else min(until, settings.steps)
    with contextlib.ExitStack() as stack:
        stack.enter_context(one_thread())
        stack.enter_context(process_group())
        model: nn.Module = network
        if size > 1:
            model = nn.parallel.DistributedDataParallel(network)
        advance = stack.enter_context(progress.bar(label, last))
        advance(stand.resumed_at)
        recent, kept, clock = [], time.monotonic(), time.process_time()
        for step in range(stand.resumed_at, last):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(settings, step)
            draw = sampler.draw(seed, step)
            total = max(float(draw.weights.sum()), 1e-6)
            # processes average their gradients: times their number, it is the gradient of the whole draw
            loss = loss_of(model, _share(draw, rank, size), place, bfloat16) * (size / total)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
            recent.append(float(loss.detach()))
            if not (math.isfinite(recent[-1]) and torch.isfinite(norm)):
                raise FitError(f"{label}: the loss became {recent[-1]} at step {step} of {settings.steps}")
            optimizer.step()
            decay = min(settings.average, (1 + step) / (10 + step))
            with torch.no_grad():
                for name, parameter in network.named_parameters():
                    average[name].lerp_(parameter, 1.0 - decay)
            advance(1, f"loss {recent[-1]:.3f}")
            if len(recent) == 100 or step == last - 1:
                stand.losses.append(float(np.mean(recent)))
                recent.clear()
            stand.steps = step + 1
            due = time.monotonic() - kept > CHECKPOINT_SECONDS and (step + 1) % 100 == 0
            if checkpoint is not None and rank == 0 and (due or step == last - 1):
                now = stand.seconds + time.process_time() - clock
                _keep(checkpoint, network, optimizer, average, stand, now, settings, seed)
                kept = time.monotonic()
        stand.seconds += time.process_time() - clock
    network.load_state_dict(network.state_dict() | average)
    return network.eval(), stand


def _optimizer(network: StarNetwork, settings: Settings) -> torch.optim.Optimizer:
    named = list(network.named_parameters())
    decayed = [value for name, value in named if value.dim() > 1 and not name.startswith("embedding")]
    free = [value for name, value in named if not (value.dim() > 1 and not name.startswith("embedding"))]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), fused=True)


def _identity(settings: Settings, seed: int) -> Tensor:
    import hashlib
    import json

    text = json.dumps([settings.as_json(), seed], sort_keys=True)
    return torch.tensor(list(hashlib.sha256(text.encode()).digest()), dtype=torch.uint8)


def _keep(
    path: Path, network: StarNetwork, optimizer: torch.optim.Optimizer, average: Mapping[str, Tensor],
    stand: Progress, seconds: float, settings: Settings, seed: int,
) -> None:  # fmt: skip
    tensors: dict[str, Tensor] = {"identity": _identity(settings, seed), "step": torch.tensor(stand.steps)}
    tensors |= {f"weight.{name}": value.detach() for name, value in network.state_dict().items()}
    tensors |= {f"average.{name}": value for name, value in average.items()}
    for name, parameter in network.named_parameters():
        for key, value in optimizer.state[parameter].items():
            tensors[f"optimizer.{name}|{key}"] = torch.as_tensor(value)
    tensors["losses"] = torch.tensor(stand.losses, dtype=torch.float64)
    tensors["seconds"] = torch.tensor(seconds, dtype=torch.float64)
    save_tensors(path, tensors)


def _restore(
    path: Path, network: StarNetwork, optimizer: torch.optim.Optimizer, average: dict[str, Tensor],
    stand: Progress, settings: Settings, seed: int,
) -> None:  # fmt: skip
    tensors = load_tensors(path)
    found = tensors.get("identity")
    if found is None or not torch.equal(found, _identity(settings, seed)):
        raise ModelFileError(f"{path} belongs to a training with other settings or seed; remove it to start anew")
    network.load_state_dict({name: tensors[f"weight.{name}"] for name in network.state_dict()})
    for name in average:
        average[name].copy_(tensors[f"average.{name}"])
    for name, parameter in network.named_parameters():
        start = f"optimizer.{name}|"
        optimizer.state[parameter] = {
            key[len(start) :]: value for key, value in tensors.items() if key.startswith(start)
        }
    stand.losses = tensors["losses"].tolist()
    stand.seconds, stand.steps = float(tensors["seconds"]), int(tensors["step"])
    stand.resumed_at = stand.steps


def flops_per_step(settings: Settings, kinds: int) -> float:
    """Floating-point operations of a mean training step, from the shapes of its matrices (forward and twice back)."""
    shares = np.array([settings.modes[name].share for name in MODES])
    each = [
        forward_flops(settings.architecture, kinds, m.places, m.requests) * m.stars
        for m in map(settings.modes.__getitem__, MODES)
    ]
    return float(3.0 * np.dot(shares / shares.sum(), each))


def forward_flops(shape: Architecture, kinds: int, places: int, requests: int) -> float:
    """Floating-point operations of one star with so many tokens and requests; two a multiplied and added number."""
    d, memory = shape.dimension, places + shape.registers
    total = 0.0
    for heads, width in shape.encoder:
        total += memory * 2 * d * width + min(attention_products(d, heads, memory, memory + 1))
    for heads, width in shape.decoder:
        total += requests * 2 * d * width + min(attention_products(d, heads, requests, memory + 1))
    widths = (d, *shape.head, 2)
    total += requests * sum(a * b for a, b in itertools.pairwise(widths))
    if shape.summary:
        total += 2 * kinds * shape.summary + shape.summary_layers * shape.summary**2
        total += shape.summary * (shape.registers + 1) * d
    if shape.components:  # with gaps of its own; stars that miss the same share the first and third of these
        r = shape.factors
        total += shape.components * (kinds * r * r + r**3 + kinds * r * r + 2 * kinds * r + r * r)
        total += kinds * shape.summary
    return 2.0 * total


__all__ = ["Settings", "count_parameters", "flops_per_step", "forward_flops", "train"]
