"""Training of an encoder with its last layer: layer-wise rates, frozen parts, early stopping, checkpoints, processes.

Everything random in an epoch follows from (seed, epoch), so that a training that goes on from a checkpoint is the one
that was not interrupted. Under ``torchrun`` every process takes its share of each batch; without dropout the result is
that of one process up to the order of sums.
"""

from __future__ import annotations

import contextlib
import copy
import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from starloom import progress
from starloom.errors import ConfigError, FitError
from starloom.galaxies.augmentation import Augmentation
from starloom.galaxies.contrastive import ViewBranch
from starloom.galaxies.descent import Descent, identity_of, rate_share
from starloom.galaxies.image_encoder import ImageEncoder
from starloom.galaxies.image_feed import ImageFeed
from starloom.galaxies.tasks import Task
from starloom.neural.processes import has_bfloat16, process_group, world
from starloom.neural.training import one_thread


@dataclass(frozen=True)
class FineTuneSettings:
    """How a model is fitted.

    Parameters
    ----------
    parts : parts of the encoder that learn, from its end; 0 is the last layer alone (a linear fit on the features of
        the frozen encoder), -1 is all of them. Everything else is frozen, running statistics too.
    learning_rate : of the last layer and the encoder's last part.
    lr_decay : the part before has the rate times this, and so on.
    weight_decay : of matrices and convolutions; biases and norms have none.
    dropout : share of the features left out before the last layer in training.
    batch, epochs, patience : images a step; passes at most; passes without a better held-out loss before it stops.
    warm_up : share of the steps over which the rate rises; then it falls as half a cosine.
    clip : largest norm of the gradient.
    held_out : share of the images kept aside to stop by, where none are given.
    start_linear : begin with the linear fit, which keeps a pretrained encoder from being torn by a random last layer.
    views : of a linear fit: how many of the eight symmetric views of an image are embedded.
    augmentation : how images are changed.
    contrastive : weight of the loss between two views (BYOL); 0 for none. Images without labels then help too.
    precision : ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the processor has it.
    threads : torch's threads; more than one changes the last bits.
    """

    parts: int = 0
    learning_rate: float = 1e-3
    lr_decay: float = 0.75
    weight_decay: float = 0.05
    dropout: float = 0.2
    batch: int = 64
    epochs: int = 30
    patience: int = 8
    warm_up: float = 0.05
    clip: float = 1.0
    held_out: float = 0.15
    start_linear: bool = False
    views: int = 4
    augmentation: Augmentation = field(default_factory=Augmentation)
    contrastive: float = 0.0
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    threads: int = 1

    def __post_init__(self) -> None:
        positive = (self.learning_rate, self.lr_decay, self.batch, self.epochs, self.patience, self.clip, self.threads)
        shares = (self.dropout, self.held_out, self.warm_up)
        if (
            min(positive) <= 0
            or not all(0 <= share < 1 for share in shares)
            or min(self.weight_decay, self.parts + 1) < 0
        ):
            raise ConfigError(f"these settings cannot be: {self}")
        if not 1 <= self.views <= 8 or self.contrastive < 0 or self.precision not in ("auto", "float32", "bfloat16"):
            raise ConfigError(f"views from 1 to 8, contrastive not negative, a known precision, please: {self}")

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return content


LINEAR = FineTuneSettings()
DEEP = FineTuneSettings(parts=-1, learning_rate=3e-4, lr_decay=0.75, start_linear=True)
SCRATCH = FineTuneSettings(parts=-1, learning_rate=2e-3, lr_decay=1.0)
"""The last layer alone; all of a pretrained encoder; an encoder with fresh weights."""


class Network(nn.Module):
    """An encoder, dropout, one linear layer."""

    def __init__(self, encoder: ImageEncoder, layer: nn.Linear, dropout: float) -> None:
        super().__init__()
        self.encoder, self.drop, self.layer = encoder, nn.Dropout(dropout), layer
        self.branch: ViewBranch | None = None

    def forward(self, images: Tensor, other: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Outputs, and with a second view the contrastive loss of each image."""
        features = self.encoder(images)
        outputs: Tensor = self.layer(self.drop(features))
        if other is None or self.branch is None:
            return outputs, None
        return outputs, self.branch(features, self.encoder(other), (images, other))


@dataclass
class Record:
    """How a training went."""

    train_losses: list[float] = field(default_factory=list)
    held_out_losses: list[float] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0
    resumed_at: int = 0
    stopped_early: bool = False

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


def parameter_groups(network: Network, settings: FineTuneSettings) -> list[dict[str, Any]]:
    """Groups of parameters with their rates; what is in none is frozen here.

    The last layer and the encoder's last part have the rate itself, part i from the end the rate times lr_decay^i.
    """
    parts = network.encoder.parts()
    count = len(parts) if settings.parts < 0 else min(settings.parts, len(parts))
    for parameter in network.encoder.parameters():
        parameter.requires_grad_(False)
    learning: list[tuple[float, list[nn.Module]]] = [(1.0, [network.layer])]
    if network.branch is not None:
        learning.append((1.0, [network.branch.projector, network.branch.predictor]))
    learning += [(settings.lr_decay**place, parts[place]) for place in range(count)]
    groups = []
    for factor, modules in learning:
        parameters = [parameter for module in modules for parameter in module.parameters()]
        for parameter in parameters:
            parameter.requires_grad_(True)
        for decayed in (True, False):
            chosen = [parameter for parameter in parameters if (parameter.dim() > 1) == decayed]
            if chosen:
                rate = settings.learning_rate * factor
                decay = settings.weight_decay if decayed else 0.0
                groups.append({"params": chosen, "lr": rate, "full_lr": rate, "weight_decay": decay})
    return groups


def set_learning(network: Network, settings: FineTuneSettings) -> None:
    """Training mode for what learns; what is frozen stays in evaluation mode, so that its statistics do not move."""
    network.train()
    parts = network.encoder.parts()
    count = len(parts) if settings.parts < 0 else min(settings.parts, len(parts))
    if count < len(parts):
        for part in parts[count:]:
            for module in part:
                module.eval()
    if network.branch is not None:
        network.branch.target.eval()


def train(
    network: Network, feed: ImageFeed, targets: Tensor, labeled: NDArray[np.bool_], rows: NDArray[np.int64],
    held: NDArray[np.int64], task: Task, settings: FineTuneSettings, *, seed: int, checkpoint: Path | None = None,
    until: int | None = None, device: str = "cpu", label: str = "galaxy images",
) -> Record:  # fmt: skip
    """Train a network in place; it ends with the weights of the best held-out loss.

    Parameters
    ----------
    network : what is trained.
    feed : the images.
    targets : of every image.
    labeled : which images have a label; the others serve the contrastive branch.
    rows, held : images to train on, and to stop by (may be none: all epochs are then run).
    task, settings, seed : what and how.
    checkpoint : file with the state after each epoch; where it exists the training goes on from it.
    until : stop before this epoch, with the checkpoint written.

    Raises
    ------
    FitError
        When the loss is not finite, or no image can be used.
    ModelFileError
        When the checkpoint belongs to another training.
    """
    rank, size = world()
    place = torch.device(device)
    network.to(place)
    if settings.contrastive > 0 and network.branch is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network.branch = ViewBranch(network.encoder).to(place)
    optimizer = torch.optim.AdamW(parameter_groups(network, settings), fused=True)
    descent = Descent(
        network, optimizer, clip=settings.clip, label=label,
        identity=identity_of([settings.as_json(), seed], network, rows, held),
    )  # fmt: skip
    record = Record()
    best: dict[str, Tensor] = {}
    if checkpoint is not None and checkpoint.exists():
        _resume(descent.restore(checkpoint), best, record)
    steps = max(1, math.ceil(len(rows) / settings.batch))
    last = settings.epochs if until is None else min(until, settings.epochs)
    half = settings.precision == "bfloat16" or (settings.precision == "auto" and (device != "cpu" or has_bfloat16()))
    with contextlib.ExitStack() as stack:
        if settings.threads == 1:
            stack.enter_context(one_thread())
        stack.enter_context(process_group())
        # buffers of the target side are set by hand; running statistics are those of the first process
        model: nn.Module = nn.parallel.DistributedDataParallel(network) if size > 1 else network
        advance = stack.enter_context(progress.bar(label, last, "epochs"))
        advance(record.resumed_at)
        for epoch in range(record.resumed_at, last):
            if _over(record, settings):
                break
            clock = time.process_time()
            loss = _epoch(
                model, descent, network, feed, targets, labeled, rows, task, settings, seed, epoch, steps, half
            )
            record.train_losses.append(loss)
            value = _held_out(network, feed, targets, held, task, settings, half) if len(held) else loss
            record.held_out_losses.append(value)
            if value <= min(record.held_out_losses) or not len(held):
                record.best_epoch = epoch + 1
                best.clear()
                best.update(copy.deepcopy({k: v.cpu() for k, v in network.state_dict().items()}))
            record.seconds += time.process_time() - clock
            record.stopped_early = _over(record, settings)
            advance(1, f"loss {loss:.4f}, held-out {value:.4f}")
            if checkpoint is not None and rank == 0:
                descent.keep(checkpoint, {
                    "best_epoch": torch.tensor(record.best_epoch),
                    "losses": torch.tensor([record.train_losses, record.held_out_losses], dtype=torch.float64),
                    "seconds": torch.tensor(record.seconds, dtype=torch.float64),
                    **{f"best.{name}": value for name, value in best.items()},
                })  # fmt: skip
        if size > 1:
            torch.distributed.barrier()
    if best:
        network.load_state_dict(best)
    network.eval()
    return record


def _over(record: Record, settings: FineTuneSettings) -> bool:
    return len(record.held_out_losses) - record.best_epoch >= settings.patience


def _epoch(
    model: nn.Module, descent: Descent, network: Network, feed: ImageFeed, targets: Tensor,
    labeled: NDArray[np.bool_], rows: NDArray[np.int64], task: Task, settings: FineTuneSettings, seed: int, epoch: int,
    steps: int, half: bool,
) -> float:  # fmt: skip
    rank, size = world()
    place = next(network.parameters()).device
    rng = np.random.default_rng([seed, epoch])
    drawn = torch.Generator().manual_seed(int(rng.integers(2**62)))
    batches = [part for part in np.array_split(rng.permutation(rows), steps) if len(part) >= size]
    set_learning(network, settings)
    total, count = 0.0, 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**62)) + rank)
        shares = [part[rank::size] for part in batches]
        for step, (pixels, usable) in enumerate(feed.batches(shares)):
            whole, mine = batches[step], shares[step]
            share = (rank, size, len(whole))
            first = settings.augmentation(pixels, drawn, share).to(place)
            second = settings.augmentation(pixels, drawn, share).to(place) if settings.contrastive > 0 else None
            with torch.autocast(place.type, dtype=torch.bfloat16, enabled=half):
                outputs, apart = model(first, second)
            known = torch.from_numpy(labeled[mine]) & usable
            each = task.losses(outputs.float(), targets[torch.from_numpy(mine)].to(place))
            loss = (each * known.to(place)).sum() / len(whole) * size
            total += float(loss.detach()) * len(whole) / size
            count += int(known.sum())
            if apart is not None:
                loss = loss + settings.contrastive * (apart.float() * usable.to(place)).sum() / len(whole) * size
            done = epoch * len(batches) + step
            fraction = rate_share(done + 1, settings.epochs * len(batches), settings.warm_up)  # the last one rests
            descent.step(loss, fraction, f"in epoch {epoch + 1}", number=done)
            if network.branch is not None:
                network.branch.follow(network.encoder)
    total, number = _over_processes(total, float(count))
    if number == 0:
        raise FitError(f"{descent.label}: none of the images can be read and has a label")
    return total / number


@torch.no_grad()
def _held_out(
    network: Network, feed: ImageFeed, targets: Tensor, held: NDArray[np.int64], task: Task, settings: FineTuneSettings,
    half: bool,
) -> float:  # fmt: skip
    rank, size = world()
    place = next(network.parameters()).device
    network.eval()
    total, count = 0.0, 0
    parts = [held[start : start + settings.batch] for start in range(0, len(held), settings.batch)][rank::size]
    for rows, (pixels, usable) in zip(parts, feed.batches(parts), strict=True):
        with torch.autocast(place.type, dtype=torch.bfloat16, enabled=half):
            outputs, _ = network(pixels.to(place))
        each = task.losses(outputs.float(), targets[torch.from_numpy(rows)].to(place)).cpu()
        total, count = total + float(each[usable].double().sum()), count + int(usable.sum())
    total, number = _over_processes(total, float(count))
    value = total / max(number, 1.0)
    if not math.isfinite(value):
        raise FitError(f"the held-out loss became {value}")
    return value


def _over_processes(*values: float) -> tuple[float, ...]:
    """Sums over the processes."""
    if world()[1] == 1:
        return values
    device = "cuda" if torch.cuda.is_available() else "cpu"
    together = torch.tensor(values, dtype=torch.float64, device=device)
    torch.distributed.all_reduce(together)
    return tuple(together.tolist())


def _resume(kept: dict[str, Tensor], best: dict[str, Tensor], record: Record) -> None:
    best |= {name.removeprefix("best."): value for name, value in kept.items() if name.startswith("best.")}
    record.train_losses, record.held_out_losses = kept["losses"].tolist()
    record.best_epoch, record.seconds = int(kept["best_epoch"]), float(kept["seconds"])
    record.resumed_at = len(record.train_losses)
