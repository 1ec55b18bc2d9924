"""Real giants through labels, ages, orbits, sequences and the map: every row comes back, with its history."""

from __future__ import annotations

import numpy as np
import pytest

from starloom import read_table
from starloom.catalog.provenance import history
from starloom.catalog.schema import plain
from starloom.errors import DatasetError

STEPS = [
    "answers of the star foundation model",
    "ages from isochrones",
    "orbits and actions",
    "split into alpha sequences",
    "correlation of age and [Fe/H]",
]


def test_kepler_giants(load, tmp_path):
    workflow = load("labels_to_age_metallicity")
    try:
        stars = workflow.kepler_giants()
    except DatasetError as error:
        pytest.skip(f"a dataset is not on this machine: {error}")
    # ages of every twelfth star only: they are what costs
    spared = np.arange(len(stars)) % 12 != 0
    for name in ("teff", "logg", "flux", "parallax"):
        stars[name][spared] *= np.nan
    out = tmp_path / "aged.parquet"
    workflow.run(stars, out, over=["absolute_height"], samples=0, refits=5)
    rows, found = read_table(out), read_table(out.with_suffix(".map.parquet"))
    assert np.array_equal(rows["source_id"], stars["source_id"])
    assert [entry["step"] for entry in history(rows)] == STEPS
    assert [entry["step"] for entry in history(found)] == STEPS
    xp = np.asarray(rows["labels_from"]).astype(str) == "XP"
    assert xp.sum() >= 4
    age, seismic = plain(rows, "age"), plain(rows, "seismic_age")
    both = np.isfinite(age) & np.isfinite(seismic)
    assert both.sum() > 150
    ranks = [np.argsort(np.argsort(values[both])) for values in (age, seismic)]
    assert np.corrcoef(*ranks)[0, 1] > 0.5
    high = np.ma.filled(rows["high_alpha"], False)
    assert np.nanmedian(age[high]) > np.nanmedian(age[~high]) + 1.0
    clump = np.char.startswith(np.asarray(rows["evolutionary_state"]).astype(str), "RC")
    assert np.isnan(age[clump]).all()
    assert (np.asarray(rows["age_reason"]).astype(str)[np.isnan(age)] != "").all()
    values = np.asarray(found["value"])[np.asarray(found["sequence"]).astype(str) == "all"]
    assert np.isfinite(values).any()
    assert np.nanmax(np.abs(values)) < 1.0
