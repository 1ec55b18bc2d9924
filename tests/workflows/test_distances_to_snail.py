"""The age of a made spiral through predicted distances, and distances from isochrones for rows that have none."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u

from starloom import read_table
from starloom.catalog.provenance import history
from starloom.catalog.schema import plain
from starloom.disk.snail_mock import stars_with_snail
from starloom.errors import DatasetError


def test_age_of_a_made_spiral(load, tmp_path):
    workflow = load("distances_to_snail")
    stars = stars_with_snail(6000, 1, amplitude=0.4)
    distance = 1.0 / plain(stars, "parallax")
    stars["distance"], stars["distance_error"] = distance * u.kpc, 0.02 * distance * u.kpc
    stars["distance_error"][:500] = distance[:500] * 0.5 * u.kpc  # too loose
    bins = workflow.run(stars, tmp_path / "unwound.parquet", width=600.0)
    rows = read_table(tmp_path / "unwound.parquet")
    assert np.array_equal(rows["source_id"], stars["source_id"])
    assert [entry["step"] for entry in history(rows)] == ["vertical actions and angles", "ages of the phase spiral"]
    assert (np.asarray(rows["reason"])[:500].astype(str) == "no distance to 20%").all()
    assert np.isnan(plain(rows, "spiral_age")[:500]).all()
    seen = np.asarray(bins["seen"])
    assert seen.any()
    place = np.digitize(plain(rows, "l_z"), plain(bins, "l_z_low")) - 1
    for number in np.flatnonzero(seen):
        truth = np.median(plain(stars, "true_age")[place == number])
        assert plain(bins, "age")[number] == pytest.approx(truth, abs=0.08)


def test_distances_from_models(load):
    workflow = load("distances_to_snail")
    try:
        stars = workflow.mock(120, 1)
    except DatasetError as error:
        pytest.skip(f"a dataset is not on this machine: {error}")
    true = 1.0 / plain(stars_with_snail(120, np.random.default_rng(1), amplitude=0.4), "parallax")
    stars["distance"] = np.where(np.arange(120) < 60, true, np.nan) * u.kpc
    stars["distance_error"] = 0.1 * stars["distance"]
    found = workflow.distances(stars)
    assert list(found["distance_from"][:60]) == ["table"] * 60
    ratio = plain(found, "distance")[60:] / true[60:]
    assert np.nanmedian(ratio) == pytest.approx(1.0, abs=0.06)
    assert np.isfinite(ratio).mean() > 0.9
    assert history(found)[0]["step"] == "ages from isochrones"
