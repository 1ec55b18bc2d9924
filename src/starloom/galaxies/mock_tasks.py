"""Questions nobody asked the volunteers: labeled sets of made galaxies to try a pretrained encoder on.

They are modeled on the sets that arXiv:2404.02973 transfers to: rings; whether there are faint tails and shells, and of
which kind; ten types; galaxies of a younger sky seen by another telescope; and, beyond the paper's, strong lenses. The
labels follow from what was drawn, so a perfect classifier exists but for what blur and noise hide.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.errors import ConfigError
from starloom.galaxies.mock_population import EDGE_ON, Population, draw
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable

Labels = NDArray[np.int64]
NEARBY = Population(artifacts=0.0)


@dataclass(frozen=True)
class Task:
    """A labeled question.

    Parameters
    ----------
    name, meaning : what is asked.
    classes : names of the answers.
    population : what the galaxies are drawn from.
    label : table -> class of each row, -1 for rows that do not belong to the set.
    """

    name: str
    meaning: str
    classes: tuple[str, ...]
    population: Population
    label: Callable[[QTable], Labels]


def _column(table: QTable, name: str) -> NDArray[np.float64]:
    return np.asarray(table[name], dtype=np.float64)


def _choose(table: QTable, *cases: tuple[int, NDArray[np.bool_]]) -> Labels:
    """The first case that holds, row by row."""
    found = np.full(len(table), -1, dtype=np.int64)
    for label, rows in cases:
        found[(found < 0) & rows] = label
    return found


def _rings(table: QTable) -> Labels:
    face_on = (_column(table, "axis_ratio") > 0.4) & (_column(table, "bulge_fraction") < 0.8)
    ring = _column(table, "ring_strength")
    return _choose(table, (1, face_on & (ring > 0.15)), (0, face_on & (ring == 0)))


def _faint_kind(table: QTable) -> tuple[Labels, NDArray[np.float64]]:
    parts = np.column_stack([_column(table, name) for name in ("tail", "stream", "shell", "plume")])
    return np.where(parts.max(axis=1) > 0, parts.argmax(axis=1), -1), parts.max(axis=1)


def _tidal(table: QTable) -> Labels:
    kind, strength = _faint_kind(table)
    return _choose(table, (1, (kind >= 0) & (strength > 1.2)), (0, kind < 0))


def _which_tidal(table: QTable) -> Labels:
    kind, strength = _faint_kind(table)
    return np.where(strength > 1.5, kind, -1).astype(np.int64)


def _ten_types(table: QTable) -> Labels:
    ratio, bulge = _column(table, "axis_ratio"), _column(table, "bulge_fraction")
    mate, arms, bar = (_column(table, name) for name in ("companion_flux", "arm_strength", "bar_strength"))
    disturbed = np.abs(_column(table, "lopsidedness")) > 0.25
    smooth, disk = bulge > 0.99, bulge < 0.8
    edge_on = disk & (ratio < EDGE_ON - 0.05)
    face_on = disk & (ratio > 0.4)
    pitch = np.rad2deg(_column(table, "arm_pitch"))
    return _choose(
        table,
        (1, mate > 0.3),
        (0, disturbed & disk & (mate == 0)),
        (2, smooth & (ratio > 0.85)),
        (3, smooth & (ratio > 0.55) & (ratio < 0.8)),
        (4, smooth & (ratio < 0.45)),
        (8, edge_on & (bulge < 0.08)),
        (9, edge_on & (bulge > 0.15)),
        (5, face_on & (bar > 0.12) & (arms > 0.3)),
        (6, face_on & (bar == 0) & (arms > 0.4) & (pitch < 18)),
        (7, face_on & (bar == 0) & (arms > 0.4) & (pitch > 25)),
    )


def _distant(table: QTable) -> Labels:
    ratio, bulge = _column(table, "axis_ratio"), _column(table, "bulge_fraction")
    clumps, mate, arms = (_column(table, name) for name in ("clumps", "companion_flux", "arm_strength"))
    disk = bulge < 0.7
    return _choose(
        table,
        (4, mate > 0.25),
        (0, bulge > 0.99),
        (3, disk & (clumps > 0.2) & (ratio > 0.35)),
        (2, disk & (ratio < EDGE_ON)),
        (1, disk & (ratio > 0.45) & (clumps == 0) & (arms < 0.6)),
    )


def _lenses(table: QTable) -> Labels:
    early = _column(table, "bulge_fraction") > 0.6
    arc = _column(table, "lens_arc")
    return _choose(table, (1, early & (arc > 5.0)), (0, early & (arc == 0)))


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("rings", "whether the disk has a ring", ("no ring", "ring"),
             replace(NEARBY, disks=0.95, rings=0.5), _rings),
        Task("tidal", "whether there are faint tails, streams, shells or plumes", ("none", "tidal"),
             replace(NEARBY, tidal=0.5, mergers=0.0), _tidal),
        Task("which-tidal", "which kind of faint feature", ("tail", "stream", "shell", "plume"),
             replace(NEARBY, tidal=1.0, mergers=0.0), _which_tidal),
        Task("ten-types", "ten types as in Galaxy10",
             ("disturbed", "merging", "round smooth", "in-between smooth", "cigar smooth", "barred spiral",
              "tight spiral", "loose spiral", "edge-on without bulge", "edge-on with bulge"),
             replace(NEARBY, mergers=0.15, tidal=0.05), _ten_types),
        Task("distant", "five types of galaxies of a younger sky", ("spheroid", "disk", "edge-on", "clumpy", "merger"),
             replace(NEARBY, distance=1.0, mergers=0.2, tidal=0.03), _distant),
        Task("lenses", "whether an arc is around an early galaxy", ("none", "lens"),
             replace(NEARBY, disks=0.2, lenses=0.5, mergers=0.0), _lenses),
    )
}  # fmt: skip


def draw_task(name: str, count: int, *, seed: int | np.random.Generator) -> tuple[QTable, Labels]:
    """Draw a set of made galaxies with as many of each class.

    Parameters
    ----------
    name : one of ``TASKS``.
    count : galaxies in all.
    seed : every number of the table follows from it.

    Returns
    -------
    table, labels
        The galaxies in random order, and the class of each.

    Raises
    ------
    ConfigError
        For an unknown task, or fewer galaxies than classes.

    Examples
    --------
    >>> galaxies, labels = draw_task("rings", 10, seed=1)
    >>> len(galaxies), labels.sum()
    (10, np.int64(5))
    """
    if name not in TASKS:
        raise ConfigError(f"no task of made galaxies is called {name!r}; there are {', '.join(TASKS)}")
    task, rng = TASKS[name], generator(seed)
    classes = len(task.classes)
    if count < classes:
        raise ConfigError(f"{name} has {classes} classes: at least as many galaxies, please, not {count}")
    wanted = np.full(classes, count // classes)
    wanted[: count % classes] += 1
    from astropy.table import vstack

    tables, labels = [], []
    missing = wanted.copy()
    while missing.any():
        table = draw(max(4 * count, 400), seed=rng, population=task.population)
        found = task.label(table)
        for k in range(classes):
            rows = np.flatnonzero(found == k)[: missing[k]]
            missing[k] -= len(rows)
            tables.append(table[rows])
            labels.append(np.full(len(rows), k))
    order = rng.permutation(count)
    galaxies, classes_of = vstack(tables)[order], np.concatenate(labels)[order].astype(np.int64)
    galaxies["galaxy_id"] = np.arange(count, dtype=np.int64)
    return galaxies, classes_of
