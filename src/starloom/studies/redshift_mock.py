"""Made galaxies in the place of every input of redshift-som."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.studies.redshift_som import Config


def mock(config: Config) -> dict[str, QTable]:
    """Made galaxies in the place of every input."""
    from starloom.galaxies.mock_photometry import Band, MockSurvey, make

    field = {
        "u": Band(3800, 600, 26.5), "B": Band(4450, 900, 27.2), "g": Band(4780, 1200, 27.0),
        "V": Band(5480, 900, 26.5), "r": Band(6290, 1300, 26.7), "i": Band(7680, 1500, 26.1),
        "z": Band(9040, 1300, 25.2), "J": Band(12500, 1600, 23.8), "K": Band(21500, 3200, 23.8),
    }  # fmt: skip
    cosmos = make(MockSurvey(14_000, field, ("i", 22.5)), config.seed)
    cosmos["zspec"] = np.asarray(cosmos["redshift"])
    sloan = {name: Band(center, 1200, depth) for name, center, depth in
             (("u", 3560, 22.0), ("g", 4720, 23.2), ("r", 6180, 22.6), ("i", 7500, 21.9), ("z", 8960, 20.8))
             }  # fmt: skip
    main = make(MockSurvey(4_000, sloan, ("r", 17.8), brightest=14.5), config.seed + 1)
    main["zspec"] = np.asarray(main["redshift"])
    vimos = {name: Band(center, 1000, 25.5) for name, center in
             (("U", 3700), ("B", 4310), ("V", 5370), ("R", 6580), ("I", 8100))}  # fmt: skip
    objects = make(MockSurvey(8_000, vimos, ("I", 22.5), name="cfh12k_{}", error_name="cfh12k_{}_err"), config.seed + 2)
    objects["zspec"] = np.asarray(objects["redshift"])
    lost = np.arange(len(objects)) % 2 == 0
    for band in "UBVR":
        objects[f"cfh12k_{band}"][lost] = np.nan
    rubin = {name: Band(center, 1200, depth) for name, center, depth in
             (("u", 3680, 25.9), ("g", 4780, 27.0), ("r", 6220, 27.0), ("i", 7540, 26.5), ("z", 8690, 25.8),
              ("y", 9710, 24.7))}  # fmt: skip
    deep = [
        make(MockSurvey(rows, rubin, ("i", 25.0), name="mag_{}", error_name="mag_err_{}"), config.seed + 3 + rows)
        for rows in (8_000, 16_000)
    ]
    return {"zcosmos": cosmos, "sdss": main, "vvds": objects, "dc2_training": deep[0], "dc2_validation": deep[1]}
