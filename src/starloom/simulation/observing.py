"""What surveys would measure of true stars: errors, limits, quality flags and missing values.

Each survey takes a table of true stars (``starloom.simulation.milky_way``) and gives the columns of its own catalog,
row by row. Errors follow the survey's published medians; a value that the survey would not have is missing (NaN,
masked). The surveys depend on one another only through the star: where Gaia has no source, 2MASS may have one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starloom.errors import ConfigError
from starloom.seeds import generator
from starloom.simulation.gaia_errors import MEDIANS

if TYPE_CHECKING:
    from astropy.table import QTable

Floats = NDArray[np.float64]
Masked = np.ma.MaskedArray[Any, Any]


@dataclass(frozen=True)
class Gaia:
    """Gaia's main table.

    Parameters
    ----------
    release : ``dr2`` or ``dr3``.
    limits : brightest and faintest G; over the last 0.7 mag fewer and fewer stars are there.
    multiple : share of unresolved pairs, whose astrometry fits badly.
    """

    release: str = "dr3"
    limits: tuple[float, float] = (2.5, 21.0)
    multiple: float = 0.06

    def __post_init__(self) -> None:
        if self.release not in MEDIANS:
            raise ConfigError(f"no Gaia release is called {self.release!r}; there are: {', '.join(MEDIANS)}")

    def observe(self, stars: QTable, seed: int | np.random.Generator) -> dict[str, Any]:
        """Columns of ``gaia_source``; a star without a source has everything missing, ``source_id`` too.

        Besides the astrometry and the magnitudes there are ``l``, ``b`` of the measured position,
        ``astrometric_excess_noise``, ``ruwe``, ``visibility_periods_used``, and number of observations and flux over
        error of each band, from which the variability of a star follows.
        """
        rng, made = generator(seed), MEDIANS[self.release]
        count = len(stars)
        true = {band: _values(stars, f"true_gaia_{band}", "mag") for band in ("g", "bp", "rp")}
        g = true["g"]
        there = (g > self.limits[0]) & (
            rng.random(count) < np.interp(g, (self.limits[1] - 0.7, self.limits[1]), (1.0, 0.0))
        )
        full = there & (rng.random(count) < made.five_parameters(g))
        colors = there & (rng.random(count) < made.colors(g))
        pair = rng.random(count) < self.multiple
        result: dict[str, Any] = {}
        parallax_error = made.parallax(g) * 10.0 ** rng.normal(0.0, 0.1, count) * np.where(pair, 2.0, 1.0)
        motion_error = made.proper_motion(g) * 10.0 ** rng.normal(0.0, 0.1, count) * np.where(pair, 2.0, 1.0)
        for name, unit, error in (
            ("parallax", "mas", parallax_error), ("pmra", "mas/yr", motion_error), ("pmdec", "mas/yr", motion_error),
        ):  # fmt: skip
            result[name] = _kept(_values(stars, name, unit) + rng.normal(size=count) * error, full)
            result[f"{name}_error"] = _kept(error, full)
        for name in ("ra", "dec", "l", "b"):
            result[name] = _kept(_values(stars, name, "deg"), there)
        observations = rng.poisson(np.interp(np.abs(_values(stars, "b", "deg")), (0.0, 45.0), (160.0, 240.0)))
        for band, factor in (("g", 1.0), ("bp", 0.1), ("rp", 0.1)):
            present = there if band == "g" else colors
            number = np.maximum((observations * factor).astype(np.int64), 3)
            scatter = getattr(made, band)(g) * 10.0 ** rng.normal(0.0, 0.1, count)
            variable = _variability(stars, rng) * {"g": 1.0, "bp": 1.35, "rp": 0.8}[band]
            error = np.hypot(scatter, variable / np.sqrt(number))
            result[f"phot_{band}_mean_mag"] = _kept(true[band] + rng.normal(size=count) * error, present)
            result[f"phot_{band}_mean_flux_over_error"] = _kept(1.0857 / error, present)
            result[f"phot_{band}_n_obs"] = np.ma.MaskedArray(number, mask=~present)
        result["bp_rp"] = result["phot_bp_mean_mag"] - result["phot_rp_mean_mag"]
        noise = np.where(pair, rng.exponential(2.0, count), np.maximum(rng.normal(0.0, 0.15, count), 0.0))
        result["astrometric_excess_noise"] = _kept(noise, there)
        result["ruwe"] = _kept(np.where(pair, 1.2 + rng.exponential(1.5, count), rng.normal(1.0, 0.06, count)), full)
        result["visibility_periods_used"] = np.ma.MaskedArray(rng.integers(5, 20, count), mask=~there)
        teff = _values(stars, "teff", "K")
        spectrum = full & (g < made.velocity_limit) & (teff > 3500.0) & (teff < 6900.0)
        velocity_error = made.velocity_error(g)
        velocity = _values(stars, "radial_velocity", "km/s") + rng.normal(size=count) * velocity_error
        result["radial_velocity"] = _kept(velocity, spectrum)
        result["radial_velocity_error"] = _kept(velocity_error, spectrum)
        result["source_id"] = np.ma.MaskedArray(np.asarray(stars["source_id"], dtype=np.int64), mask=~there)
        return result

    units: Mapping[str, str] = field(
        default_factory=lambda: {
            **dict.fromkeys(("parallax", "parallax_error", "astrometric_excess_noise"), "mas"),
            **dict.fromkeys(("pmra", "pmdec", "pmra_error", "pmdec_error"), "mas/yr"),
            **dict.fromkeys(("ra", "dec", "l", "b"), "deg"),
            **dict.fromkeys(("radial_velocity", "radial_velocity_error"), "km/s"),
            **dict.fromkeys(("bp_rp", *(f"phot_{band}_mean_mag" for band in ("g", "bp", "rp"))), "mag"),
        }
    )


def _variability(stars: QTable, rng: np.random.Generator) -> Floats:
    """Amplitude in G (mag) of the changes of a star: large for young ones, small for most."""
    count = len(stars)
    age = _values(stars, "age", "Gyr")
    young = np.where(age < 0.01, 0.08, np.where(age < 0.1, 0.02, 0.002))
    return np.asarray(young * 10.0 ** rng.normal(0.0, 0.35, count))


@dataclass(frozen=True)
class TwoMass:
    """The 2MASS point-source catalog.

    Parameters
    ----------
    ten_sigma : magnitudes of signal-to-noise ten (2006AJ....131.1163S).
    crowded : the latitude scale (deg) inside which neighbors confuse sources.
    """

    ten_sigma: tuple[float, float, float] = (15.8, 15.1, 14.3)
    crowded: float = 3.0
    units: Mapping[str, str] = field(
        default_factory=lambda: {
            **dict.fromkeys(("j_m", "h_m", "k_m", "j_msigcom", "h_msigcom", "k_msigcom"), "mag"),
            **dict.fromkeys(("prox", "twomass_angular_distance"), "arcsec"),
        }
    )

    def observe(self, stars: QTable, seed: int | np.random.Generator) -> dict[str, Any]:
        """Columns ``j_m`` ... ``ph_qual``, ``rd_flg``, ``cc_flg``, ``gal_contam``, ``prox``, ``ext_key`` and, for the
        match with Gaia, ``twomass_angular_distance``. A band fainter than signal-to-noise 3 is missing.
        """
        rng = generator(seed)
        count = len(stars)
        crowding = np.exp(-np.abs(_values(stars, "b", "deg")) / self.crowded)
        letters, digits, confused, result = [], [], [], {}
        seen = np.zeros(count, dtype=bool)
        for band, name, limit in zip(("j", "h", "ks"), ("j", "h", "k"), self.ten_sigma, strict=True):
            true = _values(stars, f"true_2mass_{band}", "mag")
            faint = 0.1086 * 10.0 ** (0.4 * (true - limit))
            error = np.hypot(np.where(true < 5.0, 0.2, 0.022), faint)
            there = faint < 1.086 / 3.0
            seen |= there
            result[f"{name}_m"] = _kept(true + rng.normal(size=count) * error, there)
            result[f"{name}_msigcom"] = _kept(error, there)
            noise = 1.086 / error
            letter = np.select([~there, noise > 10.0, noise > 7.0, noise > 5.0], ["U", "A", "B", "C"], "D")
            poor = rng.random(count) < 0.02 + 0.15 * crowding
            letters.append(np.where(poor & there, "E", letter))
            digits.append(np.select([~there, true < 5.0, true < 8.5], ["0", "3", "1"], "2"))
            confused.append(np.where(rng.random(count) < 0.01 + 0.1 * crowding, "c", "0"))
        for name, parts in (("ph_qual", letters), ("rd_flg", digits), ("cc_flg", confused)):
            text = np.char.add(np.char.add(parts[0], parts[1]), parts[2])
            result[name] = np.ma.MaskedArray(text, mask=~seen)
        result["gal_contam"] = np.ma.MaskedArray((rng.random(count) < 0.003).astype(np.int64), mask=~seen)
        result["prox"] = _kept(rng.exponential(np.where(crowding > 0.3, 8.0, 30.0)) + 1.0, seen)
        result["ext_key"] = np.ma.MaskedArray(np.arange(count), mask=rng.random(count) >= 0.002)
        result["twomass_angular_distance"] = _kept(np.abs(rng.normal(0.0, 0.12, count)), seen)
        return result


@dataclass(frozen=True)
class AllWise:
    """The AllWISE source catalog.

    Parameters
    ----------
    five_sigma : magnitudes of signal-to-noise five (2013wise.rept....1C).
    excess : share of stars younger than 10 Myr with the infrared excess of a disk.
    """

    five_sigma: tuple[float, float, float, float] = (16.6, 15.7, 11.5, 7.9)
    excess: float = 0.4
    units: Mapping[str, str] = field(
        default_factory=lambda: dict.fromkeys(("w1mpro", "w2mpro", "w3mpro", "w4mpro", "w2sigmpro"), "mag")
    )

    def observe(self, stars: QTable, seed: int | np.random.Generator) -> dict[str, Any]:
        """Columns ``w1mpro`` to ``w4mpro`` and ``w2sigmpro``; a band below signal-to-noise 2 is missing, where the
        catalog itself has upper limits. Stars in the plane are missed, as blends.
        """
        rng = generator(seed)
        count = len(stars)
        blended = rng.random(count) < 0.5 * np.exp(-np.abs(_values(stars, "b", "deg")) / 1.5)
        disk = (_values(stars, "age", "Gyr") < 0.01) & (rng.random(count) < self.excess)
        strength = rng.uniform(0.5, 1.5, count)
        result = {}
        for place, (limit, extra) in enumerate(zip(self.five_sigma, (0.1, 0.6, 2.2, 4.2), strict=True), start=1):
            true = _values(stars, f"true_wise_w{place}", "mag") - np.where(disk, extra * strength, 0.0)
            faint = 0.217 * 10.0 ** (0.4 * (true - limit))
            error = np.hypot(0.023, faint)
            there = (faint < 1.086 / 2.0) & ~blended
            result[f"w{place}mpro"] = _kept(true + rng.normal(size=count) * error, there)
            if place == 2:
                result["w2sigmpro"] = _kept(error, there)
        return result


def observe(stars: QTable, surveys: Sequence[Any], *, seed: int | np.random.Generator, truth: bool = True) -> QTable:
    """Let several surveys measure the same stars.

    Parameters
    ----------
    stars : true stars.
    surveys : such as ``[Gaia("dr2"), TwoMass(), AllWise()]``; each has ``observe(stars, rng)`` and ``units``.
    seed : of all errors.
    truth : keep the true columns, with ``true_`` before the names that a survey measures too.

    Returns
    -------
    QTable
        Missing floats are NaN; missing integers and texts are masked.
    """
    from astropy.table import Column, MaskedColumn, QTable
    from astropy.units import Unit

    rng = generator(seed)
    measured: dict[str, Any] = {}
    units: dict[str, str] = {}
    for survey, stream in zip(surveys, rng.spawn(len(surveys)), strict=True):
        columns = survey.observe(stars, stream)
        if again := set(columns) & set(measured):
            raise ConfigError(f"two surveys give the column {sorted(again)[0]!r}")
        measured |= columns
        units |= survey.units
    table = QTable(meta=dict(stars.meta))
    for name, values in measured.items():
        if values.dtype.kind == "f":
            plain = np.ma.filled(values, np.nan)
            table[name] = plain * Unit(units[name]) if name in units else Column(plain)
        else:
            table[name] = MaskedColumn(np.ma.getdata(values), mask=np.ma.getmaskarray(values))
    if truth:
        for name in stars.colnames:
            table[f"true_{name}" if name in measured and not name.startswith("true_") else name] = stars[name]
    return table


def _values(stars: QTable, name: str, unit: str) -> Floats:
    from starloom.catalog.schema import plain

    return plain(stars, name, unit)


def _kept(values: ArrayLike, there: NDArray[np.bool_]) -> Any:
    return np.ma.MaskedArray(np.where(there, values, np.nan), mask=~there)
