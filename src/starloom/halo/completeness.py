"""How much of a halo a kinematic selection keeps at each place, and how pure the sample is there.

Velocities are drawn from distribution functions at each place and put through the selection (arXiv:2306.03084, section
4). No errors of measurement are put on the draws.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom import executors
from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.potentials import Potential
from starloom.errors import ConfigError
from starloom.halo.selections import Motion, kinematic, largest_l_z
from starloom.progress import say

Array = NDArray[np.float64]
MODULI = np.linspace(7.0, 19.0, 21)
PLACES = 256  # in one block, which has its own random numbers and its own file


class Velocities(Protocol):
    """Anything that draws velocities at places: a distribution function or a mixture of them."""

    def sample_velocities(
        self, x: ArrayLike, count: int, seed: int | np.random.Generator, *, workers: int | None = None
    ) -> Array:
        """(n, count, 3) km/s at places (n, 3) kpc."""
        ...


@dataclass(frozen=True)
class KinematicTest:
    """What is asked of the draws.

    Parameters
    ----------
    merger : velocities of the stars looked for.
    rest : velocities of the others, for the purity; None for completeness alone.
    potential : in which the orbits are.
    selection : name of a kinematic selection.
    samples : draws of each kind at each place.
    share : of the merger among the halo's stars at a place.
    focal_length : see `Motion.of`.
    """

    merger: Velocities
    rest: Velocities | None
    potential: Potential
    selection: str = "e-Lz"
    samples: int = 1000
    share: float = 0.5
    focal_length: str = "local"

    def __post_init__(self) -> None:
        if self.samples < 1 or not 0.0 < self.share <= 1.0:
            raise ConfigError(f"samples must be 1 or more and the share in (0, 1], got {self.samples}, {self.share}")
        kinematic(self.selection)

    def counts(self, x: Array, seed: int | np.random.Generator, workers: int | None = None) -> NDArray[np.int64]:
        """(n, 2) draws of the merger and of the rest inside the selection, at places (n, 3) kpc."""
        from starloom.seeds import generator

        rng, chosen = generator(seed), kinematic(self.selection)
        found = np.zeros((len(x), 2), dtype=np.int64)
        for column, kind in enumerate((self.merger, self.rest)):
            if kind is None:
                continue
            v = kind.sample_velocities(x, self.samples, rng, workers=workers).reshape(-1, 3)
            place = np.repeat(np.arange(len(x)), self.samples)
            # orbits take almost all of the time: only of the draws that can be inside
            l_z = x[place, 0] * v[:, 1] - x[place, 1] * v[:, 0]
            kept = np.abs(l_z) <= largest_l_z(self.selection)
            place, v = place[kept], v[kept]
            motion = Motion.of(self.potential, (x[place], v), focal_length=self.focal_length, workers=workers)
            found[:, column] = np.bincount(place[chosen(motion)], minlength=len(x))
        return found


@dataclass(frozen=True)
class Counts:
    """Draws inside a selection at places: completeness, purity and their Monte Carlo errors.

    Parameters
    ----------
    inside : (..., 2) draws of the merger and of the rest inside the selection.
    samples : draws of each kind.
    share : of the merger among the halo's stars.
    """

    inside: NDArray[np.int64]
    samples: int
    share: float = 0.5

    @property
    def completeness(self) -> Array:
        """Share of the merger's stars that the selection keeps."""
        return np.asarray(self.inside[..., 0] / self.samples)

    @property
    def completeness_error(self) -> Array:
        """Its Monte Carlo error, from the binomial with one star added to either side, so that it is never zero."""
        p = (self.inside[..., 0] + 1.0) / (self.samples + 2.0)
        return np.asarray(np.sqrt(p * (1.0 - p) / (self.samples + 3.0)))

    @property
    def purity(self) -> Array:
        """Share of the selected stars that belong to the merger; 0 where none was selected."""
        merger, rest = self.share * self.inside[..., 0], (1.0 - self.share) * self.inside[..., 1]
        return np.asarray(merger / np.maximum(merger + rest, 1e-300))

    @property
    def purity_error(self) -> Array:
        """Its Monte Carlo error, to first order in those of the two counts."""
        p = self.purity
        with np.errstate(divide="ignore"):
            relative = 1.0 / np.maximum(self.inside[..., 0], 1) + 1.0 / np.maximum(self.inside[..., 1], 1)
        return np.asarray(p * (1.0 - p) * np.sqrt(relative))


def count_at(
    test: KinematicTest,
    x: ArrayLike,
    *,
    seed: int = 0,
    workers: int | None = None,
    folder: str | Path | None = None,
    progress: Callable[[str], object] = say,
) -> Counts:
    """Put draws at places through a selection.

    Parameters
    ----------
    test : what is drawn and asked.
    x : (n, 3) places about the Galactic center, kpc.
    seed : of the draws; the result depends neither on the workers nor on interruptions.
    workers : threads.
    folder : keeps each finished block under a name made of all that it depends on: a later call with the same places,
        functions and seed reads it back, an interrupted one goes on.
    progress : told about every twentieth block.

    Raises
    ------
    ConfigError
        When the places are not (n, 3) finite numbers.
    """
    places = np.atleast_2d(np.asarray(x, dtype=np.float64))
    if places.ndim != 2 or places.shape[1] != 3 or len(places) == 0 or not np.isfinite(places).all():
        raise ConfigError("the places of a completeness must be one or more finite positions (n, 3) in kpc")
    blocks = range(0, len(places), PLACES)
    rngs = np.random.SeedSequence(seed).spawn(len(blocks))
    parts: dict[int, NDArray[np.int64]] = {}
    paths: dict[int, Path] = {}
    todo = []
    for number, start in enumerate(blocks):
        block = places[start : start + PLACES]
        if folder is not None:
            paths[number] = Path(folder) / f"completeness-{_digest(test, block, seed, number)}.npy"
            if (kept := _kept(paths[number], len(block))) is not None:
                parts[number] = kept
                continue
        todo.append((number, _Block(test, block, rngs[number], workers)))
    for place, counts in executors.each(_counts, [block for _, block in todo], what="block of places"):
        number = todo[place][0]
        parts[number] = counts
        if number in paths:
            _keep(paths[number], counts)
        if len(parts) % 20 == 0:
            progress(f"completeness: {min(len(parts) * PLACES, len(places))} of {len(places)} places")
    return Counts(np.concatenate([parts[number] for number in range(len(blocks))]), test.samples, test.share)


@dataclass(frozen=True)
class _Block:
    test: KinematicTest
    places: Array
    seed: np.random.SeedSequence
    workers: int | None


def _counts(block: _Block) -> NDArray[np.int64]:
    return block.test.counts(block.places, np.random.default_rng(block.seed), block.workers)


def _digest(test: KinematicTest, block: Array, seed: int, number: int) -> str:
    """Name of what a block depends on."""
    digest = hashlib.sha256(block.tobytes())
    words = [test.selection, test.samples, test.focal_length, seed, number, test.potential.parameters]
    digest.update(json.dumps(words, sort_keys=True, default=str).encode())
    for kind in (test.merger, test.rest):
        for piece in _pieces(kind):
            digest.update(np.ascontiguousarray(piece).tobytes())
    return digest.hexdigest()[:24]


def _pieces(kind: Any) -> Sequence[Array]:
    if kind is None:
        return [np.zeros(1)]
    if hasattr(kind, "parts"):
        return [np.asarray(kind.shares, float), *(piece for part in kind.parts for piece in _pieces(part))]
    return [kind.energy, kind.log_f, np.array([kind.beta, kind.anisotropy_radius])]


def _kept(path: Path, rows: int) -> NDArray[np.int64] | None:
    try:
        found: NDArray[np.int64] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape == (rows, 2) else None


def _keep(path: Path, counts: NDArray[np.int64]) -> None:
    import io

    from starloom.files import write_bytes

    buffer = io.BytesIO()
    np.save(buffer, counts)
    write_bytes(path, buffer.getvalue())


# --------------------------------------------------------------------------------------------- along lines of sight


@dataclass(frozen=True)
class CompletenessMap:
    """Completeness and purity along lines of sight.

    Parameters
    ----------
    modulus : (k,) distance moduli of the nodes.
    counts : of shape (n, k).
    """

    modulus: Array
    counts: Counts

    def at(self, modulus: ArrayLike, what: str = "completeness") -> Array:
        """(n, m) completeness (or ``purity``) at distance moduli (m,): linear between the nodes, constant beyond."""
        values = getattr(self.counts, what)
        grid = np.asarray(modulus, dtype=np.float64)
        return np.stack([np.interp(grid, self.modulus, row) for row in values])


def along_fields(
    test: KinematicTest,
    l: ArrayLike,
    b: ArrayLike,
    *,
    frame: GalacticFrame,
    modulus: ArrayLike = MODULI,
    seed: int = 0,
    workers: int | None = None,
    folder: str | Path | None = None,
) -> CompletenessMap:
    """Completeness at every distance modulus of every line of sight.

    Parameters
    ----------
    l, b : (n,) Galactic coordinates, deg.
    frame : the Sun's place.
    modulus : (k,) nodes; by default the 21 from 7 to 19 of arXiv:2306.03084.
    """
    grid = np.asarray(modulus, dtype=np.float64)
    x = frame.from_galactic(np.asarray(l)[:, None], np.asarray(b)[:, None], 10.0 ** (grid / 5.0 - 2.0))
    counts = count_at(test, x.reshape(-1, 3), seed=seed, workers=workers, folder=folder)
    return CompletenessMap(grid, Counts(counts.inside.reshape(*x.shape[:-1], 2), counts.samples, counts.share))


@dataclass(frozen=True)
class MeridionalCompleteness:
    """Completeness over the meridional plane, which is all that it depends on in an axisymmetric Galaxy.

    A few hundred places, each with many draws, stand for all fields and distances, with less noise.

    Parameters
    ----------
    log_radius : (k,) ln of the distances from the center, kpc.
    sine : (m,) |z| / r from 0 to 1.
    counts : of shape (k, m).
    """

    log_radius: Array
    sine: Array
    counts: Counts

    @classmethod
    def make(
        cls,
        test: KinematicTest,
        *,
        radii: tuple[float, float] = (0.3, 100.0),
        shape: tuple[int, int] = (32, 10),
        seed: int = 0,
        workers: int | None = None,
        folder: str | Path | None = None,
    ) -> MeridionalCompleteness:
        """Draw at the nodes of a grid of ``shape`` between two radii (kpc)."""
        log_radius = np.linspace(np.log(radii[0]), np.log(radii[1]), shape[0])
        sine = np.sin(np.linspace(0.0, 0.5 * np.pi, shape[1])) * 0.9999 + 1e-5
        r, s = np.meshgrid(np.exp(log_radius), sine, indexing="ij")
        x = np.stack([r * np.sqrt(1.0 - s**2), np.zeros_like(r), r * s], axis=-1)
        counts = count_at(test, x.reshape(-1, 3), seed=seed, workers=workers, folder=folder)
        return cls(log_radius, sine, Counts(counts.inside.reshape(*shape, 2), counts.samples, counts.share))

    def at(self, x: ArrayLike, what: str = "completeness") -> Array:
        """(...) completeness (or ``purity``) at places (..., 3) kpc; at the edge beyond the grid."""
        from scipy.interpolate import RegularGridInterpolator

        places = np.asarray(x, dtype=np.float64)
        radius = np.maximum(np.linalg.norm(places, axis=-1), 1e-9)
        point = np.stack(
            [
                np.clip(np.log(radius), self.log_radius[0], self.log_radius[-1]),
                np.clip(np.abs(places[..., 2]) / radius, self.sine[0], self.sine[-1]),
            ],
            axis=-1,
        )
        return np.asarray(RegularGridInterpolator((self.log_radius, self.sine), getattr(self.counts, what))(point))
