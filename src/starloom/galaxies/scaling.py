"""How error falls with labels and with parameters: a grid of trainings, each kept as a file, and the laws through them.

A cell of the grid is one training: so many labels, one encoder, one seed. Cells are independent, so they run in
processes, in any order, and what was done is not done again. The pictures are drawn once a size and seed; a cell with
fewer labels takes the first of them, so that more labels always means more of the same sky.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom import executors, progress
from starloom.errors import ConfigError, FitError, StarloomError
from starloom.files import make_folder, write_json
from starloom.galaxies.scaling_laws import PowerLaw, fit_power_law
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.galaxies.pretraining import Sample

TOTAL = "all questions"


@dataclass(frozen=True)
class Cell:
    """One training.

    Parameters
    ----------
    labels : galaxies with votes to learn from.
    encoder : name of the encoder.
    seed : of weights, steps and galaxies.
    """

    labels: int
    encoder: str
    seed: int

    @property
    def name(self) -> str:
        """What its file is called."""
        return f"{self.encoder}-{self.labels}-{self.seed}"


@dataclass(frozen=True)
class Grid:
    """What is trained.

    Parameters
    ----------
    labels : numbers of labels, rising.
    encoders : names of encoders, such as ``resnet_mini`` (see :func:`starloom.galaxies.encoders.encoder`).
    seeds : repetitions.
    pixels : across the pictures.
    held_out : galaxies that every cell is scored on, the same for all.
    passes, least, most : a training sees each galaxy so many times, but makes at least and at most so many steps.
    batch, learning_rate : of the training.
    patch : first patch of ConvNeXt, smaller than usual for small pictures.
    """

    labels: tuple[int, ...]
    encoders: tuple[str, ...]
    seeds: tuple[int, ...] = (1,)
    pixels: int = 48
    held_out: int = 1000
    passes: float = 8.0
    least: int = 100
    most: int = 2000
    batch: int = 32
    learning_rate: float = 2e-3
    patch: int = 2

    def __post_init__(self) -> None:
        if not self.labels or min(self.labels) < 1 or list(self.labels) != sorted(set(self.labels)):
            raise ConfigError(f"the numbers of labels must be positive and rise: {self.labels}")
        if not self.encoders or not self.seeds or not 1 <= self.least <= self.most:
            raise ConfigError("a grid needs encoders, seeds, and at least as many most as least steps")

    def cells(self) -> list[Cell]:
        """All cells, cheap ones first."""
        return [Cell(n, name, seed) for n in self.labels for name in self.encoders for seed in self.seeds]

    def steps(self, labels: int) -> int:
        """Steps of a training with so many labels."""
        return int(np.clip(round(self.passes * labels / self.batch), self.least, self.most))

    def identity(self) -> dict[str, Any]:
        """What a kept cell must agree with; which other cells the grid has does not matter."""
        own = asdict(self)
        for name in ("labels", "encoders", "seeds"):
            del own[name]
        return own | {"most_labels": max(self.labels)}


@lru_cache(maxsize=2)
def _sample(count: int, pixels: int, seed: int, part: int) -> Sample:
    from starloom.galaxies.pretraining import make_sample, real_totals

    return make_sample(count, pixels, seed=np.random.default_rng([seed, part]), totals=real_totals())


def run_cell(grid: Grid, cell: Cell) -> dict[str, Any]:
    """Train one cell and score it: its loss of each question on the held-out galaxies, as JSON can hold it."""
    from starloom.galaxies import mock_votes
    from starloom.galaxies.encoders import count_parameters, encoder
    from starloom.galaxies.pretraining import scores_of
    from starloom.galaxies.vote_training import Schedule, train_on_votes
    from starloom.neural.training import seeded
    from starloom.seeds import torch_generator

    train = _sample(max(grid.labels), grid.pixels, cell.seed, 20)
    held = _sample(grid.held_out, grid.pixels, 0, 21)
    more = {"patch": grid.patch} if cell.encoder.startswith("convnext") else {}
    with seeded(torch_generator(np.random.default_rng([cell.seed, 22]))):
        network = encoder(cell.encoder, 3, **more)
    schedule = Schedule(steps=grid.steps(cell.labels), batch=grid.batch, learning_rate=grid.learning_rate, average=0.98)
    model, log = train_on_votes(
        network,
        train.pictures[: cell.labels],
        train.votes[: cell.labels],
        mock_votes.schema(),
        seed=cell.seed,
        schedule=schedule,
        label=cell.name,
    )
    return {
        "parameters": count_parameters(network),
        "steps": log.steps,
        "cpu_seconds": round(log.seconds, 2),
        **scores_of(model, held),
    }


@contextmanager
def _pool(workers: int) -> Iterator[Executor]:
    """Fresh processes with one thread each: forked ones would share the state of torch's threads."""
    before = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    os.environ.update(dict.fromkeys(before, "1"))
    try:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            yield pool
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def run_grid(
    grid: Grid, folder: str | Path, *, workers: int = 1, executor: Executor | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """Run the cells that the folder does not hold yet.

    Parameters
    ----------
    grid : what is trained.
    folder : one file a cell. Files of a grid with other settings are not used.
    workers : processes; 1 works in this one. The results do not depend on it.
    executor : where to run instead: anything with ``submit``, such as ``client.get_executor()`` of Dask.
    limit : at most so many new cells, to do a long grid in parts.

    Returns
    -------
    list of dict
        Those cells of the grid that are done: ``labels``, ``encoder``, ``seed``, what :func:`run_cell` gives, or
        ``failure``.
    """
    place, identity = make_folder(folder), json.loads(json.dumps(grid.identity()))
    known = {cell: found for cell in grid.cells() if (found := _kept(place, cell, identity)) is not None}
    missing = [cell for cell in grid.cells() if cell not in known][:limit]

    def keep(cell: Cell, found: dict[str, Any]) -> None:
        known[cell] = {**asdict(cell), **found}
        write_json(place / f"{cell.name}.json", {"grid": identity, **known[cell]})

    with progress.bar("scaling grid", len(missing), "trainings") as advance:
        if executor is None and executors.active():
            for number, found in executors.each(_attempted, [(grid, cell) for cell in missing], what="training"):
                keep(missing[number], found)
                advance(1, missing[number].name)
        elif executor is None and (workers == 1 or len(missing) <= 1):
            for cell in missing:
                keep(cell, _attempt(grid, cell))
                advance(1, cell.name)
        elif executor is not None:
            _gather(grid, missing, executor, keep, advance)
        else:
            with _pool(min(workers, len(missing))) as pool:
                _gather(grid, missing, pool, keep, advance)
    return [known[cell] for cell in grid.cells() if cell in known]


def _gather(grid: Grid, cells: Sequence[Cell], pool: Executor, keep: Any, advance: Any) -> None:
    waiting: dict[Future[dict[str, Any]], Cell] = {pool.submit(_attempt, grid, cell): cell for cell in cells}
    try:
        for done in as_completed(waiting):
            keep(waiting[done], done.result())
            advance(1, waiting[done].name)
    except BaseException:
        for future in waiting:
            future.cancel()
        raise


def _attempted(item: tuple[Grid, Cell]) -> dict[str, Any]:
    return _attempt(*item)


def _attempt(grid: Grid, cell: Cell) -> dict[str, Any]:
    """A cell that diverges is a result too."""
    try:
        return run_cell(grid, cell)
    except StarloomError as error:
        return {"failure": f"{type(error).__name__}: {error}"}


def _kept(folder: Path, cell: Cell, identity: dict[str, Any]) -> dict[str, Any] | None:
    try:
        found = json.loads((folder / f"{cell.name}.json").read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.pop("grid", None) != identity:
        return None
    return found


@dataclass(frozen=True)
class Law:
    """The law of one question, with labels or with parameters.

    Parameters
    ----------
    question : its name, or ``all questions``.
    along : ``labels`` or ``parameters``.
    held : what was kept the same: the encoder, or the number of labels.
    law : the fit; None where it could not be made.
    points : (n, 2) sizes and losses that it was fitted to.
    reason : why there is no fit.
    """

    question: str
    along: str
    held: str
    law: PowerLaw | None
    points: NDArray[np.float64]
    reason: str = ""

    @property
    def helps(self) -> bool:
        """Whether the loss falls over the range, beyond its interval."""
        return self.law is not None and self.law.gain[1] > 0.01


def _losses(cell: dict[str, Any]) -> dict[str, float]:
    return {TOTAL: float(cell["loss"]), **{name: float(value) for name, value in cell["questions"].items()}}


def laws(cells: Iterable[dict[str, Any]], *, seed: int | np.random.Generator = 0) -> list[Law]:
    """Laws of every question, with labels for each encoder, and with parameters for each family at most labels.

    The family of an encoder is its name up to the size (``resnet`` of ``resnet_mini``).

    Parameters
    ----------
    cells : what :func:`run_grid` gives; failed cells are left out.
    seed : of the bootstrap.
    """
    rng = generator(seed)
    done = [cell for cell in cells if "failure" not in cell]
    found: list[Law] = []
    if not done:
        return found
    questions = list(_losses(done[0]))
    for name in dict.fromkeys(cell["encoder"] for cell in done):
        mine = [cell for cell in done if cell["encoder"] == name]
        found += [_law(q, "labels", name, [(c["labels"], _losses(c)[q]) for c in mine], rng) for q in questions]
    most = max(cell["labels"] for cell in done)
    for family in dict.fromkeys(family_of(cell["encoder"]) for cell in done):
        mine = [cell for cell in done if family_of(cell["encoder"]) == family and cell["labels"] == most]
        points = {q: [(c["parameters"], _losses(c)[q]) for c in mine] for q in questions}
        found += [_law(q, "parameters", f"{family}, {most} labels", points[q], rng) for q in questions]
    return found


def family_of(encoder: str) -> str:
    """The family of an encoder: its name up to the size."""
    head, _, size = encoder.rpartition("_")
    return head if head and not size.isdigit() else encoder.rstrip("0123456789")


def _law(
    question: str, along: str, held: str, points: Sequence[tuple[float, float]], rng: np.random.Generator
) -> Law:  # fmt: skip
    values = np.array(points, dtype=np.float64).reshape(-1, 2)
    try:
        return Law(question, along, held, fit_power_law(values[:, 0], values[:, 1], seed=rng), values)
    except FitError as error:
        return Law(question, along, held, None, values, str(error))


def law_table(found: Iterable[Law]) -> QTable:
    """Laws as a table: a row a question, direction and encoder or family, with 90 % intervals."""
    from astropy.table import QTable

    rows = []
    for law in found:
        if law.law is None:
            rows.append((law.question, law.along, law.held, len(law.points), *[np.nan] * 9, False, law.reason))
            continue
        fit = law.law
        rows.append((
            law.question, law.along, law.held, len(law.points), fit.floor, *fit.interval("floor"), fit.exponent,
            *fit.interval(), *fit.gain, law.helps, "",
        ))  # fmt: skip
    names = ("question", "along", "held", "trainings", "floor", "floor_low", "floor_high", "exponent", "exponent_low",
             "exponent_high", "gain", "gain_low", "gain_high", "helps", "reason")  # fmt: skip
    kinds = [str, str, str, int, *[float] * 9, bool, str]
    return QTable(rows=rows or None, names=names, dtype=kinds)
