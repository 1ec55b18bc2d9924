"""Self-organizing maps: training beside somoclu and minisom, and assignment of a million galaxies.

The peers are not among the dependencies. ``pip install minisom somoclu`` puts them beside; somoclu has to be built with
no nvcc on the PATH, or it installs without its compiled part.
"""

from __future__ import annotations

import resource
import time
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
from side_by_side import Comparison, table

from starloom import progress
from starloom.galaxies.map_grid import Grid
from starloom.galaxies.map_kernels import online
from starloom.galaxies.map_quality import measure
from starloom.galaxies.map_schedules import schedule
from starloom.galaxies.map_search import NearestCells
from starloom.galaxies.map_training import ScaledGalaxies, first_cells, train_batch, train_online
from starloom.seeds import generator

GALAXIES = 100_000
GRID = Grid(75, 150)
EPOCHS, PEER_EPOCHS = 10, 2
MINISOM_STEPS = 1_000
MOST_ERROR = 0.27
ASSIGNED, FEATURES = 1_000_000, 7


def section() -> tuple[str, bool]:
    """The section of the page, and whether all results are as good as they have to be."""
    values = galaxies(GALAXIES)
    warm(values)
    comparisons = [c for c in (_batch(values), _online(values)) if c is not None]
    missing = [name for name in ("somoclu", "minisom") if find_spec(name) is None]
    note = f"Not installed here, and so not compared: {', '.join(missing)}.\n\n" if missing else ""
    text, good = _assignment()
    return f"## maps\n\n{note}{table(comparisons)}\n{text}", good and all(c.agrees for c in comparisons)


def galaxies(count: int) -> np.ndarray:
    """Eight features of six latent variables, standardized (seed 1)."""
    rng = generator(1)
    z, t = rng.gamma(3, 0.35, count), rng.beta(2, 2, count)
    dust, other = rng.exponential(0.2, count), rng.normal(size=count)
    latent = np.stack([np.tanh(2 * z - 1), np.sin(3 * z), t, dust, t * np.sin(2 * z), 0.2 * other], axis=1)
    values = latent @ rng.normal(size=(6, 8)) + rng.normal(0.0, 0.05, (count, 8))
    return (values - values.mean(axis=0)) / values.std(axis=0)


def warm(values: np.ndarray) -> None:
    """Compile."""
    online()
    small, grid = ScaledGalaxies(values[:500]), Grid(4, 5)
    begun = first_cells(small, grid, "plane", generator(1))
    train_online(small, grid, schedule("online", passes=1), begun, generator(1), precision="float32")
    train_batch(small, grid, schedule("starloom", passes=1), begun, workers=1)


def _error(cells: np.ndarray, values: np.ndarray) -> float:
    return measure(cells, GRID, values[::5]).quantization_error


def _timed(work: Any) -> tuple[float, Any]:
    started = time.process_time()
    found = work()
    return time.process_time() - started, found


def _batch(values: np.ndarray) -> Comparison | None:
    progress.say("maps: batch")
    sample = ScaledGalaxies(values)
    begun = first_cells(sample, GRID, "plane", generator(1))
    seconds, cells = _timed(lambda: train_batch(sample, GRID, schedule("starloom", passes=EPOCHS), begun, workers=1))
    if find_spec("somoclu") is None:
        print(f"batch: {seconds / EPOCHS:.3f} s an epoch, quantization error {_error(cells, values):.3f}")
        return None
    from somoclu import Somoclu

    peer = Somoclu(GRID.columns, GRID.rows, maptype="planar")
    single = values.astype(np.float32)
    peer_seconds, _ = _timed(lambda: peer.train(data=single, epochs=PEER_EPOCHS))
    error = _error(cells, values)
    return Comparison(
        name=f"one batch epoch, {GALAXIES} x 8 on {GRID.rows} x {GRID.columns}", peer="somoclu",
        seconds=seconds / EPOCHS, peer_seconds=peer_seconds / PEER_EPOCHS, difference=error, tolerance=MOST_ERROR,
        unit="quantization error", work=GALAXIES, work_unit="galaxies",
        note=f"{EPOCHS} epochs of the schedule 'starloom' reach {error:.3f}; somoclu after its {PEER_EPOCHS}: "
        f"{_error(peer.codebook.reshape(-1, 8).astype(float), values):.3f}.",
    )  # fmt: skip


def _online(values: np.ndarray) -> Comparison | None:
    progress.say("maps: online")
    sample, course = ScaledGalaxies(values), replace(schedule("online"), least_steps=0)
    begun = first_cells(sample, GRID, "sample", generator(1))
    seconds, cells = _timed(lambda: train_online(sample, GRID, course, begun, generator(2), precision="float32"))
    steps, error = course.steps(len(values)), _error(cells, values)
    if find_spec("minisom") is None:
        print(f"online: {1e6 * seconds / steps:.1f} us a step, quantization error {error:.3f}")
        return None
    from minisom import MiniSom

    peer = MiniSom(GRID.rows, GRID.columns, 8, sigma=float(GRID.shorter_side), learning_rate=1.0, random_seed=1)
    peer_seconds, _ = _timed(lambda: peer.train_random(values, MINISOM_STEPS))
    return Comparison(
        name=f"one online step, 8 features on {GRID.rows} x {GRID.columns}", peer="minisom",
        seconds=seconds / steps, peer_seconds=peer_seconds / MINISOM_STEPS, difference=error, tolerance=MOST_ERROR,
        unit="quantization error", work=1, work_unit="steps",
        note=f"{steps} steps of the schedule 'online' reach {error:.3f}; minisom is timed over {MINISOM_STEPS} steps.",
    )  # fmt: skip


def _assignment() -> tuple[str, bool]:
    progress.say("maps: assignment")
    rng = generator(3)
    values = rng.normal(size=(ASSIGNED, FEATURES)).astype(np.float32)
    cells = values[: GRID.cells] + 0.1 * rng.normal(size=(GRID.cells, FEATURES))
    search = NearestCells(cells)
    search.find(values[:1000])
    seconds, _ = _timed(lambda: search.find(values))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    block, matrix = np.ones((128, FEATURES + 1), np.float32), np.ones((FEATURES + 1, GRID.cells), np.float32)
    out = np.empty((128, GRID.cells), np.float32)
    product, _ = _timed(lambda: [np.matmul(block, matrix, out=out) for _ in range(ASSIGNED // 1280)])
    product *= 10.0
    square = rng.normal(size=(2000, 2000)).astype(np.float32)
    square @ square
    peak, _ = _timed(lambda: [square @ square for _ in range(5)])
    flops = 2.0 * ASSIGNED * GRID.cells * (FEATURES + 1)
    rate, best = flops / seconds / 1e9, 5 * 2 * 2000**3 / peak / 1e9
    text = (
        f"Assignment of {ASSIGNED:,} x {FEATURES} to {GRID.cells:,} cells: **{seconds:.1f} CPU s** on one thread, peak "
        f"memory of the whole process {memory:.2f} GiB. That is {rate:.0f} Gflop/s: {rate / best:.0%} of what the BLAS "
        f"does on large square matrices ({best:.0f}); the matrix product alone takes {product:.1f} s, as it writes "
        f"{4 * GRID.cells / 1024:.0f} KiB of scores a galaxy. The work is linear in galaxies and needs no more memory "
        f"for more of them: 1e9 are {seconds * 1000 / 3600:.1f} core hours.\n"
    )
    return text, seconds <= 20.0 and memory < 1.0
