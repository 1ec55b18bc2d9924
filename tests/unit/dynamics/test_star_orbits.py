from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

from starloom.catalog.tables import read_table, write_table
from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.potentials import potential
from starloom.dynamics.star_orbits import BLOCK, QUANTITIES, OrbitModel, orbits_of_table
from starloom.errors import CatalogError, ConfigError, MissingColumnError, UnitError


def stars(count=40, seed=0, errors=True):
    rng = np.random.default_rng(seed)
    table = QTable({"source_id": np.arange(count) + 4611686018427387905})
    table["ra"] = rng.uniform(0, 360, count) * u.deg
    table["dec"] = np.degrees(np.arcsin(rng.uniform(-1, 1, count))) * u.deg
    table["parallax"] = rng.uniform(0.5, 5, count) * u.mas
    table["pmra"], table["pmdec"] = rng.normal(0, 5, (2, count)) * u.mas / u.yr
    table["radial_velocity"] = rng.normal(0, 40, count) * u.km / u.s
    if errors:
        table["parallax_error"] = np.full(count, 0.03) * u.mas
        table["pmra_error"] = table["pmdec_error"] = np.full(count, 0.03) * u.mas / u.yr
        table["radial_velocity_error"] = np.full(count, 1.0) * u.km / u.s
        table["parallax_pmra_corr"] = np.full(count, 0.3)
    return table


def model(**settings):
    return OrbitModel(potential("MilkyWayPotential"), GalacticFrame(), **settings)


def test_a_table_comes_back_with_orbits():
    table = stars()
    found = model(samples=50).predict(table)
    np.testing.assert_array_equal(found["source_id"], table["source_id"])
    assert (np.asarray(found["reason"]) == "").all()
    assert found["prograde"].sum() > 30
    for name, unit in QUANTITIES.items():
        value, low, high = (u.Quantity(found[name + end]).to_value(unit or "") for end in ("", "_low", "_high"))
        assert (low < high).all()
        assert np.mean((low < value) & (value < high)) > 0.8, name
    assert found["energy"].unit == "km2/s2"
    assert found.meta["potential"] == "MilkyWayPotential"
    assert "energy_low" not in table.colnames


def test_intervals_shrink_with_the_errors_and_hold_their_share():
    """The truth lies in the 68 % intervals of noisy stars: 300 stars, so 0.61 to 0.75 is three sigma."""
    truth = stars(300, 3)
    rng = np.random.default_rng(4)
    noisy = truth.copy()
    # independent errors only: the truth is drawn without the correlation
    noisy.remove_column("parallax_pmra_corr")
    for name in ("parallax", "pmra", "pmdec", "radial_velocity"):
        noisy[name] = truth[name] + rng.standard_normal(300) * noisy[f"{name}_error"]
    expected = model(samples=0).predict(truth)
    found = model(samples=200, seed=5).predict(noisy)
    assert "energy_low" not in expected.colnames
    for name in ("l_z", "energy", "omega_phi"):
        inside = (found[f"{name}_low"] < expected[name]) & (expected[name] < found[f"{name}_high"])
        assert 0.61 < np.mean(inside) < 0.75, name


def test_a_distance_goes_before_a_parallax():
    table = stars(4, errors=False)
    table["distance"] = [1.0, np.nan, -2.0, 3.0] * u.kpc
    found = model().predict(table)
    alone = table[["ra", "dec", "distance", "pmra", "pmdec", "radial_velocity"]]
    np.testing.assert_allclose(found["energy"][[0, 3]], model().predict(alone)["energy"][[0, 3]])
    parallax = table["ra", "dec", "parallax", "pmra", "pmdec", "radial_velocity"]
    np.testing.assert_allclose(found["energy"][1], model().predict(parallax)["energy"][1])
    assert list(found["reason"]) == ["", "", "no distance: it is not positive", ""]
    shifted = model(parallax_zero_point=-0.04).predict(parallax)
    parallax["parallax"] += 0.04 * u.mas
    np.testing.assert_allclose(shifted["energy"], model().predict(parallax)["energy"])


def test_rows_that_cannot_be_used_say_why():
    table = stars(7)
    table["radial_velocity"][0] = np.nan
    table["parallax"][1] = -0.2 * u.mas
    table["parallax"][2] = 0.1 * u.mas  # with an error of 0.03
    table["pmra"][3] = 400 * u.mas / u.yr
    table["pmra"][4] = np.inf * u.mas / u.yr
    table["pmdec_error"][5] = np.nan
    found = model(samples=20).predict(table)
    assert list(found["reason"]) == [
        "no radial_velocity",
        "no distance: the parallax is not positive",
        "no distance: the parallax is less precise than 20%",
        "unbound",
        "no pmra",
        "unknown error of pmdec: no intervals",
        "",
    ]
    assert np.isnan(found["action_r"][:5]).all()
    assert np.isfinite(found["energy"][3])
    assert np.isfinite(found["action_r"][5:]).all()
    assert np.isnan(found["action_r_low"][5])
    assert np.isfinite(found["action_r_low"][6])
    assert not found["prograde"][0]


def test_workers_and_parts_change_nothing():
    table = stars(BLOCK + 40)
    whole = model(samples=10, workers=1).predict(table)
    threads = model(samples=10, workers=3).predict(table)
    second = model(samples=10).predict(table[BLOCK:], first=BLOCK)
    for name in QUANTITIES:
        np.testing.assert_array_equal(whole[f"{name}_low"], threads[f"{name}_low"])
        np.testing.assert_array_equal(whole[f"{name}_low"][BLOCK:], second[f"{name}_low"])
    other = model(samples=10, seed=1).predict(table)
    assert (other["energy_low"] != whole["energy_low"]).all()


def test_files_of_every_kind(tmp_path, monkeypatch):
    from starloom.dynamics import star_orbits

    monkeypatch.setattr(star_orbits, "ROWS", BLOCK)
    table = stars(2 * BLOCK + 30)
    write_table(table, tmp_path / "stars.parquet")
    write_table(table, tmp_path / "stars.fits")
    words = {"potential_name": "heavy", "samples": 5}
    assert orbits_of_table(tmp_path / "stars.parquet", tmp_path / "a.parquet", **words) == (2 * BLOCK + 30, 0)
    assert orbits_of_table(tmp_path / "stars.fits", tmp_path / "b.fits", **words) == (2 * BLOCK + 30, 0)
    orbits_of_table(table, tmp_path / "c.ecsv", **words)
    first, second, third = (read_table(tmp_path / name) for name in ("a.parquet", "b.fits", "c.ecsv"))
    for name in ("energy", "action_r_high", "z_max"):
        np.testing.assert_allclose(first[name], second[name])
        np.testing.assert_allclose(first[name], third[name])
    np.testing.assert_array_equal(first["source_id"], table["source_id"])


def test_bad_input(tmp_path):
    table = stars(5)
    with pytest.raises(MissingColumnError, match="radial_velocity"):
        model().predict(table[["ra", "dec", "parallax", "pmra", "pmdec"]])
    with pytest.raises(MissingColumnError, match="neither 'distance' nor 'parallax'"):
        model().predict(table[["ra", "dec", "pmra", "pmdec", "radial_velocity"]])
    with pytest.raises(CatalogError, match="no rows"):
        model().predict(table[:0])
    wrong = table.copy()
    wrong["parallax"] = table["parallax"].value * u.kg
    with pytest.raises(UnitError, match="kg"):
        model().predict(wrong)
    with pytest.raises(CatalogError, match="does not exist"):
        orbits_of_table(tmp_path / "nothing.parquet", tmp_path / "out.parquet")
    with pytest.raises(ConfigError, match="no potential"):
        orbits_of_table(table, tmp_path / "out.parquet", potential_name="spherical cow")
    with pytest.raises(ConfigError, match="samples"):
        model(samples=-1)
    assert len(model(samples=3).predict(table[:1])) == 1


def test_what_a_table_had_under_the_name_of_a_result_is_kept():
    table = stars(3, errors=False)
    table["eccentricity"], table["reason"] = [0.1, 0.2, 0.3], ["mine", "", ""]
    found = model(samples=0).predict(table)
    assert found["given_eccentricity"].tolist() == [0.1, 0.2, 0.3]
    assert found["given_reason"].tolist() == ["mine", "", ""]
    assert not np.isclose(np.asarray(found["eccentricity"]), [0.1, 0.2, 0.3]).any()


def test_a_star_may_be_there_twice():
    table = stars(2, errors=False)[[0, 1, 0]]
    found = model(samples=0).predict(table)
    assert found["energy"][0] == found["energy"][2]


@pytest.mark.parametrize("column", ["distance", "parallax"])
def test_distances_in_another_unit_are_not_taken_in_silence(column):
    table = stars(20, errors=False)
    if column == "distance":
        table["distance"] = 1000.0 / table["parallax"].value
    else:
        table["parallax"] = 1e-3 * table["parallax"].value
    with pytest.raises(UnitError, match=r"cross the sky at more than .* km/s, with a median distance of"):
        model(samples=0).predict(table)
