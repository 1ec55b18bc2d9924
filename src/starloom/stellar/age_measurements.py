"""A table of stars as the age kernels want it: values with precisions, and which rows cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.catalog.schema import plain
from starloom.stellar.age_schema import band_column

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.stellar.age_lattice import AgeLattice

Floats = NDArray[np.float64]
MOST_NODES = 32  # of A_V


def salaris(fe_h: ArrayLike, alpha_fe: ArrayLike) -> Floats:
    """[M/H] of an alpha-enhanced mixture, the [Fe/H] of the scaled-solar model that resembles it.

    ``[M/H] = [Fe/H] + log10(0.638 10^[alpha/Fe] + 0.362)`` (1993ApJ...414..580S, equation 3).

    Examples
    --------
    >>> salaris([-2.3, -2.3], [0.0, 0.4]).round(3).tolist()
    [-2.3, -2.007]
    """
    return np.asarray(np.asarray(fe_h, float) + np.log10(0.638 * 10.0 ** np.asarray(alpha_fe, float) + 0.362))


@dataclass(frozen=True)
class Floors:
    """Errors added in quadrature to those given: what the models and their zero points are not better than.

    A value without an error has the floor alone; where that is 0 as well, the value is not used.

    Parameters
    ----------
    teff : K.
    logg, fe_h : dex.
    magnitude : mag.
    """

    teff: float = 50.0
    logg: float = 0.03
    fe_h: float = 0.05
    magnitude: float = 0.02


@dataclass(frozen=True)
class Measured:
    """A table as the kernels want it.

    Parameters
    ----------
    stars : (n, 6) log Teff, log g and [Fe/H], each with its precision; 0 where it is not known.
    magnitudes, precision : (n, bands).
    known : (n, 4) parallax and distance with their precisions.
    a_v, log_a_v, nodes : (n, most nodes) extinctions with log weights, and how many of them are in use.
    measured : (n,) how much is known of each star.
    usable, reasons : which rows can be used, and why others cannot.
    """

    stars: Floats
    magnitudes: Floats
    precision: Floats
    known: Floats
    a_v: Floats
    log_a_v: Floats
    nodes: NDArray[np.int64]
    measured: NDArray[np.int64]
    usable: NDArray[np.bool_]
    reasons: list[str]

    @classmethod
    def read(
        cls, stars: QTable, lattice: AgeLattice, floors: Floors, *, raised: bool, zero_point: float, most_a_v: float
    ) -> Measured:
        """Read a table in the canonical names.

        Parameters
        ----------
        stars : the table.
        lattice : the models; its bands are those that count.
        floors : added to the errors.
        raised : whether [alpha/Fe] raises the metallicity of the models.
        zero_point : mas, subtracted from the parallaxes.
        most_a_v : mag, where the table has none.
        """
        rows = len(stars)

        def column(name: str) -> Floats:
            return plain(stars, name) if name in stars.colnames else np.full(rows, np.nan)

        def within(name: str, low: float, high: float) -> Floats:
            values = column(name)
            return np.where((values >= low) & (values <= high), values, np.nan)

        def precision(value: Floats, error: Floats, floor: float) -> Floats:
            # an error that is not there, or not possible, counts as the floor alone; with neither the value is no use
            total = np.hypot(np.where(error > 0, error, 0.0), floor)
            with np.errstate(divide="ignore"):
                return np.where(np.isfinite(value) & (total > 0), 1.0 / total**2, 0.0)

        # what lies outside (-9999, 99.99) stands for a missing value; in the fit it would say that no model fits
        teff, logg, fe_h = within("teff", 1.0, 1e6), within("logg", -5.0, 20.0), within("fe_h", -20.0, 20.0)
        if raised:
            fe_h = salaris(fe_h, np.nan_to_num(within("alpha_m", -5.0, 5.0)))
        in_log = np.log(10.0) * teff
        packed = np.stack(
            [
                np.nan_to_num(np.log10(teff)),
                np.nan_to_num(precision(teff, column("teff_error"), floors.teff) * in_log**2),
                np.nan_to_num(logg),
                precision(logg, column("logg_error"), floors.logg),
                np.nan_to_num(fe_h),
                precision(fe_h, column("fe_h_error"), floors.fe_h),
            ],
            axis=1,
        )
        magnitudes = np.zeros((rows, len(lattice.bands)))
        weights = np.zeros_like(magnitudes)
        for place, band in enumerate(lattice.bands):
            name = band_column(band)
            value = within(name, -50.0, 60.0)
            magnitudes[:, place] = np.nan_to_num(value)
            weights[:, place] = precision(value, column(f"{name}_error"), floors.magnitude)
        known = np.zeros((rows, 4))
        for place, name in ((0, "parallax"), (2, "distance")):
            value, error = column(name), column(f"{name}_error")
            value = value - zero_point if name == "parallax" else np.where(value > 0, value, np.nan)
            there = np.isfinite(value) & np.isfinite(error) & (error > 0)
            known[there, place], known[there, place + 1] = value[there], 1.0 / error[there] ** 2
        bands = (weights > 0).sum(axis=1)
        far = known[:, [1, 3]].any(axis=1)
        measured = (packed[:, [1, 3, 5]] > 0).sum(axis=1) + bands + far
        reasons = [""] * rows

        def refuse(where: NDArray[np.bool_], text: str) -> None:
            for row in np.flatnonzero(where):
                reasons[row] = reasons[row] or text

        low, high = lattice.fe_h[0], lattice.fe_h[-1]
        refuse(~np.isfinite(fe_h), "no [Fe/H]")
        refuse(fe_h < low, f"[Fe/H] below the grid ({low:g})")
        refuse(fe_h > high, f"[Fe/H] above the grid ({high:g})")
        telling = (packed[:, 1] > 0) | (packed[:, 3] > 0) | (bands > 1) | ((bands > 0) & far)
        refuse(~telling, "neither Teff, log g, a color nor a luminosity: nothing tells its age")
        a_v, log_a_v, nodes = _dust_nodes(column("a_v"), column("a_v_error"), weights, most_a_v)
        usable = np.array([reason == "" for reason in reasons], dtype=bool)
        return cls(packed, magnitudes, weights, known, a_v, log_a_v, nodes, measured, usable, reasons)


def _dust_nodes(a_v: Floats, error: Floats, weights: Floats, most: float) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Midpoints in A_V of each star (n, most nodes) with log weights, and how many."""
    rows = len(a_v)
    value, sigma = np.maximum(a_v, 0.0), np.where(error > 0, error, 0.0)
    known = np.isfinite(value)
    low = np.where(known, np.maximum(value - 3.5 * sigma, 0.0), 0.0)
    high = np.where(known, value + 3.5 * sigma, most)
    # a color changes by about 0.45 A_V; steps of one error of a color
    best = np.sqrt(2.0 / np.maximum(weights.max(axis=1, initial=0.0), 1e-12))
    wanted = np.maximum(np.where(known, 7.0, 5.0), 0.45 * (high - low) / best)
    nodes = np.where((high > low) & (weights > 0).any(axis=1), np.ceil(np.clip(wanted, 1, MOST_NODES)), 1).astype(int)
    places = np.arange(nodes.max(initial=1))
    at = low[:, None] + (places + 0.5) / nodes[:, None] * (high - low)[:, None]
    safe = np.where(sigma > 0, sigma, np.inf)
    log_weight = np.where(known[:, None], -0.5 * ((at - np.nan_to_num(value)[:, None]) / safe[:, None]) ** 2, 0.0)
    log_weight = np.where(places < nodes[:, None], log_weight, -np.inf)
    log_weight -= np.log(np.exp(log_weight).sum(axis=1, keepdims=True))
    return np.ascontiguousarray(at.reshape(rows, -1)), np.ascontiguousarray(log_weight), nodes.astype(np.int64)
