"""Readers for the text files of the MIST and PARSEC web sites."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from starloom.errors import CatalogError
from starloom.stellar.isochrone_grids import phases_from
from starloom.stellar.isochrones import SUN_TEFF, Floats, Isochrone
from starloom.stellar.photometry import band_name

_MIST_COUNT = re.compile(r"#\s*number of EEPs, cols\s*=\s*(\d+)\s+(\d+)")
_MIST_TOTAL = re.compile(r"#\s*number of isochrones\s*=\s*(\d+)")
_MIST_VERSION = re.compile(r"#\s*MIST version number\s*=\s*(\S+)")
_MIST_SYSTEM = re.compile(r"#\s*photometric system\s*=\s*(\S.*)")
_MIST_A_V = re.compile(r"#.*extinction:?\s*Av(?:,\s*Rv)?\s*=\s*([-\d.eE+]+)")
_MIST_AGES = ("log10_isochrone_age_yr", "isochrone_age_yr")
_MIST_NEEDED = ("EEP", "initial_mass", "star_mass", "log_Teff", "log_g", "log_L", "phase")
_MIST_PHYSICS = frozenset((*_MIST_AGES, *_MIST_NEEDED, "[Fe/H]_init", "[Fe/H]"))

_PARSEC_NAMES = {
    "z": ("Zini", "Z"),
    "m_h": ("MH", "[M/H]"),
    "log_age": ("logAge", "log(age/yr)"),
    "initial_mass": ("Mini", "M_ini"),
    "star_mass": ("Mass", "M_act"),
    "log_l": ("logL", "logL/Lo"),
    "log_teff": ("logTe",),
    "logg": ("logg", "logG"),
    "label": ("label", "stage"),
}
_PARSEC_SUN_Z = 0.0152
_PARSEC_BANDS = {
    "Gmag": "gaia_g",
    "G_BPmag": "gaia_bp",
    "G_RPmag": "gaia_rp",
    "gP1mag": "ps1_g",
    "rP1mag": "ps1_r",
    "iP1mag": "ps1_i",
    "zP1mag": "ps1_z",
    "yP1mag": "ps1_y",
    "wP1mag": "ps1_w",
    "Ksmag": "2mass_ks",
}
_MISSING_MAGNITUDE = 90.0


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise CatalogError(f"there is no isochrone file at {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"{path} cannot be read as text: {error}") from error


def _row(path: Path, number: int, line: str, width: int) -> list[float]:
    words = line.split()
    if len(words) != width:
        raise CatalogError(
            f"{path}, line {number}: {len(words)} values instead of {width}; the file is cut short or broken"
        )
    try:
        return [float(word) for word in words]
    except ValueError as error:
        raise CatalogError(f"{path}, line {number}: {error}") from error


def _number(path: Path, line: int, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise CatalogError(f"{path}, line {line}: {text[:40]!r} is not a number") from error


def _absent_as_nan(magnitudes: Floats) -> Floats:
    return np.where(np.abs(magnitudes) > _MISSING_MAGNITUDE, np.nan, magnitudes)


def read_mist(path: str | Path) -> list[Isochrone]:
    """Read a MIST file: basic or full isochrones (``.iso``) or synthetic photometry (``.iso.cmd``).

    Parameters
    ----------
    path : file as downloaded from the MIST web interpolator, with one [Fe/H] and any number of ages.

    Returns
    -------
    isochrones : one for each age, with magnitudes in every band of a ``.iso.cmd`` file (named as by
        `starloom.stellar.photometry.band_name`).

    Raises
    ------
    CatalogError
        When the file is absent, not a MIST isochrone file, broken or cut short; the message names the line.
    """
    path = Path(path)
    lines = _lines(path)
    version, system, total, fe_h, a_v = "", "", None, None, 0.0
    isochrones: list[Isochrone] = []
    k = 0
    while k < len(lines):
        line = lines[k]
        if match := _MIST_VERSION.match(line):
            version = match[1]
        elif match := _MIST_SYSTEM.match(line):
            system = match[1].strip()
        elif match := _MIST_TOTAL.match(line):
            total = int(match[1])
        elif match := _MIST_A_V.match(line):
            a_v = _number(path, k + 1, match[1])
        elif line.startswith("#") and "Yinit" in line and k + 1 < len(lines):
            values = dict(zip(line.lstrip("# ").split(), lines[k + 1].lstrip("# ").split(), strict=False))
            fe_h = _number(path, k + 2, values["[Fe/H]"]) if "[Fe/H]" in values else None
            k += 1
        elif match := _MIST_COUNT.match(line):
            count, width = int(match[1]), int(match[2])
            block = lines[k + 3 : k + 3 + count]
            if k + 2 >= len(lines) or len(block) < count:
                raise CatalogError(
                    f"{path} ends in an isochrone of {count} rows that begins on line {k + 4}; get it again"
                )
            names = lines[k + 2].lstrip("# ").split()
            if len(names) != width:
                raise CatalogError(f"{path}, line {k + 3}: {len(names)} column names for {width} columns")
            table = np.array([_row(path, k + 4 + n, text, width) for n, text in enumerate(block)]).reshape(-1, width)
            isochrones.append(_from_mist(path, k + 3, names, table, fe_h, f"MIST {version}".strip(), bool(system), a_v))
            k += 2 + count
        k += 1
    if not isochrones:
        raise CatalogError(f"{path} is not a MIST isochrone file: it has no line 'number of EEPs, cols = ...'")
    if total is not None and total != len(isochrones):
        raise CatalogError(f"{path} announces {total} isochrones and holds {len(isochrones)}; get it again")
    return isochrones


def _from_mist(
    path: Path,
    line: int,
    names: list[str],
    table: Floats,
    fe_h: float | None,
    source: str,
    photometry: bool,
    a_v: float,
) -> Isochrone:
    columns = dict(zip(names, table.T, strict=True))
    missing = [name for name in _MIST_NEEDED if name not in columns]
    if missing or len(table) == 0:
        raise CatalogError(f"{path}, line {line}: the isochrone has no rows or lacks the columns {missing}")
    if "log10_isochrone_age_yr" in columns:
        age = 10.0 ** (columns["log10_isochrone_age_yr"][0] - 9.0)
    elif "isochrone_age_yr" in columns:
        age = columns["isochrone_age_yr"][0] / 1e9
    else:
        raise CatalogError(f"{path}, line {line}: no column isochrone_age_yr or log10_isochrone_age_yr")
    if "[Fe/H]_init" in columns:
        fe_h = float(columns["[Fe/H]_init"][0])
    if fe_h is None:
        raise CatalogError(f"{path}: the header gives no [Fe/H]")
    log_radius = columns.get("log_R", 0.5 * columns["log_L"] - 2.0 * (columns["log_Teff"] - np.log10(SUN_TEFF)))
    bands = {
        band_name(name): _absent_as_nan(columns[name]) for name in names if photometry and name not in _MIST_PHYSICS
    }
    return Isochrone(
        age=float(age),
        fe_h=fe_h,
        eep=columns["EEP"],
        initial_mass=columns["initial_mass"],
        star_mass=columns["star_mass"],
        log_teff=columns["log_Teff"],
        logg=columns["log_g"],
        log_l=columns["log_L"],
        radius=10.0**log_radius,
        phase=phases_from(columns["phase"], "MIST"),
        bands=bands,
        a_v=a_v if photometry else 0.0,
        source=source,
    )


def read_parsec(path: str | Path, bands: Mapping[str, str] | None = None) -> list[Isochrone]:
    """Read the output of the PARSEC web interface (CMD), isochrone tables of any number of ages and metallicities.

    Parameters
    ----------
    path : file as downloaded.
    bands : names for the magnitude columns of the file, as ``{"Jmag": "2mass_j"}``. Without it Gaia (DR2 when the
        header says so, else EDR3), Pan-STARRS and 2MASS Ks get the usual names, every other column its own in lower
        case without ``mag``.

    Returns
    -------
    isochrones : one for each metallicity and age, in the order of the file. They have no EEPs. [Fe/H] is the file's
        [M/H]; files without it get log10(Z / 0.0152). Magnitudes beyond +-90 are missing.

    Raises
    ------
    CatalogError
        When the file is absent, not of this format, broken or cut short; the message names the line.
    """
    path = Path(path)
    lines = _lines(path)
    header = [line for line in lines if line.startswith("#")]
    names: list[str] = []
    rows: list[list[float]] = []
    for number, line in enumerate(lines, start=1):
        words = line.lstrip("# ").split()
        if line.startswith("#"):
            if any(word in words for word in _PARSEC_NAMES["initial_mass"]):
                if names and words != names:
                    raise CatalogError(f"{path}, line {number}: the columns change inside the file")
                names = words
        elif words:
            if not names:
                raise CatalogError(f"{path}, line {number}: values before a line with the column names (# Zini MH ...)")
            rows.append(_row(path, number, line, len(names)))
    if not rows:
        raise CatalogError(f"{path} is not a PARSEC isochrone table: it has no rows")
    if any("generated by CMD 3" in line for line in header) and not lines[-1].startswith("#isochrone terminated"):
        raise CatalogError(f"{path} is cut short: it does not end with '#isochrone terminated'; get it again")
    columns = dict(zip(names, np.array(rows).T, strict=True))
    found = {ours: next((name for name in theirs if name in columns), None) for ours, theirs in _PARSEC_NAMES.items()}
    missing = [_PARSEC_NAMES[ours][0] for ours, name in found.items() if name is None and ours not in ("z", "m_h")]
    if missing or (found["z"] is None and found["m_h"] is None):
        raise CatalogError(f"{path} lacks the columns {missing or ['MH']}; it has {names}")
    physics = {ours: columns[name] for ours, name in found.items() if name is not None}
    m_h = physics["m_h"] if "m_h" in physics else np.log10(physics["z"] / _PARSEC_SUN_Z)
    magnitudes = _parsec_bands(names, header, bands)
    ends = np.flatnonzero((np.diff(m_h) != 0) | (np.diff(physics["log_age"]) != 0)) + 1
    log_radius = 0.5 * physics["log_l"] - 2.0 * (physics["log_teff"] - np.log10(SUN_TEFF))
    return [
        Isochrone(
            age=float(10.0 ** (physics["log_age"][part[0]] - 9.0)),
            fe_h=float(m_h[part[0]]),
            eep=np.full(len(part), np.nan),
            initial_mass=physics["initial_mass"][part],
            star_mass=physics["star_mass"][part],
            log_teff=physics["log_teff"][part],
            logg=physics["logg"][part],
            log_l=physics["log_l"][part],
            radius=10.0 ** log_radius[part],
            phase=phases_from(physics["label"][part], "PARSEC"),
            bands={ours: _absent_as_nan(columns[name][part]) for name, ours in magnitudes.items()},
            source="PARSEC",
        )
        for part in np.split(np.arange(len(rows)), ends)
    ]


def _parsec_bands(names: list[str], header: list[str], given: Mapping[str, str] | None) -> dict[str, str]:
    magnitudes = [name for name in names if name.endswith("mag") and name != "mbolmag"]
    unknown = [name for name in given or {} if name not in magnitudes]
    if unknown:
        raise CatalogError(f"the file has no magnitude columns {unknown}; it has {magnitudes}")
    gaia_dr2 = any("DR2" in line for line in header)
    result = {}
    for name in magnitudes:
        ours = (given or {}).get(name) or _PARSEC_BANDS.get(name) or name.removesuffix("mag").lower()
        if gaia_dr2 and not (given and name in given):
            ours = ours.replace("gaia_", "gaia_dr2_")
        result[name] = ours
    if len(set(result.values())) < len(result):
        raise CatalogError(f"two magnitude columns would get one name: {result}; give the names yourself")
    return result
