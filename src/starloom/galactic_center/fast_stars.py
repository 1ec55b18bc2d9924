"""Known fast stars: the Open Fast Stars Catalog in the columns of a traceback, and S5-HVS1 as it was reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from starloom.errors import MissingColumnError

if TYPE_CHECKING:
    from astropy.table import QTable

COLUMNS = {
    "ra": ("ra", "deg"),
    "dec": ("dec", "deg"),
    "lumdist": ("distance", "kpc"),
    "lumdist_err": ("distance_error", "kpc"),
    "propermotionra": ("pmra", "mas/yr"),
    "propermotionra_err": ("pmra_error", "mas/yr"),
    "propermotiondec": ("pmdec", "mas/yr"),
    "propermotiondec_err": ("pmdec_error", "mas/yr"),
    "velocity": ("radial_velocity", "km/s"),
    "velocity_err": ("radial_velocity_error", "km/s"),
}


def from_open_catalog(table: QTable) -> QTable:
    """Rows of the Open Fast Stars Catalog under canonical names, with ``name`` and ``bound_probability``.

    The first listed value of each quantity counts, as the catalog has it; ``distance`` is its ``lumdist``.

    Raises
    ------
    MissingColumnError
        When the table is not that catalog.
    """
    from astropy import units as u
    from astropy.table import QTable

    from starloom.catalog.schema import plain

    if lost := [name for name in ("name", *COLUMNS) if name not in table.colnames]:
        raise MissingColumnError(f"this is not the Open Fast Stars Catalog: it lacks {', '.join(lost)}")
    made = QTable({"name": np.asarray(table["name"]).astype(str)})
    for name, (ours, unit) in COLUMNS.items():
        made[ours] = plain(table, name, unit) * u.Unit(unit)
    if "boundprobability" in table.colnames:
        made["bound_probability"] = plain(table, "boundprobability")
    return made


def s5_hvs1(distance: float = 8.9, distance_error: float = 0.0) -> QTable:
    """S5-HVS1 with the values reported by Koposov et al. 2020 (1907.11725).

    Parameters
    ----------
    distance : kpc; "about 8.9" is reported, from the assumption that it comes from the center.
    distance_error : kpc.
    """
    from astropy import units as u
    from astropy.table import QTable

    motion, speed = u.mas / u.yr, u.km / u.s
    return QTable(
        {
            "name": ["S5-HVS1"], "ra": [343.715345] * u.deg, "dec": [-51.195607] * u.deg,
            "distance": [distance] * u.kpc, "distance_error": [distance_error] * u.kpc,
            "pmra": [35.328] * motion, "pmra_error": [0.084] * motion,
            "pmdec": [0.587] * motion, "pmdec_error": [0.125] * motion,
            "radial_velocity": [1017.0] * speed, "radial_velocity_error": [2.7] * speed,
        }
    )  # fmt: skip
