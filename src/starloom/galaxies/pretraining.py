"""Encoders pretrained on the votes of made galaxies: the recipe, the files that Starloom carries, and their scores.

As a program it makes a carried model again, in pieces if need be::

    python -m starloom.galaxies.pretraining small -o DIR

The pictures and votes are simulated (:mod:`starloom.galaxies.mock_population`); only the number of volunteers a galaxy
is drawn from a real campaign. No real image is ever used.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starloom.errors import ConfigError, DatasetError, ModelFileError
from starloom.files import make_folder
from starloom.galaxies import mock_votes
from starloom.galaxies.encoder_weights import IMAGENET, load_encoder, save_encoder
from starloom.galaxies.encoders import encoder
from starloom.galaxies.image_encoder import ImageEncoder
from starloom.galaxies.mock_images import render
from starloom.galaxies.mock_population import Population, draw
from starloom.galaxies.vote_training import (
    Log,
    Schedule,
    VoteModel,
    concentrations,
    train_on_votes,
    vote_scores,
)
from starloom.galaxies.votes import VoteSchema
from starloom.neural.checkpoints import load_folder, load_tensors, save_folder, save_tensors
from starloom.neural.training import seeded
from starloom.seeds import generator, torch_generator

if TYPE_CHECKING:
    from astropy.table import QTable

DIFFERENCE, SCALE = "galaxy encoder as a difference", "|scale"
SHIPPED = Path(__file__).parent / "shipped"
HELD_OUT = 2000
VIEWS = 8  # symmetric views over which predictions are averaged
DISTANT_SHARE = 0.25
NEAR, FAR = Population(), Population(distance=0.7)


@dataclass(frozen=True)
class Recipe:
    """What is trained on what.

    Parameters
    ----------
    encoder : name, see :func:`starloom.galaxies.encoders.encoder`, or ``imagenet``: an EfficientNet-Lite0 that has
        seen ImageNet.
    size : its settings.
    galaxies, pixels : made galaxies to train on, and pixels across their pictures.
    schedule : see :class:`starloom.galaxies.vote_training.Schedule`.
    """

    encoder: str
    size: Mapping[str, Any] = field(default_factory=dict)
    galaxies: int = 24_000
    pixels: int = 64
    schedule: Schedule = field(default_factory=Schedule)

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)


RECIPES: dict[str, Recipe] = {
    "small": Recipe(
        "resnet",
        {"depths": (1, 2, 2, 1), "widths": (16, 64, 128, 192), "pool": False},
        galaxies=40_000,
        schedule=Schedule(
            steps=5200, batch=64, average=0.998, half=True, weight_decay=0.02, kernel_rate=0.1, coarse=0.5
        ),
    ),
    "lite0": Recipe(
        IMAGENET,
        galaxies=20_000,
        pixels=96,
        schedule=Schedule(steps=6000, batch=32, learning_rate=1e-3, average=0.998, coarse=0.5),
    ),
}


@dataclass(frozen=True)
class Sample:
    """Made galaxies with pictures and votes.

    Parameters
    ----------
    galaxies : the table they were drawn as.
    pictures : (n, pixels, pixels, 3), uint8.
    fractions : (n, columns) true probabilities of the answers.
    votes : (n, columns).
    """

    galaxies: QTable
    pictures: NDArray[np.uint8]
    fractions: NDArray[np.float64]
    votes: NDArray[np.float32]


def real_totals() -> NDArray[np.float64] | None:
    """How many volunteers saw each galaxy of Galaxy Zoo 2 (dataset ``gz_votes``); None where it cannot be had."""
    from starloom.datasets.access import open_table

    try:
        return np.asarray(open_table("gz_votes", "gz2_task1", columns=["n_votes"])["n_votes"], dtype=np.float64)
    except DatasetError:
        return None


def make_sample(
    count: int, pixels: int, *, seed: int | np.random.Generator, totals: NDArray[np.float64] | None = None,
    distant: float = DISTANT_SHARE,
) -> Sample:  # fmt: skip
    """Draw galaxies, three quarters of them nearby, with pictures and votes.

    Parameters
    ----------
    count, pixels : how many, and pixels across the pictures.
    seed : everything follows from it.
    totals : real numbers of volunteers to draw from; without them, made ones.
    distant : share of galaxies of a younger sky.
    """
    from astropy.table import vstack

    rng = generator(seed)
    far = round(distant * count)
    parts = [draw(count - far, seed=rng, population=NEAR), draw(far, seed=rng, population=FAR)]
    galaxies = vstack([part for part in parts if len(part)])[rng.permutation(count)]
    galaxies["galaxy_id"] = np.arange(count, dtype=np.int64)
    fractions = mock_votes.answer_fractions(galaxies)
    volunteers = (
        mock_votes.made_totals(count, seed=rng) if totals is None else mock_votes.vote_totals(totals, count, seed=rng)
    )
    votes = mock_votes.cast(fractions, volunteers, seed=rng)
    return Sample(galaxies, render(galaxies, pixels), fractions, votes)


def scores_of(model: VoteModel, sample: Sample) -> dict[str, Any]:
    """Scores of a model on a sample it was not trained on, as JSON can hold them."""
    found = vote_scores(
        concentrations(model, sample.pictures, views=VIEWS), sample.votes, sample.fractions,
        mock_votes.oracle_concentrations(sample.fractions), mock_votes.schema(),
    )  # fmt: skip
    return asdict(found)


def save(folder: str | Path, model: VoteModel, recipe: Recipe, history: Mapping[str, Any]) -> None:
    """Write a model and what is known of its making.

    The encoder is a folder like any saved encoder, with ``head.safetensors`` beside. One that began with the weights of
    ImageNet is written as its difference from them, in eight bits a weight with a scale for each output: a third of the
    size, and it holds nothing of the weights that others published.
    """
    about = {"recipe": recipe.as_json(), "schema": model.schema.as_json(), **history}
    if recipe.encoder == IMAGENET:
        save_folder(folder, DIFFERENCE, {"history": about}, _difference(model.encoder, load_encoder(IMAGENET)))
    else:
        save_encoder(model.encoder, folder, about)
    save_tensors(Path(folder) / "head.safetensors", {k: v.half() for k, v in model.head.state_dict().items()})


def _difference(mine: ImageEncoder, base: ImageEncoder) -> dict[str, Tensor]:
    result, before = {}, base.state_dict()
    for name, value in mine.state_dict().items():
        if not value.is_floating_point():
            continue
        away = (value - before[name]).float()
        if away.dim() < 2:
            result[name] = away.half()
            continue
        scale = away.flatten(1).abs().amax(dim=1).clamp_min(1e-12) / 127.0
        shape = (-1, *[1] * (away.dim() - 1))
        result[name] = torch.round(away / scale.view(shape)).to(torch.int8)
        result[f"{name}{SCALE}"] = scale
    return result


def _added(base: ImageEncoder, difference: Mapping[str, Tensor], label: str) -> ImageEncoder:
    state = base.state_dict()
    for name, value in difference.items():
        if name.endswith(SCALE):
            continue
        if name not in state or state[name].shape != value.shape:
            raise ModelFileError(f"{label}: {name!r} has no place in the encoder that it is a difference from")
        away = value.float()
        if value.dtype == torch.int8:
            away = away * difference[f"{name}{SCALE}"].view(-1, *[1] * (value.dim() - 1))
        state[name] = state[name] + away
    base.load_state_dict(state)
    return base


def load(folder: str | Path) -> tuple[VoteModel, dict[str, Any]]:
    """Read what :func:`save` wrote: the model in evaluation mode, and what is known of its making.

    Raises
    ------
    ModelFileError
        When the folder holds no such model.
    DatasetError
        When it is a difference from the weights of ImageNet and those cannot be had.
    """
    path = Path(folder)
    try:
        content = json.loads((path / "model.json").read_text())
        about = content["history"]
        schema = VoteSchema.from_json(about["schema"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(
            f"{folder} holds no encoder pretrained on votes: {type(error).__name__} {error}"
        ) from error
    if content.get("kind") == DIFFERENCE:
        _, tensors = load_folder(path, DIFFERENCE)
        network = _added(load_encoder(IMAGENET), tensors, str(folder))
    else:
        network = load_encoder(path)
    model = VoteModel(network, schema)
    model.head.load_state_dict({name: value.float() for name, value in load_tensors(path / "head.safetensors").items()})
    return model.eval(), about


def shipped(name: str = "small") -> tuple[VoteModel, dict[str, Any]]:
    """A model that Starloom carries, and its recipe and history.

    Raises
    ------
    ConfigError
        For an unknown name.

    Examples
    --------
    >>> model, about = shipped()
    >>> model.encoder.out_features, about["recipe"]["pixels"]
    (192, 64)
    """
    if not (SHIPPED / name / "model.json").is_file():
        known = sorted(path.parent.name for path in SHIPPED.glob("*/model.json"))
        raise ConfigError(f"Starloom carries no pretrained encoder {name!r}; it has {', '.join(known)}")
    return load(SHIPPED / name)


def start_of(recipe: Recipe, rng: np.random.Generator) -> ImageEncoder:
    """The encoder of a recipe before training: drawn anew, or with the weights of ImageNet."""
    if recipe.encoder == IMAGENET:
        return load_encoder(IMAGENET)
    with seeded(torch_generator(rng)):
        return encoder(recipe.encoder, 3, **recipe.size)


def _drawn(
    recipe: Recipe, seed: int, totals: NDArray[np.float64] | None, kept: Path
) -> tuple[NDArray[np.uint8], NDArray[np.float32], float]:
    """Pictures and votes to train on, and the CPU seconds that drawing them took; kept for the pieces that follow."""
    about = json.dumps([recipe.galaxies, recipe.pixels, seed, DISTANT_SHARE, asdict(NEAR), asdict(FAR)])
    digest = hashlib.sha256(about.encode() + (b"" if totals is None else totals.tobytes())).digest()
    identity = torch.tensor(list(digest), dtype=torch.uint8)
    if kept.exists():
        found = load_tensors(kept)
        if "identity" in found and torch.equal(found["identity"], identity):
            return found["pictures"].numpy(), found["votes"].numpy(), float(found["seconds"])
    clock = time.process_time()
    sample = make_sample(recipe.galaxies, recipe.pixels, seed=np.random.default_rng([seed, 10]), totals=totals)
    seconds = time.process_time() - clock
    save_tensors(kept, {
        "identity": identity, "seconds": torch.tensor(seconds, dtype=torch.float64),
        "pictures": torch.from_numpy(sample.pictures), "votes": torch.from_numpy(sample.votes),
    })  # fmt: skip
    return sample.pictures, sample.votes, seconds


def pretrain(
    name: str, out: str | Path, *, seed: int = 1, until: int | None = None, galaxies: int | None = None,
    steps: int | None = None,
) -> tuple[VoteModel, Log]:  # fmt: skip
    """Make a carried model again; the same call goes on where an earlier one stopped.

    Parameters
    ----------
    name : one of ``RECIPES``.
    out : folder of the model; the checkpoint and the drawn pictures lie beside it.
    seed : of galaxies, votes, weights and steps.
    until : stop before this step, with the checkpoint written and no model.
    galaxies, steps : fewer than the recipe says.

    Raises
    ------
    ConfigError
        For an unknown recipe.
    """
    if name not in RECIPES:
        raise ConfigError(f"no recipe is called {name!r}; there are {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    recipe = replace(
        recipe,
        galaxies=galaxies or recipe.galaxies,
        schedule=replace(recipe.schedule, steps=steps or recipe.schedule.steps),
    )
    folder = Path(out)
    checkpoint = make_folder(folder.parent) / f".{folder.name}.checkpoint.safetensors"
    totals = real_totals()
    kept = checkpoint.with_name(f".{folder.name}.sample.safetensors")
    pictures, votes, drawing = _drawn(recipe, seed, totals, kept)
    network = start_of(recipe, np.random.default_rng([seed, 11]))
    model, log = train_on_votes(
        network, pictures, votes, mock_votes.schema(), seed=seed, schedule=recipe.schedule,
        checkpoint=checkpoint, until=until, label=f"pretraining {name}",
    )  # fmt: skip
    if log.steps < recipe.schedule.steps:
        return model, log
    held = make_sample(HELD_OUT, recipe.pixels, seed=np.random.default_rng([seed, 12]), totals=totals)
    history = {
        "seed": seed,
        "data": {
            "kind": "simulated",
            "galaxies": recipe.galaxies,
            "distant_share": DISTANT_SHARE,
            "totals": "gz_votes" if totals is not None else "made",
            "population": asdict(NEAR),
        },
        "steps": log.steps,
        "cpu_seconds": round(log.seconds, 1),
        "drawing_cpu_seconds": round(drawing, 1),
        "losses": [round(value, 4) for value in log.losses],
        "held_out_galaxies": HELD_OUT,
    }
    save(folder, model, recipe, history)
    model, _ = load(folder)  # what is carried is scored, with the digits that its file keeps
    save(folder, model, recipe, history | {"held_out": scores_of(model, held)})
    kept.unlink(missing_ok=True)
    return model, log


def main() -> None:
    """The program."""
    from starloom.progress import say, shown

    parser = argparse.ArgumentParser(description="Pretrain an encoder on the votes of made galaxies.")
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("-o", "--out", required=True, type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--until", type=int)
    parser.add_argument("--galaxies", type=int)
    parser.add_argument("--steps", type=int)
    given = parser.parse_args()
    with shown():
        _, log = pretrain(
            given.name, given.out, seed=given.seed, until=given.until, galaxies=given.galaxies, steps=given.steps
        )
        say(f"{log.steps} steps, {log.seconds:.0f} CPU seconds")


if __name__ == "__main__":
    main()
