from __future__ import annotations

import numpy as np
import pytest

from starloom.catalog.tables import read_table
from starloom.errors import CatalogError
from starloom.galaxies.map_grid import Grid
from starloom.galaxies.photometric_features import Features
from starloom.galaxies.point_redshifts import PointRedshifts
from starloom.galaxies.redshifts import two_groups
from starloom.galaxies.self_organizing_map import SelfOrganizingMap
from starloom.galaxies.tomographic_bins import bins_by_redshift

FEATURES = Features(("a", "b", "c"), kind="columns")


def galaxies(n, seed):
    """z = a + b / 2, c tells nothing; a tenth of the errors of z are ten times as large."""
    rng = np.random.default_rng(seed)
    a, b, c = rng.uniform(size=(3, n))
    z = 0.2 + a + b / 2 + 0.02 * rng.standard_normal(n) * np.where(rng.random(n) < 0.1, 5.0, 1.0)
    return read_table({"a": a, "b": b, "c": c}), z


@pytest.fixture(scope="module")
def known():
    table, z = galaxies(2500, 1)
    return PointRedshifts.of(SelfOrganizingMap(FEATURES, Grid(10, 15)).fit(table, seed=1), table, z)


def test_redshifts_are_right_and_their_intervals_hold(known):
    table, z = galaxies(2000, 2)
    found = known.predict(table, workers=2)
    apart = np.asarray(found["z_map"]) - z
    assert 1.4826 * np.median(np.abs(apart)) < 0.025  # 0.02 is what cannot be known
    inside = ((found["z_map_low"] <= z) & (z <= found["z_map_high"])).mean()
    assert inside == pytest.approx(0.68, abs=0.05)
    assert not np.asarray(found["z_map_bimodal"]).any()
    assert (found["spectra_used"] == 60).all()
    one = known.predict(table, workers=1)
    np.testing.assert_array_equal(one["z_map"], found["z_map"])


def test_missing_features_widen_the_interval(known):
    table, z = galaxies(400, 3)
    whole = known.predict(table)
    table["b"][:] = np.nan
    part = known.predict(table)
    assert np.isfinite(part["z_map"]).all()
    assert np.median(part["z_map_high"] - part["z_map_low"]) > 3 * np.median(whole["z_map_high"] - whole["z_map_low"])
    assert np.mean(part["z_map"] - z) == pytest.approx(0.0, abs=0.03)


def test_rows_without_features_come_back_with_a_reason(known):
    table, _ = galaxies(5, 4)
    for name in "abc":
        table[name][2] = np.inf
    found = known.predict(table)
    assert np.isnan(found["z_map"][2])
    assert found["reason"].tolist() == ["", "", "no feature is measured", "", ""]


def test_colors_of_two_redshifts_are_flagged():
    table, z = galaxies(2000, 5)
    high = (np.asarray(table["a"]) < 0.2) & (np.arange(2000) % 2 == 0)
    z[high] += 2.0
    known = PointRedshifts.of(SelfOrganizingMap(FEATURES, Grid(10, 15)).fit(table, seed=1), table, z, neighbors=30)
    found = known.predict(table)
    flagged = np.asarray(found["z_map_bimodal"])
    assert flagged[np.asarray(table["a"]) < 0.1].mean() > 0.95
    assert flagged[np.asarray(table["a"]) > 0.4].mean() < 0.01


def test_two_groups_are_far_apart_and_each_more_than_one():
    assert two_groups(np.array([0.2, 0.21, 0.22, 2.0, 2.1]))
    assert not two_groups(np.array([0.2, 0.21, 0.22, 2.0]))
    assert not two_groups(np.array([0.2, 0.22, 0.24, 0.28]))
    assert not two_groups(np.array([0.5]))


def test_two_spectra_are_needed(known):
    table, z = galaxies(5, 1)
    z[1:] = np.nan
    with pytest.raises(CatalogError, match="at least 2"):
        PointRedshifts.of(known.fitted, table, z)


def test_bins_of_other_spectra_hold_as_many_galaxies_each(known):
    table, z = galaxies(2000, 7)
    number = bins_by_redshift(known.fitted, table, z, table, 4)[known.fitted.assign(table)]
    counts = np.bincount(number[number >= 0], minlength=4)
    assert counts.min() > 350
    means = [z[number == k].mean() for k in range(4)]
    assert (np.diff(means) > 0.1).all()
