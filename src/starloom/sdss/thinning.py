"""Thin a selection afterwards, as the code of some cartons does: so many a pixel, a group, or a cube of space."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.expression_values import Block
from starloom.catalog.expressions import parse
from starloom.errors import ConfigError, MissingColumnError
from starloom.sdss.columns import Parent, read_parent

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.sdss.carton import Carton
    from starloom.sdss.targets import CartonSelection

HALF_SIZE, HALF_HEIGHT, CUBE = 5.0, 0.2, 0.1
"""Extent of the voxels of mwm_dust_core about the Sun, and their edge, in kpc."""


def thin_selection(selection: CartonSelection, source: QTable, label: str) -> None:
    """Thin the cartons of a selection that ask for it, in place.

    Raises
    ------
    ConfigError
        When a carton counts another one that was not evaluated with it.
    MissingColumnError
        When a column that the thinning reads is not there.
    """
    for place, carton in enumerate(selection.cartons):
        if carton.thin is None:
            continue
        rows = np.flatnonzero(selection.member[place])
        selection.before_thinning[carton.label] = len(rows)
        needed = list(carton.rule_columns) if carton.thin.method != "best" else [carton.thin.group, *carton.columns]
        parent = read_parent(source, [name for name in needed if name not in selection.parent.raws], label=label)
        parent = Parent({**selection.parent.raws, **parent.raws}, parent.rows, parent.absent, (), (), {})
        wanted = _thinning_columns(carton)
        if lost := [name for name in wanted if name not in parent.raws]:
            raise MissingColumnError(
                f"{label}: thinning {carton.label} needs {', '.join(lost)}; select with thin=False"
            )
        selection.member[place, rows] = _keep(carton, selection, parent, rows)


def _thinning_columns(carton: Carton) -> tuple[str, ...]:
    from starloom.catalog.expressions import names

    thin = carton.thin
    if thin is None:
        return ()
    places = {"healpix": ("ra", "dec"), "scarce": ("ra", "dec"), "voxels": ("l", "b", "parallax")}.get(thin.method, ())
    return (*places, *(names(parse(thin.order)) if thin.order else ()), *((thin.group,) if thin.group else ()))


def _keep(carton: Carton, selection: CartonSelection, parent: Parent, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    thin = carton.thin
    if thin is None or len(rows) == 0:
        return np.ones(len(rows), dtype=bool)
    block = Block(parent.raws, rows, len(rows))
    order = np.broadcast_to(block.numbers(parse(thin.order)), (len(rows),)) if thin.order else np.zeros(len(rows))
    if thin.method == "healpix":
        return first_of_each(_pixels(block, thin.nside), order, thin.keep)
    if thin.method == "best":
        raw = block.raw(thin.group)
        _, group = np.unique(raw.values, return_inverse=True)
        return first_of_each(group, order, thin.keep)
    if thin.beside not in {other.name for other in selection.cartons}:
        raise ConfigError(
            f"{carton.label} counts {thin.beside}, so that has to be evaluated with it; or use thin=False"
        )
    beside = selection[thin.beside]
    if thin.method == "voxels":
        return voxels(
            block.numbers(parse("l")),
            block.numbers(parse("b")),
            block.numbers(parse("parallax")),
            beside[rows],
            keep=float(thin.keep),
        )
    everyone = Block(parent.raws, slice(None), parent.rows)
    counts = np.bincount(_pixels(everyone, thin.nside)[beside], minlength=12 * thin.nside**2)
    return np.asarray(counts[_pixels(block, thin.nside)] < thin.keep)


def _pixels(block: Block, nside: int) -> NDArray[np.int64]:
    import astropy.units as u
    from astropy_healpix import HEALPix

    ra, dec = (block.numbers(parse(name)) for name in ("ra", "dec"))
    pixels = HEALPix(nside, order="nested").lonlat_to_healpix(ra * u.deg, dec * u.deg)
    return np.asarray(pixels, dtype=np.int64)


def first_of_each(group: NDArray[np.int64], order: NDArray[np.float64], keep: int) -> NDArray[np.bool_]:
    """The first ``keep`` rows of each group by ``order``; of equals the earlier row.

    Examples
    --------
    >>> first_of_each(np.array([7, 7, 7, 9]), np.array([3.0, 1.0, 2.0, 5.0]), 2).tolist()
    [False, True, True, True]
    """
    places = np.lexsort((np.arange(len(group)), order, group))
    starts = np.flatnonzero(np.diff(group[places], prepend=group[places][:1] - 1))
    rank = np.arange(len(group)) - np.repeat(starts, np.diff(np.append(starts, len(group))))
    chosen = np.zeros(len(group), dtype=bool)
    chosen[places[rank < keep]] = True
    return chosen


def voxels(
    l: NDArray[np.float64],
    b: NDArray[np.float64],
    parallax: NDArray[np.float64],
    beside: NDArray[np.bool_],
    *,
    keep: float = 10.0,
) -> NDArray[np.bool_]:
    """Thin stars so that each cube of (0.1 kpc)^3 holds ``keep`` of them and of another carton together, on average.

    As in the code of mwm_dust_core: a star stays when a random number is less than what the cube still needs over the
    number of its own stars; stars of the other carton are dropped. numpy's old generator with seed 0 and the order of
    the rows decide, so the result is the survey's only for its own table.

    Parameters
    ----------
    l, b : Galactic coordinates in deg (n,).
    parallax : in mas (n,).
    beside : which of these stars the other carton has too (n,).
    keep : stars wanted in a cube.
    """
    distance = 1.0 / parallax
    x = distance * np.cos(np.radians(b)) * np.cos(np.radians(l))
    y = distance * np.cos(np.radians(b)) * np.sin(np.radians(l))
    z = distance * np.sin(np.radians(b))
    shape, places = [], []
    for values, half in ((x, HALF_SIZE), (y, HALF_SIZE), (z, HALF_HEIGHT)):
        cells = round(2.0 * half / CUBE)
        shape.append(cells)
        places.append(np.clip(np.floor((values + half) / CUBE).astype(np.int64), 0, cells - 1))
    cube = np.ravel_multi_index(tuple(places), tuple(shape))
    size = int(np.prod(shape))
    mine = np.bincount(cube[~beside], minlength=size)
    theirs = np.bincount(cube[beside], minlength=size)
    left = keep - theirs[cube[~beside]]
    own = mine[cube[~beside]]
    random = np.random.RandomState(0).rand(int((~beside).sum()))
    chosen = np.zeros(len(cube), dtype=bool)
    chosen[~beside] = random < left / (own + (own == 0))
    return chosen
