"""The possible parents: globular clusters and dwarf galaxies with six-dimensional positions, and merged groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.schema import plain
from starloom.errors import CatalogError, MissingColumnError

if TYPE_CHECKING:
    from astropy.table import QTable

Array = NDArray[np.float64]

# Clusters that the code of the paper (abonaca/disrupted_gc) assigns to galaxies that the Milky Way took in. For the
# Helmi streams, Gaia-Sausage-Enceladus, Sequoia, Kraken and Sagittarius see 2019A&A...630L...4M, 2020MNRAS.498.2472K.
HOSTS: dict[str, tuple[str, ...]] = {
    "Sequoia": ("NGC5466", "NGC7006", "IC4499"),
    "Gaia-Sausage-Enceladus": (
        *("NGC288", "NGC362", "NGC1261", "NGC1851", "NGC1904", "NGC2298", "NGC2808", "NGC4147", "NGC4833", "NGC5286"),
        *("NGC5897", "NGC6205", "NGC6235", "NGC6284", "NGC6341", "NGC6779", "NGC6864", "NGC7089", "NGC7099"),
        "NGC7492",
    ),
    "Helmi streams": ("NGC4590", "NGC5024", "NGC5053", "NGC5272", "NGC6981"),
    "Sagittarius": ("NGC2419", "NGC5824", "NGC6715", "Pal12", "Terzan7", "Terzan8", "Arp2", "Whiting1"),
    "Kraken": (
        *("NGC5946", "NGC5986", "NGC6093", "NGC6121", "NGC6144", "NGC6254", "NGC6273", "NGC6287", "NGC6541"),
        *("NGC6544", "NGC6681", "NGC6712", "NGC6809"),
    ),
}
SOLAR_SYSTEM = ("Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune")
STREAMS_THERE = ("GD-1",)  # galpy's list has this stream as an object of its own
_LVDB = {
    "distance": ("distance", "distance_em", "distance_ep"),
    "pmra": ("pmra", "pmra_em", "pmra_ep"),
    "pmdec": ("pmdec", "pmdec_em", "pmdec_ep"),
    "radial_velocity": ("vlos_systemic", "vlos_systemic_em", "vlos_systemic_ep"),
}
_UNITS = {"distance": "kpc", "pmra": "mas/yr", "pmdec": "mas/yr", "radial_velocity": "km/s"}


def clusters_and_satellites(table: QTable) -> tuple[QTable, QTable]:
    """Globular clusters and satellite galaxies of galpy's list of named objects.

    Parameters
    ----------
    table : columns name, ra, dec, distance, pmra, pmdec, vlos, their errors (``_e``), pmcorr, and ``collection`` where
        the list was converted by this package. The clusters are those that come with a distance error in galpy's
        collection of globular clusters; the planets and GD-1 are neither.

    Returns
    -------
    clusters, satellites : columns name, ra, dec, distance, pmra, pmdec, radial_velocity, their errors, pmra_pmdec_corr.
    """
    import astropy.units as u
    from astropy.table import QTable

    needed = ("name", "ra", "dec", "distance", "pmra", "pmdec", "vlos")
    lost = [name for name in needed if name not in table.colnames]
    if lost:
        raise MissingColumnError(f"the list of clusters lacks the column {lost[0]!r}; needed: {', '.join(needed)}")
    if len(table) == 0:
        raise CatalogError("the list of clusters has no rows")
    names = np.asarray(table["name"]).astype(str)
    found = QTable({"name": names, "ra": plain(table, "ra", "deg") * u.deg, "dec": plain(table, "dec", "deg") * u.deg})
    for name, unit in _UNITS.items():
        source = "vlos" if name == "radial_velocity" else name
        found[name] = plain(table, source, unit) * u.Unit(unit)
        known = f"{source}_e" in table.colnames
        error = np.nan_to_num(plain(table, f"{source}_e", unit)) if known else np.zeros(len(names))
        found[f"{name}_error"] = error * u.Unit(unit)
    known = "pmcorr" in table.colnames
    found["pmra_pmdec_corr"] = np.nan_to_num(plain(table, "pmcorr")) if known else np.zeros(len(names))
    if "collection" in table.colnames:
        cluster = np.asarray(table["collection"]).astype(str) == "cluster"
    else:
        cluster = _follows_satellites(names)
    other = np.isin(names, (*SOLAR_SYSTEM, *STREAMS_THERE))
    complete = np.isfinite(found["radial_velocity"].value) & (np.char.find(names, "missingvlos") < 0)
    return found[cluster & ~other & complete], found[~cluster & ~other & complete]


def _follows_satellites(names: NDArray[np.str_]) -> NDArray[np.bool_]:
    """galpy's list has the satellites first, then the clusters from NGC 104 on."""
    place = np.flatnonzero(names == "NGC104")
    if len(place) == 0:
        raise CatalogError("the list of clusters has no NGC104; give it a column 'collection' with 'cluster' or not")
    return np.asarray(np.arange(len(names)) >= place[0])


def dwarf_galaxies(table: QTable) -> QTable:
    """Dwarf galaxies of the Local Volume Database with six-dimensional positions, as ``clusters_and_satellites``.

    Parameters
    ----------
    table : columns name, ra, dec, distance, pmra, pmdec, vlos_systemic with errors ``_em``, ``_ep`` of its layout.
    """
    import astropy.units as u
    from astropy.table import QTable

    lost = [name for name in ("name", "ra", "dec", *(c[0] for c in _LVDB.values())) if name not in table.colnames]
    if lost:
        raise MissingColumnError(f"the table of dwarf galaxies lacks the column {lost[0]!r}")
    found = QTable({"name": np.asarray(table["name"]).astype(str)})
    found["ra"], found["dec"] = plain(table, "ra", "deg") * u.deg, plain(table, "dec", "deg") * u.deg
    complete = np.ones(len(table), dtype=bool)
    for name, (value, minus, plus) in _LVDB.items():
        found[name] = plain(table, value, _UNITS[name]) * u.Unit(_UNITS[name])
        complete &= np.isfinite(found[name].value)
        half = 0.5 * (np.abs(plain(table, minus)) + np.abs(plain(table, plus)))
        found[f"{name}_error"] = np.nan_to_num(half) * u.Unit(_UNITS[name])
    found["pmra_pmdec_corr"] = np.zeros(len(table))
    return found[complete]


def host_of(cluster: str) -> str:
    """The galaxy that a cluster came with, as far as the list of ``HOSTS`` says; empty otherwise.

    Examples
    --------
    >>> host_of("NGC5272")
    'Helmi streams'
    """
    return next((host for host, members in HOSTS.items() if cluster in members), "")
