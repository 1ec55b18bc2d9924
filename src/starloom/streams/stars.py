"""A table of stars made ready for the density model: coordinates of the stream's frame, masks, reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from starloom.catalog.schema import plain
from starloom.errors import MissingColumnError
from starloom.stats.windows import ConvexPolygon
from starloom.streams.configuration import PM, Photometry
from starloom.streams.schema import IN_FRAME, SCHEMA

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.streams.membership import StreamModel

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
FLOAT = torch.float32


@dataclass
class Stars:
    """The used rows of a table as tensors; n of them.

    Attributes
    ----------
    rows : indices of the used rows in the table, shape (n,).
    reasons : shape (rows of the table,), empty for a used row.
    phi1, phi2 : deg.
    pm, pm_covariance : in the stream's frame, solar reflex removed where the model says so; (n, 2) and (n, 3) as
        xx, xy, yy. ``pm_seen`` masks missing ones.
    turn, reflex : pm = turn @ (pmra, pmdec) - reflex.
    scalars, scalar_errors, scalar_seen : name -> (n,) for parallax and radial velocity.
    magnitudes, magnitude_errors : (n, bands); ``photometry_seen`` masks stars without photometry. One band may be
        missing (of three or more, too): its error is then infinite. ``photometry_asked`` is False where the table has
        no column of magnitudes: that a star has none then says nothing of it.
    """

    rows: NDArray[np.int64]
    reasons: NDArray[np.str_]
    phi1: Array
    phi2: Tensor
    pm: Tensor
    pm_covariance: Tensor
    pm_seen: Tensor
    turn: Tensor
    reflex: Tensor
    scalars: dict[str, Tensor]
    scalar_errors: dict[str, Tensor]
    scalar_seen: dict[str, Tensor]
    magnitudes: Tensor | None
    magnitude_errors: Tensor | None
    photometry_seen: Tensor
    photometry_asked: bool = True

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def has_errors(self) -> bool:
        """Whether any proper motion comes with a measurement error."""
        return bool((self.pm_covariance[:, 0] > 0).any())

    def features_used(self) -> NDArray[np.int64]:
        """How many measured numbers each star was judged by (phi2 always)."""
        count = torch.ones(len(self), dtype=torch.int64) + 2 * self.pm_seen.long()
        for seen in self.scalar_seen.values():
            count = count + seen.long()
        if self.magnitudes is not None:
            assert self.magnitude_errors is not None
            measured = torch.isfinite(self.magnitude_errors).sum(dim=1)
            count = count + measured * self.photometry_seen.long()
        return count.numpy()


def tensor(values: Any) -> Tensor:
    """A float32 tensor."""
    return torch.as_tensor(np.asarray(values), dtype=FLOAT)


def optional(table: QTable, name: str) -> Array:
    """A canonical column as float64, or NaN throughout where the table lacks it; shape (rows,)."""
    return plain(table, name) if name in table.colnames else np.full(len(table), np.nan)


def prepare(model: StreamModel, table: QTable) -> Stars:
    """Turn a table into Stars; rows outside the model's window or without a position get a reason instead."""
    applied = (IN_FRAME if model.stream_frame is None else SCHEMA).apply(table, unique=None)
    reasons = np.zeros(len(applied), dtype="U60")

    def refuse(where: Mask, reason: str) -> None:
        reasons[where & (reasons == "")] = reason

    phi1, phi2, turn, reflex = _places(model, applied)
    refuse(~np.isfinite(phi1) | ~np.isfinite(phi2), "no position")
    with np.errstate(invalid="ignore"):
        refuse((phi1 < model.phi1[0]) | (phi1 > model.phi1[1]), "outside the phi1 window")
        refuse((phi2 < model.phi2.window[0]) | (phi2 > model.phi2.window[1]), "outside the phi2 window")

    pm, covariance, pm_seen = np.zeros((len(applied), 2)), np.zeros((len(applied), 3)), np.zeros(len(applied), bool)
    if model.proper_motion is not None:
        names = PM if model.stream_frame is None else ("pmra", "pmdec")
        if absent := [name for name in names if name not in applied.colnames]:
            raise MissingColumnError(
                f"the model uses proper motions; the table lacks {' and '.join(absent)} (mas/yr); where they were not "
                "measured, give the columns with missing values (NaN)"
            )
        observed = np.stack([plain(applied, name) for name in names], axis=1)
        pm_seen = np.logical_and.reduce(np.isfinite(observed), axis=1)
        pm = (turn @ np.where(pm_seen[:, None], observed, 0.0)[..., None])[..., 0] - reflex
        windowed = observed if model.proper_motion.system == "icrs" else pm
        refuse(pm_seen & ~_inside(model.polygon, windowed), "outside the proper-motion window")
        covariance = turned_covariance(applied, names, turn)
        refuse(pm_seen & ~np.isfinite(covariance).all(axis=1), "proper-motion covariance not valid")

    scalars, errors, seen = {}, {}, {}
    for name, (low, high) in model.scalar_windows.items():
        value, error = optional(applied, name), optional(applied, f"{name}_error")
        here = np.isfinite(value)
        with np.errstate(invalid="ignore"):
            refuse(here & ((value < low) | (value > high)), f"outside the {name} window")
            # without a column of errors there are none; with one, each value needs its own
            bad = (
                here & (np.isnan(error) | (error < 0))
                if f"{name}_error" in applied.colnames
                else np.zeros(len(here), bool)
            )
            refuse(bad, f"{name} error not valid")
        scalars[name], errors[name], seen[name] = np.where(here, value, 0.0), np.nan_to_num(error), here

    magnitudes, magnitude_errors, asked = None, None, True
    photometry_seen = np.zeros(len(applied), dtype=bool)
    if model.photometry is not None:
        asked = any(band in applied.colnames for band in model.photometry.bands)
        magnitudes, magnitude_errors, photometry_seen, outside = _photometry(applied, model.photometry)
        refuse(outside, "outside the photometric window")

    rows = np.flatnonzero(reasons == "")
    chosen = None if magnitudes is None else tensor(magnitudes[rows])
    chosen_errors = None if magnitude_errors is None else tensor(magnitude_errors[rows])
    return Stars(
        rows=rows,
        reasons=reasons,
        phi1=phi1[rows],
        phi2=tensor(phi2[rows]),
        pm=tensor(pm[rows]),
        pm_covariance=tensor(covariance[rows]),
        pm_seen=torch.as_tensor(pm_seen[rows]),
        turn=tensor(turn[rows]),
        reflex=tensor(reflex[rows]),
        scalars={name: tensor(value[rows]) for name, value in scalars.items()},
        scalar_errors={name: tensor(value[rows]) for name, value in errors.items()},
        scalar_seen={name: torch.as_tensor(value[rows]) for name, value in seen.items()},
        magnitudes=chosen,
        magnitude_errors=chosen_errors,
        photometry_seen=torch.as_tensor(photometry_seen[rows]),
        photometry_asked=asked,
    )


def absent_columns(model: StreamModel, table: QTable) -> list[str]:
    """The measured columns that a model uses and a table lacks (errors are not counted: they may be left out)."""
    known = (IN_FRAME if model.stream_frame is None else SCHEMA).apply(table, unique=None).colnames
    used = [*model.scalar_windows, *(() if model.photometry is None else model.photometry.bands)]
    if model.proper_motion is not None:
        used += PM if model.stream_frame is None else ("pmra", "pmdec")
    return [name for name in used if name not in known]


def require_single_rows(model: StreamModel, table: QTable) -> None:
    """Raise CatalogError where a source_id is there more than once: a star fitted twice would count twice."""
    (IN_FRAME if model.stream_frame is None else SCHEMA).apply(table, keep_others=False)


def _places(model: StreamModel, table: QTable) -> tuple[Array, Array, Array, Array]:
    """phi1, phi2 (deg), the turn of the proper motions (n, 2, 2) and the solar reflex (n, 2) at every row."""
    frame = model.stream_frame
    if frame is None:
        phi1, phi2 = plain(table, "phi1"), plain(table, "phi2")
    else:
        phi1, phi2 = frame.to_frame(plain(table, "ra"), plain(table, "dec"))
    safe = np.isfinite(phi1) & np.isfinite(phi2)
    return phi1, phi2, *turn_and_reflex(model, np.where(safe, phi1, 0.0), np.where(safe, phi2, 0.0))


def turn_and_reflex(model: StreamModel, phi1: Array, phi2: Array) -> tuple[Array, Array]:
    """The turn of proper motions into the stream's frame, (n, 2, 2), and the solar reflex there (mas/yr), (n, 2)."""
    frame = model.stream_frame
    turn, reflex = np.broadcast_to(np.eye(2), (len(phi1), 2, 2)), np.zeros((len(phi1), 2))
    if frame is not None:
        turn = frame.turn(*frame.to_icrs(phi1, phi2))
        if model.proper_motion is not None and model.proper_motion.reflex_distance is not None:
            distance = np.full(len(phi1), model.proper_motion.reflex_distance)
            reflex = frame.reflex(phi1, phi2, distance, model.galactic_frame)
    return turn, reflex


def _inside(polygon: ConvexPolygon, pm: Array) -> Mask:
    with np.errstate(invalid="ignore"):
        return polygon.contains(pm[:, 0], pm[:, 1])


def turned_covariance(table: QTable, names: tuple[str, str], turn: Array) -> Array:
    """Proper-motion covariance in the stream's frame as xx, xy, yy (0 where no error is given), shape (n, 3)."""
    if any(f"{name}_error" not in table.colnames for name in names):
        return np.zeros((len(table), 3))
    a, b = (plain(table, f"{name}_error") for name in names)
    rho = np.nan_to_num(optional(table, f"{names[0]}_{names[1]}_corr"))
    covariance = np.empty((len(table), 2, 2))
    covariance[:, 0, 0], covariance[:, 1, 1] = a**2, b**2
    covariance[:, 0, 1] = covariance[:, 1, 0] = rho * a * b
    covariance[(np.abs(rho) >= 1) | (a < 0) | (b < 0)] = np.nan
    turned = turn @ covariance @ np.swapaxes(turn, 1, 2)
    return np.stack([turned[:, 0, 0], turned[:, 0, 1], turned[:, 1, 1]], axis=1)


def _photometry(table: QTable, photometry: Photometry) -> tuple[Array, Array, Mask, Mask]:
    """Magnitudes, errors, which stars have photometry, and which of them are outside the window.

    A star that lacks one band keeps the others: the missing one has an infinite error, which the densities integrate
    over. A star that lacks more has no photometry.
    """
    magnitudes = np.stack([optional(table, band) for band in photometry.bands], axis=1)
    measured = np.isfinite(magnitudes)
    seen: Mask = measured.sum(axis=1) >= len(photometry.bands) - 1
    floor, error, reference = photometry.errors
    with np.errstate(over="ignore"):
        modelled = np.hypot(floor, error * 10 ** (0.3 * (np.clip(magnitudes, 0, 40) - reference)))
    given = np.stack([optional(table, f"{band}_error") for band in photometry.bands], axis=1)
    errors = np.where(np.isfinite(given) & (given >= 0), given, modelled)
    outside = np.zeros(len(magnitudes), dtype=bool)
    with np.errstate(invalid="ignore"):
        low, high = photometry.magnitude
        for place in range(len(photometry.bands)):
            # where the first band is missing, the others lie where some first band in the window would put them
            blue, red = np.sum(photometry.colors[:place], axis=0) if place else (0.0, 0.0)
            outside |= (magnitudes[:, place] < low - red) | (magnitudes[:, place] > high - blue)
            for other in range(place + 1, len(photometry.bands)):
                blue, red = np.sum(photometry.colors[place:other], axis=0)
                color = magnitudes[:, place] - magnitudes[:, other]
                outside |= (color < blue) | (color > red)
    errors = np.where(measured, errors, np.inf)
    # any number will do where a band is missing
    known = np.where(measured, magnitudes, 0.0)
    return np.where(seen[:, None], known, 0.0), np.where(seen[:, None], errors, 1.0), seen, outside & seen
