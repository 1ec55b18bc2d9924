"""The surveys whose tables Starloom knows: what they call each column, in which unit, and how they write "missing".

The columns are those of :mod:`starloom.catalog.column_vocabulary`. A survey is one entry of :data:`SURVEYS`; to add
one, add an entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from starloom.catalog.column_vocabulary import ASTROMETRY, CANONICAL
from starloom.errors import CatalogError


@dataclass(frozen=True)
class Survey:
    """One survey or published table: its names for the canonical columns.

    Parameters
    ----------
    name : short name, as in :data:`SURVEYS`.
    meaning : what the table is.
    columns : canonical name -> the names it has in this survey, first choice first.
    citation : bibcodes or arXiv ids, separated by spaces.
    units : canonical name -> unit of the survey's column where the table carries none; that of the vocabulary else.
    sentinels : canonical name -> numbers that mean "missing" in this survey.
    limits : canonical name -> (lowest, highest) believable value; what lies outside is a fill value of this survey.
    epoch : reference epoch of the positions, Julian years.
    note : what a reader of its tables should know, such as names that could not be checked.
    """

    name: str
    meaning: str
    columns: Mapping[str, tuple[str, ...]]
    citation: str
    units: Mapping[str, str] = field(default_factory=dict)
    sentinels: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    epoch: float | None = None
    note: str = ""

    def unit(self, canonical: str, column: str | None = None) -> str:
        """Unit that a column without a unit has in this survey.

        Parameters
        ----------
        canonical : what the column is.
        column : what the table calls it. A column that the survey does not have, such as a ``distance`` that a user
            added to a table of APOGEE, is in the canonical unit.
        """
        usual = CANONICAL.get(canonical, ("", ""))[0]
        own = column is None or column.lower() in {name.lower() for name in self.columns.get(canonical, ())}
        return self.units.get(canonical, usual) if own else usual

    def missing(self, canonical: str, values: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which of the survey's own values (in its own unit) are fill values that mean "missing"."""
        if values.dtype.kind != "f":
            values = values.astype(float)
        gone: np.ndarray[Any, np.dtype[np.bool_]]  # compared in the precision that the table has
        gone = np.isin(values, np.asarray(self.sentinels.get(canonical, ()), dtype=values.dtype))
        if canonical in self.limits:
            low, high = self.limits[canonical]
            gone |= (values < low) | (values > high)
        return gone


def _same(*names: str) -> dict[str, tuple[str, ...]]:
    return {name: (name,) for name in names}


_VIZIER_WORDS = {"ra": "RA", "dec": "DE", "parallax": "Plx", "pmra": "pmRA", "pmdec": "pmDE"}
_VIZIER_PAIRS = {  # such as RADEcor and PlxpmRAcor
    f"{first}_{second}_corr": f"{_VIZIER_WORDS[first]}{_VIZIER_WORDS[second]}cor"
    for index, first in enumerate(ASTROMETRY)
    for second in ASTROMETRY[index + 1 :]
}
_GAIA = _same(
    *("source_id", "ra", "ra_error", "dec", "dec_error", "ref_epoch", "parallax", "parallax_error"),
    *("pmra", "pmra_error", "pmdec", "pmdec_error", *_VIZIER_PAIRS),
    *("radial_velocity", "radial_velocity_error", "phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag"),
    *("bp_rp", "phot_bp_rp_excess_factor"),
)
_BANDS = {f"{band}_mag": (f"{band}_mean_psf_mag", f"{band}MeanPSFMag") for band in "grizy"}
_BAND_ERRORS = {f"{band}_mag_error": (f"{band}_mean_psf_mag_error", f"{band}MeanPSFMagErr") for band in "grizy"}
_PANSTARRS_FILL = dict.fromkeys((*_BANDS, *_BAND_ERRORS), (-999.0, 1e20))  # MAST writes -999, copies of it 1e20

_ALL = (
    Survey(
        name="gaia_dr3",
        meaning="Gaia DR3 gaia_source; DR4 where its names are the same",
        columns={**_GAIA, "ruwe": ("ruwe",)},
        citation="2016A&A...595A...1G 2023A&A...674A...1G",
        epoch=2016.0,
    ),
    Survey(
        name="gaia_dr2",
        meaning="Gaia DR2 gaia_source",
        columns={**_GAIA, "ruwe": ("ruwe",)},
        citation="2016A&A...595A...1G 2018A&A...616A...1G",
        epoch=2015.5,
    ),
    Survey(
        name="gaia_vizier",
        meaning="Gaia DR3 or EDR3 main source table as VizieR serves it (I/355, I/350)",
        columns={
            "source_id": ("Source",),
            "ra": ("RA_ICRS",),
            "ra_error": ("e_RA_ICRS",),
            "dec": ("DE_ICRS",),
            "dec_error": ("e_DE_ICRS",),
            "parallax": ("Plx",),
            "parallax_error": ("e_Plx",),
            "pmra": ("pmRA",),
            "pmra_error": ("e_pmRA",),
            "pmdec": ("pmDE",),
            "pmdec_error": ("e_pmDE",),
            **{pair: (native,) for pair, native in _VIZIER_PAIRS.items()},
            "radial_velocity": ("RV",),
            "radial_velocity_error": ("e_RV",),
            "ruwe": ("RUWE",),
            "phot_g_mean_mag": ("Gmag",),
            "phot_bp_mean_mag": ("BPmag",),
            "phot_rp_mean_mag": ("RPmag",),
            "bp_rp": ("BP-RP", "BP_RP"),
        },
        citation="2016A&A...595A...1G 2023A&A...674A...1G",
        epoch=2016.0,
    ),
    Survey(
        name="panstarrs1",
        meaning="Pan-STARRS1 mean PSF photometry, as at MAST or in the Gaia archive",
        columns={
            "source_id": ("obj_id", "objID"),
            "ra": ("raMean", "ra"),
            "dec": ("decMean", "dec"),
            **_BANDS,
            **_BAND_ERRORS,
        },
        citation="arXiv:1612.05560 2020ApJS..251....7F",
        sentinels=_PANSTARRS_FILL,
    ),
    Survey(
        name="gd1_tutorial",
        meaning="GD-1 field in Gaia DR2 and Pan-STARRS1; pm_phi1 and pm_phi2 are corrected for the solar reflex",
        columns={
            **_same("source_id", "ra", "dec", "parallax", "pmra", "pmdec", "radial_velocity", "phi1", "phi2"),
            "pm_phi1_cosphi2": ("pm_phi1",),
            "pm_phi2": ("pm_phi2",),
            "g_mag": ("g_mean_psf_mag",),
            "i_mag": ("i_mean_psf_mag",),
        },
        citation="2018ApJ...863L..20P 2018A&A...616A...1G",
        sentinels={"radial_velocity": (1e20,), "g_mag": (-999.0, 1e20), "i_mag": (-999.0, 1e20)},
        epoch=2015.5,
    ),
    Survey(
        name="streamfinder_dr3",
        meaning="STREAMFINDER atlas: member stars of stellar streams in Gaia DR3; magnitudes corrected for extinction",
        columns={
            "source_id": ("source_id", "Gaia"),
            "ra": ("RAdeg",),
            "dec": ("DEdeg",),
            "parallax": ("plx",),
            "pmra": ("pmRA",),
            "pmdec": ("pmDE",),
            "phot_g_mean_mag": ("Gmag",),
            "bp_rp": ("BP_RP", "BP-RP"),
            "radial_velocity": ("VHel",),
            "radial_velocity_error": ("e_VHel",),
            "stream": ("stream_name",),
        },
        citation="2024ApJ...967...89I",
        epoch=2016.0,
    ),
    Survey(
        name="gd1_hectochelle",
        meaning="GD-1 fields with MMT/Hectochelle; proper motions along the stream are corrected for the solar reflex",
        columns={
            **_same("source_id", "ra", "dec", "parallax", "parallax_error", "pmra", "pmra_error", "pmdec"),
            **_same("pmdec_error", "phot_g_mean_mag", "bp_rp", "phi1", "phi2", "pm_phi1_cosphi2", "pm_phi2"),
            **{f"{band}_mag": (band,) for band in "grizy"},
            "radial_velocity": ("Vrad",),
            "distance": ("Dist",),
            "fe_h": ("FeH",),
            "alpha_m": ("aFe",),
            "teff": ("Teff",),
            "logg": ("logg",),
        },
        citation="2020ApJ...892L..37B",
        limits={f"{band}_mag": (-5.0, 29.0) for band in "grizy"},  # 30 minus the extinction where there is none
        epoch=2015.5,
    ),
    Survey(
        name="h3",
        meaning="catalogs of the H3 survey (MMT/Hectochelle, MINESweeper), by the names that public scripts use",
        columns={
            "source_id": ("GAIAEDR3_ID", "GAIADR3_ID", "GAIADR2_ID"),
            "ra": ("RA",),
            "dec": ("DEC",),
            "parallax": ("GAIAEDR3_PARALLAX", "GAIADR3_PARALLAX", "GAIADR2_PARALLAX"),
            "parallax_error": ("GAIAEDR3_PARALLAX_ERROR", "GAIADR3_PARALLAX_ERROR", "GAIADR2_PARALLAX_ERROR"),
            "pmra": ("GAIAEDR3_PMRA", "GAIADR3_PMRA", "GAIADR2_PMRA"),
            "pmra_error": ("GAIAEDR3_PMRA_ERROR", "GAIADR3_PMRA_ERROR", "GAIADR2_PMRA_ERROR"),
            "pmdec": ("GAIAEDR3_PMDEC", "GAIADR3_PMDEC", "GAIADR2_PMDEC"),
            "pmdec_error": ("GAIAEDR3_PMDEC_ERROR", "GAIADR3_PMDEC_ERROR", "GAIADR2_PMDEC_ERROR"),
            "pmra_pmdec_corr": ("GAIAEDR3_PMRA_PMDEC_CORR", "GAIADR3_PMRA_PMDEC_CORR", "GAIADR2_PMRA_PMDEC_CORR"),
            "radial_velocity": ("Vrad",),
            "radial_velocity_error": ("Vrad_err",),
            "distance": ("dist_adpt",),
            "distance_error": ("dist_adpt_err",),
            "fe_h": ("FeH",),
            "fe_h_error": ("FeH_err",),
            "alpha_m": ("aFe",),
            "teff": ("Teff",),
            "teff_error": ("Teff_err",),
            "logg": ("logg",),
            "logg_error": ("logg_err",),
            "a_v": ("Av",),
            "a_v_error": ("Av_err",),
            "snr": ("SNR",),
            **{f"{band}_mag": (f"PS_{band.upper()}", f"PS_{band}") for band in "grizy"},
        },
        citation="2019ApJ...883..107C 2020ApJ...900...28C",
        note="No catalog of H3 was at hand to check these names. RA, DEC, GAIAEDR3_PMRA and so on with their _ERROR, "
        "dist_adpt, Vrad (both with _err), FeH, SNR and PS_r are in public scripts of its authors; the identifier, the "
        "correlation and the errors of FeH, Teff, logg and Av are guesses after their pattern. See what was matched.",
    ),
    Survey(
        name="galstreams_tracks",
        meaning="galstreams: tracks of the Milky Way's stellar streams",
        columns={
            **_same("stream", "ra", "dec", "distance", "radial_velocity"),
            "pmra": ("pm_ra_cosdec",),
            "pmdec": ("pm_dec",),
        },
        citation="2023MNRAS.520.5225M",
        sentinels={"pmra": (0.0,), "pmdec": (0.0,), "radial_velocity": (0.0,), "distance": (0.0, 999.0)},
        limits={"radial_velocity": (-998.0, 998.0)},  # 999 and 1000 where there is none, and polynomials run wild
    ),
    Survey(
        name="miglio2021",
        meaning="Kepler giants with seismic ages, APOGEE abundances and orbits (VizieR J/A+A/645/A85)",
        columns={
            "fe_h": ("__Fe_H_", "[Fe/H]"),
            "alpha_m": ("__alpha_M_", "[alpha/M]"),
            "age": ("Age",),
            "age_low": ("b_Age",),
            "age_high": ("b_age_lc", "B_Age"),
            "galactic_radius": ("GalR",),
            "galactic_height": ("GalZ",),
            "eccentricity": ("Ecc",),
            "ra": ("RAdeg",),
            "dec": ("DEdeg",),
        },
        citation="2021A&A...645A..85M",
    ),
    Survey(
        name="apogee_allstar",
        meaning="APOGEE allStar of DR16 or DR17, with Gaia columns; distances of astroNN where they were joined on",
        columns={
            "source_id": ("GAIAEDR3_SOURCE_ID", "GAIA_SOURCE_ID", "source_id"),
            "ra": ("RA",),
            "dec": ("DEC",),
            "parallax": ("GAIAEDR3_PARALLAX", "GAIA_PARALLAX", "parallax"),
            "parallax_error": ("GAIAEDR3_PARALLAX_ERROR", "GAIA_PARALLAX_ERROR", "parallax_error"),
            "distance": ("weighted_dist", "GAIAEDR3_R_MED_PHOTOGEO", "GAIAEDR3_R_MED_GEO"),
            "distance_error": ("weighted_dist_error",),
            "pmra": ("GAIAEDR3_PMRA", "GAIA_PMRA", "pmra"),
            "pmra_error": ("GAIAEDR3_PMRA_ERROR", "GAIA_PMRA_ERROR", "pmra_error"),
            "pmdec": ("GAIAEDR3_PMDEC", "GAIA_PMDEC", "pmdec"),
            "pmdec_error": ("GAIAEDR3_PMDEC_ERROR", "GAIA_PMDEC_ERROR", "pmdec_error"),
            "radial_velocity": ("VHELIO_AVG",),
            "radial_velocity_error": ("VERR",),
            "fe_h": ("FE_H",),
            "fe_h_error": ("FE_H_ERR",),
            "al_fe": ("AL_FE",),
            "alpha_m": ("ALPHA_M",),
            "teff": ("TEFF",),
            "teff_error": ("TEFF_ERR",),
            "logg": ("LOGG",),
            "logg_error": ("LOGG_ERR",),
            "snr": ("SNR",),
            "h_mag": ("H",),
            "j_mag": ("J",),
            "ks_mag": ("K",),
        },
        citation="2022ApJS..259...35A 2020AJ....160..120J",
        units={"distance": "pc", "distance_error": "pc"},
        sentinels={"source_id": (0.0, -1.0, -9999.0)},  # a star without a match in Gaia
        limits={
            **dict.fromkeys(("fe_h", "al_fe", "alpha_m", "logg", "logg_error", "fe_h_error"), (-90.0, 90.0)),
            **dict.fromkeys(("h_mag", "j_mag", "ks_mag"), (-10.0, 90.0)),
            **dict.fromkeys(("pmra", "pmdec", "parallax", "radial_velocity"), (-9000.0, 9000.0)),
            **dict.fromkeys(("pmra_error", "pmdec_error", "parallax_error"), (0.0, 9000.0)),
            **dict.fromkeys(("teff", "teff_error", "snr"), (0.0, 1e5)),
            "radial_velocity_error": (0.0, 9000.0),
            **dict.fromkeys(("distance", "distance_error"), (0.0, 1e6)),
            **dict.fromkeys(("pmra_error", "pmdec_error", "radial_velocity_error"), (0.0, 9000.0)),
        },
    ),
    Survey(
        name="astronn_dr17",
        meaning="astroNN value-added catalog of APOGEE DR17: abundances, ages, distances and orbits",
        columns={
            "fe_h": ("FE_H",),
            "fe_h_error": ("FE_H_ERR",),
            "alpha_m": ("MG_FE",),
            "age": ("age",),
            "age_error": ("age_total_error",),
            "galactic_radius": ("galr",),
            "galactic_height": ("galz",),
            "eccentricity": ("e",),
            "action_r": ("jr",),
            "ra": ("ra_apogee", "RA"),
            "dec": ("dec_apogee", "DEC"),
        },
        citation="2019MNRAS.489.2079L 2019MNRAS.489..176M",
        limits={
            **dict.fromkeys(("fe_h", "alpha_m"), (-9.0, 9.0)),
            "fe_h_error": (0.0, 9.0),
            **dict.fromkeys(("age", "age_error"), (0.0, 100.0)),
            "galactic_radius": (0.0, 9000.0),
            "galactic_height": (-9000.0, 9000.0),
            "eccentricity": (0.0, 1.0),
            "action_r": (0.0, 1e6),
        },
        note="The catalog has MG_H and FE_H, and no MG_FE: add their difference as alpha_m, or make the sample with "
        "starloom.disk.samples.apogee_sample. Its age is the one of arXiv:2306.09319; age_lowess_correct, which "
        "corrects the ages of old stars, goes under another name: rename it to age to use it.",
    ),
)

SURVEYS: Mapping[str, Survey] = {survey.name: survey for survey in _ALL}
"""Short name -> survey."""


def get_survey(name: str) -> Survey:
    """The survey of that name.

    Raises
    ------
    CatalogError
        When there is none; the message lists those there are.
    """
    if name not in SURVEYS:
        raise CatalogError(f"unknown survey {name!r}; the known ones are {', '.join(SURVEYS)}")
    return SURVEYS[name]


def identify(table: Any) -> list[tuple[str, int]]:
    """Name the surveys that a table may come from.

    A survey with names of its own is named only when the table has one of them, not for columns that many tables have;
    and none whose epoch differs from the table's ``ref_epoch`` column. Where all names of a table are in capitals, so
    are those of the surveys.

    Parameters
    ----------
    table : an astropy table, or anything else with ``colnames``.

    Returns
    -------
    list of (survey name, number of its columns found in the table)
        Most columns first; among equals, the share of the survey's columns found and then the order of SURVEYS.

    Examples
    --------
    >>> from starloom.catalog.tables import read_table
    >>> identify(read_table({"RAdeg": [1.0], "DEdeg": [2.0], "pmRA": [0.1], "pmDE": [0.2]}))[0]
    ('streamfinder_dr3', 4)
    """
    names = set(table.colnames)
    capitals = all(name == name.upper() for name in names)

    def has(natives: Iterable[str]) -> bool:
        written = [name.upper() for name in natives if len(name) > 1] if capitals else []
        return not names.isdisjoint([*natives, *written])

    epoch = None
    dated = next((name for name in ("ref_epoch", "REF_EPOCH") if name in names), None)
    if dated is not None and table[dated].dtype.kind in "fi" and len(table):
        column = table[dated]
        values = np.asarray(getattr(column, "value", column), dtype=float)
        epoch = float(np.nanmedian(values)) if np.isfinite(values).any() else None
    found = []
    for survey in SURVEYS.values():
        if epoch is not None and survey.epoch is not None and abs(epoch - survey.epoch) > 0.01:
            continue
        own = {native for name, natives in survey.columns.items() for native in natives if native != name}
        if own and not has(own):
            continue
        count = sum(has(natives) for natives in survey.columns.values())
        if count:
            found.append((-count, -count / len(survey.columns), survey.name))
    found.sort(key=lambda entry: entry[:2])
    return [(name, -count) for count, _, name in found]
