"""Training an encoder on votes: pictures in memory, one linear head, the Dirichlet-multinomial loss of all questions.

Each step draws its galaxies, flips and turns from (seed, step) alone, so a training that was interrupted gives what an
uninterrupted one gives. What is kept is the running mean of the weights.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from starloom import progress
from starloom.errors import CatalogError, ConfigError
from starloom.galaxies.descent import Descent, identity_of, rate_share
from starloom.galaxies.image_encoder import ImageEncoder
from starloom.galaxies.orthogonal_descent import OrthogonalDescent
from starloom.galaxies.vote_loss import concentrations_of, start_head
from starloom.galaxies.votes import VoteSchema
from starloom.neural.training import one_thread, seeded
from starloom.seeds import torch_generator

CHECKPOINT_SECONDS = 20.0
Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Schedule:
    """How an encoder is trained.

    Parameters
    ----------
    steps, batch : how many, of how many galaxies; with ``until`` a run stops early on the same schedule.
    learning_rate, warm_up : the largest rate, and the share of the steps until it is reached; then half a cosine.
    weight_decay : of matrices and kernels; biases and norms have none.
    average : decay of the running mean of the weights.
    clip : largest norm of the gradient.
    shift : pixels by which pictures are moved at random, at most.
    half : compute in bfloat16, which is faster for dense convolutions on processors that have it; the weights, the
        last layer and the loss stay in float32.
    still_norms : keep the statistics of batch norms as they are (those of ImageNet, say).
    frozen : parts of the encoder, from its first layer on, that stay as they are.
    kernel_rate : when above 0, kernels of convolutions move by their orthogonal momentum at this largest rate
        (:mod:`starloom.galaxies.orthogonal_descent`), and ``learning_rate`` is that of all else.
    coarse : share of the steps, from the first on, in which pictures are halved in size: a quarter of the work each.
    """

    steps: int = 1000
    batch: int = 64
    learning_rate: float = 2e-3
    warm_up: float = 0.1
    weight_decay: float = 0.05
    average: float = 0.99
    clip: float = 1.0
    shift: int = 2
    half: bool = False
    still_norms: bool = False
    frozen: int = 0
    kernel_rate: float = 0.0
    coarse: float = 0.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or not self.learning_rate > 0 or self.shift < 0 or not 0 < self.average < 1:
            raise ConfigError(
                "a training needs at least one step, one galaxy a step, a learning rate above 0 and a running mean "
                "whose decay lies between 0 and 1"
            )
        if not (self.kernel_rate >= 0 and 0 <= self.coarse <= 1):
            raise ConfigError(
                f"kernel_rate ({self.kernel_rate}) must not be negative, and coarse ({self.coarse}) is a share of the "
                "steps"
            )


class VoteModel(nn.Module):
    """An encoder with a linear head: pictures in, concentrations of all answers out.

    Parameters
    ----------
    encoder : (n, 3, size, size) -> (n, out_features).
    schema : the questions.
    seed : of the head's first weights.
    """

    def __init__(self, encoder: ImageEncoder, schema: VoteSchema, seed: int = 0) -> None:
        super().__init__()
        self.encoder: ImageEncoder = encoder
        self.schema = schema
        self.head = nn.Linear(encoder.out_features, len(schema.columns))
        start_head(self.head, torch.Generator().manual_seed(seed))

    def forward(self, pictures: Tensor, half: bool = False) -> Tensor:
        """Concentrations, shape (n, columns); with ``half`` the encoder computes in bfloat16."""
        with torch.autocast(pictures.device.type, dtype=torch.bfloat16, enabled=half):
            features = self.encoder(pictures)
        return concentrations_of(self.head(features.float()))


@dataclass
class Log:
    """Where a training stands: mean loss of each fifty steps, CPU seconds, steps done, and where it was resumed."""

    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    steps: int = 0
    resumed_at: int = 0


def check_pictures(pictures: Any) -> Pictures:
    """Pictures as an array (n, height, width, 3) of uint8; CatalogError when they are something else."""
    found = np.asarray(pictures)
    if found.ndim != 4 or found.shape[-1] != 3 or found.dtype != np.uint8 or 0 in found.shape:
        raise CatalogError(
            f"pictures are one array (galaxies, height, width, 3) of 8-bit numbers; got {found.dtype} {found.shape}"
        )
    return found


def as_tensor(pictures: Pictures) -> Tensor:
    """Pictures for a network: (n, 3, height, width), between 0 and 1."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).to(torch.float32).div_(255.0)


def turned(pictures: Pictures, rng: np.random.Generator, shift: int = 0) -> Pictures:
    """The same galaxies flipped, turned by quarters and moved by up to ``shift`` pixels, each by itself."""
    result = np.empty_like(pictures)
    moves = rng.integers(8, size=len(pictures))
    away = rng.integers(-shift, shift + 1, size=(len(pictures), 2)) if shift else np.zeros((len(pictures), 2), int)
    square = pictures.shape[1] == pictures.shape[2]
    for k, picture in enumerate(pictures):
        one = np.rot90(picture, moves[k] // 2 if square else 2 * (moves[k] // 4))
        if moves[k] % 2:
            one = one[:, ::-1]
        if shift:  # the edge is repeated, so that no seam shows
            padded = np.pad(one, ((shift, shift), (shift, shift), (0, 0)), mode="edge")
            top, left = shift + away[k, 0], shift + away[k, 1]
            one = padded[top : top + one.shape[0], left : left + one.shape[1]]
        result[k] = one
    return result


def train_on_votes(
    encoder: ImageEncoder, pictures: Pictures, votes: NDArray[np.float32], schema: VoteSchema, *, seed: int,
    schedule: Schedule | None = None, checkpoint: Path | None = None, until: int | None = None, label: str = "votes",
) -> tuple[VoteModel, Log]:  # fmt: skip
    """Train an encoder.

    Parameters
    ----------
    encoder : it is trained in place, then holds the averaged weights.
    pictures : (n, height, width, 3), uint8.
    votes : (n, columns of the schema).
    schema : the questions.
    seed : of the head, and of every step's galaxies and turns.
    schedule : how.
    checkpoint : a file with the state, kept every 20 s; where it exists the training goes on from it.
    until : stop before this step, with the checkpoint written.
    label : name on the progress bar.

    Returns
    -------
    The model with the averaged weights in evaluation mode, and where the training stands.

    Raises
    ------
    CatalogError
        When pictures and votes do not belong together.
    FitError
        When the loss is not finite.
    ModelFileError
        When the checkpoint belongs to another training.
    """
    plan = schedule or Schedule()
    pictures = check_pictures(pictures)
    counts = np.asarray(votes, dtype=np.float32)
    if counts.shape != (len(pictures), len(schema.columns)):
        raise CatalogError(f"votes have the shape {counts.shape}, not ({len(pictures)}, {len(schema.columns)})")
    model = VoteModel(encoder, schema, seed)
    parts = encoder.parts()
    if not 0 <= plan.frozen < len(parts):
        raise ConfigError(f"0 to {len(parts) - 1} parts of this encoder can be frozen, not {plan.frozen}")
    for part in (one for parts_of in parts[len(parts) - plan.frozen :] for one in parts_of):
        part.requires_grad_(False)
    if plan.half:  # this layout is the faster one for convolutions in bfloat16, and for those only
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's own types
        encoder.channels_last = True
    last = plan.steps if until is None else min(until, plan.steps)
    _train_mode(model, plan)
    descent = Descent(
        model, _optimizer(model, plan), clip=plan.clip, average=plan.average, label=label,
        identity=_identity(plan, seed, pictures, counts, model),
        still=tuple(f"{name}." for name, part in model.named_modules() if not part.training),
    )  # fmt: skip
    stand = Log()
    if checkpoint is not None and checkpoint.exists():
        found = descent.restore(checkpoint)
        stand.losses, stand.seconds = found["losses"].tolist(), float(found["seconds"])
        stand.steps = stand.resumed_at = int(found["step"])
    with one_thread(), progress.bar(label, last) as advance, contextlib.ExitStack() as stack:
        stack.enter_context(seeded(torch_generator(np.random.default_rng([seed, 1]))))  # drop-out and drop-path
        advance(stand.resumed_at)
        recent: list[float] = []
        kept, clock = time.monotonic(), time.process_time()
        for step in range(stand.resumed_at, last):
            rng = np.random.default_rng([seed, 2, step])
            torch.manual_seed(int(rng.integers(2**62)))
            rows = _rows_of(len(pictures), plan.batch, step, seed)
            images = as_tensor(turned(pictures[rows], rng, plan.shift))
            if step < plan.coarse * plan.steps:
                images = nn.functional.avg_pool2d(images, 2)
            out = model(images, plan.half)
            loss = schema.loss(out, torch.from_numpy(counts[rows]))
            share = rate_share(step, plan.steps, plan.warm_up)
            recent.append(descent.step(loss, share, f"at step {step} of {plan.steps}", number=step))
            advance(1, f"loss {recent[-1]:.3f}")
            stand.steps = step + 1
            if stand.steps % 50 == 0 or stand.steps == last:
                stand.losses.append(float(np.mean(recent)))
                recent.clear()
                due = time.monotonic() - kept > CHECKPOINT_SECONDS or stand.steps == last
                if checkpoint is not None and due:
                    now = stand.seconds + time.process_time() - clock
                    descent.keep(checkpoint, {
                        "step": torch.tensor(stand.steps),
                        "losses": torch.tensor(stand.losses, dtype=torch.float64),
                        "seconds": torch.tensor(now, dtype=torch.float64),
                    })  # fmt: skip
                    kept = time.monotonic()
        stand.seconds += time.process_time() - clock
    model.load_state_dict(descent.average)
    if plan.half:
        model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        encoder.channels_last = type(encoder).channels_last
    model.requires_grad_(True)
    return model.eval(), stand


def _rows_of(count: int, batch: int, step: int, seed: int) -> NDArray[np.int64]:
    """The galaxies of a step: a new order each time all were seen."""
    places = np.arange(step * batch, (step + 1) * batch)
    rows = np.empty(batch, dtype=np.int64)
    for epoch in np.unique(places // count):
        inside = places // count == epoch
        rows[inside] = np.random.default_rng([seed, 3, int(epoch)]).permutation(count)[places[inside] % count]
    return rows


def _train_mode(model: VoteModel, plan: Schedule) -> None:
    model.train()
    parts = model.encoder.parts()
    for part in (one for parts_of in parts[len(parts) - plan.frozen :] for one in parts_of):
        part.eval()  # frozen means that running statistics stand still too
    if plan.still_norms:
        for part in model.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.eval()


def _optimizer(model: VoteModel, plan: Schedule) -> torch.optim.Optimizer:
    orthogonal = plan.kernel_rate > 0.0
    kernels = [p for p in model.parameters() if p.requires_grad and orthogonal and p.dim() == 4 and p.shape[1] > 1]
    own = {id(p) for p in kernels}
    decayed = [p for p in model.parameters() if p.requires_grad and p.dim() > 1 and id(p) not in own]
    free = [p for p in model.parameters() if p.requires_grad and p.dim() <= 1]
    groups: list[dict[str, Any]] = [
        {"params": parameters, "weight_decay": decay, "full_lr": plan.learning_rate}
        for parameters, decay in ((decayed, plan.weight_decay), (free, 0.0))
    ]
    if not kernels:
        return torch.optim.AdamW(groups, lr=plan.learning_rate, betas=(0.9, 0.99))
    groups.append(
        {"params": kernels, "weight_decay": plan.weight_decay, "full_lr": plan.kernel_rate, "orthogonal": True}
    )
    kind = torch.bfloat16 if plan.half else torch.float32
    return OrthogonalDescent(groups, kind=kind, lr=plan.learning_rate, betas=(0.9, 0.99))


def _identity(plan: Schedule, seed: int, pictures: Pictures, votes: NDArray[np.float32], model: VoteModel) -> Tensor:
    """Whose checkpoint it is: schedule, seed, shapes, the votes and a sample of the pictures."""
    about = [asdict(plan), seed, list(pictures.shape), model.schema.as_json()]
    return identity_of(about, model, pictures[:: max(len(pictures) // 64, 1)], votes)


def concentrations(model: VoteModel, pictures: Pictures, *, views: int = 1, batch: int = 256) -> NDArray[np.float64]:
    """Concentrations of pictures, shape (n, columns): the mean over so many of the eight symmetric views."""
    if not 1 <= views <= 8:
        raise ConfigError(f"1 to 8 symmetric views of a square picture can be averaged, not {views}")
    pictures = check_pictures(pictures)
    found = [_in_batches(model, _view(pictures, which), batch) for which in range(views)]
    return np.asarray(np.mean(found, axis=0))


def _view(pictures: Pictures, which: int) -> Pictures:
    turned_by = np.rot90(pictures, which // 2, axes=(1, 2))
    return turned_by[:, :, ::-1] if which % 2 else turned_by


def represent(encoder: nn.Module, pictures: Pictures, *, batch: int = 128) -> NDArray[np.float64]:
    """Features of pictures, shape (n, out_features), the encoder in evaluation mode."""
    return _in_batches(encoder, pictures, batch)


def _in_batches(network: nn.Module, pictures: Pictures, batch: int) -> NDArray[np.float64]:
    pictures = check_pictures(pictures)
    was, found = network.training, []
    network.eval()
    with torch.inference_mode(), one_thread():
        for start in range(0, len(pictures), batch):
            found.append(network(as_tensor(pictures[start : start + batch])).double().numpy())
    network.train(was)
    return np.concatenate(found)


@dataclass(frozen=True)
class VoteScores:
    """How well votes are predicted.

    Parameters
    ----------
    loss, oracle : mean loss of the model, and of the concentrations that the votes were drawn with.
    rmse : of the predicted fractions against the true probabilities, rows with enough votes.
    coverage : share of the votes inside the central interval of 80 %, counted half at its ends (votes are whole).
    questions : question -> its loss.
    """

    loss: float
    oracle: float
    rmse: float
    coverage: float
    questions: dict[str, float]


ENOUGH = 10  # votes of a question from which its fractions are judged


def vote_scores(
    predicted: NDArray[np.float64], votes: NDArray[np.float32], fractions: NDArray[np.float64],
    oracle: NDArray[np.float64], schema: VoteSchema, *, level: float = 0.8,
) -> VoteScores:  # fmt: skip
    """Score predicted concentrations on made galaxies, whose true probabilities are known.

    Parameters
    ----------
    predicted, oracle : (n, columns) concentrations of the model, and of the votes.
    votes, fractions : (n, columns) votes, and true probabilities.
    schema : the questions.
    level : of the interval.
    """
    counts = torch.from_numpy(np.asarray(votes))
    each = schema.loss(torch.from_numpy(predicted), counts, "question").numpy()
    best = float(schema.loss(torch.from_numpy(oracle), counts))
    totals = schema.question_totals(np.asarray(votes, dtype=np.float64))
    judged = totals >= ENOUGH
    away = schema.expected_fractions(predicted) - fractions
    inside = _coverage(predicted, np.asarray(votes, dtype=np.float64), totals, judged, schema, level)
    return VoteScores(
        float(each.sum(axis=1).mean()),
        best,
        float(np.sqrt(np.mean(away[judged] ** 2))),
        inside,
        {q.name: float(each[:, k].mean()) for k, q in enumerate(schema.questions)},
    )


def _coverage(
    predicted: NDArray[np.float64], votes: NDArray[np.float64], totals: NDArray[np.float64],
    judged: NDArray[np.bool_], schema: VoteSchema, level: float,
) -> float:  # fmt: skip
    """Mid-probability coverage: P(votes below) + half of P(these votes) lies between the tails.

    Whole numbers cannot be covered with exactly 80 %; on the mid-scale the expected share is close to the level.
    """
    from scipy.stats import betabinom

    whole = predicted + 0.0
    rest = schema.question_totals(whole) - whole
    k, n, a, b = (values[judged] for values in (votes, totals, whole, rest))
    below = betabinom.cdf(k - 1, n, a, b)
    here = betabinom.pmf(k, n, a, b)
    # the share of this vote's probability that lies inside the interval
    low, high = 0.5 - level / 2, 0.5 + level / 2
    part = np.clip(np.minimum(below + here, high) - np.maximum(below, low), 0.0, None) / np.maximum(here, 1e-300)
    return float(np.mean(np.clip(part, 0.0, 1.0)))
