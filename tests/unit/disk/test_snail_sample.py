from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u

from starloom.catalog.tables import read_table, write_table
from starloom.disk.snail_mock import stars_with_snail, true_age
from starloom.disk.snail_sample import RadialVerticalActions, SnailSample, snails, snails_of_table
from starloom.dynamics.actions import actions
from starloom.dynamics.frames import GalacticFrame
from starloom.dynamics.potentials import potential
from starloom.dynamics.vertical_actions import VerticalActions, VerticalPotential
from starloom.errors import CatalogError, ConfigError, MissingColumnError, UnitError


@pytest.fixture(scope="module")
def made():
    return stars_with_snail(25_000, 1, amplitude=0.3)


@pytest.fixture(scope="module")
def sample():
    return SnailSample(potential("MWPotential2014"), GalacticFrame.named("astropy_v4.0"))


@pytest.fixture(scope="module")
def stars(made, sample):
    return sample.predict(made)


def test_actions_and_angles_that_were_put_in_come_out(made, stars):
    assert (np.asarray(stars["reason"]) == "").all()
    turn = np.exp(1j * (stars["theta_z"].value - made["true_theta_z"].value))
    assert np.median(np.abs(np.angle(turn))) < 0.02
    ratio = stars["action_z"].value / made["true_action_z"].value
    assert np.median(np.abs(ratio - 1)) < 0.05
    assert (stars["l_z"].value > 0).all()


def test_ages_by_angular_momentum(stars):
    table, found = snails(stars, bootstraps=20)
    seen = np.asarray(table["seen"])
    assert seen.sum() >= 4
    off = table["age"].value - true_age(table["guiding_radius"].value)
    assert np.sqrt(np.mean(off[seen] ** 2)) < 0.05
    assert len(found) == len(table)
    few = table["stars"] < 1000
    assert few.any()
    for row in table[few]:
        assert row["reason"].startswith(f"{row['stars']} stars have a vertical angle")
        assert row["reason"].endswith("a spiral needs at least 1000")


def test_frames_of_either_hand_agree(made, stars):
    mirrored = GalacticFrame(handedness="left")
    again = SnailSample(potential("MWPotential2014"), mirrored).predict(made[:500])
    assert again["l_z"].value == pytest.approx(stars["l_z"].value[:500])
    assert again["theta_z"].value == pytest.approx(stars["theta_z"].value[:500])


def test_near_the_full_action(made, sample, stars):
    """On cold orbits the one-dimensional action is close to that of three dimensions."""
    frame = sample.frame
    cold = stars[:1000]
    x, v = frame.to_galactocentric(
        *(cold[name].value for name in ("ra", "dec")), 1 / cold["parallax"].value,
        *(cold[name].value for name in ("pmra", "pmdec", "radial_velocity")),
    )  # fmt: skip
    full = actions(sample.potential, x, v, focal_length=3.6)
    near = (full.action_r < 10.0) & (full.action_z > 2.0)
    ratio = cold["action_z"].value[near] / full.action_z[near]
    assert near.sum() > 50
    assert abs(np.median(ratio) - 1) < 0.05
    assert np.median(np.abs(cold["omega_z"].value[near] * 0.97779 / full.omega_z[near] - 1)) < 0.05


def test_between_the_radii():
    tables = RadialVerticalActions(potential("MWPotential2014"), 7.0, 9.0, 0.5)
    action, theta, omega, _ = tables.find([8.2], [0.5], [12.0])
    exact = VerticalActions(VerticalPotential.at_radius(potential("MWPotential2014"), 8.2)).find([0.5], [12.0])
    assert action[0] == pytest.approx(exact.action_z[0], rel=2e-3)
    assert theta[0] == pytest.approx(exact.theta_z[0], abs=2e-3)
    assert omega[0] * 0.9777922 == pytest.approx(exact.omega_z[0], rel=2e-3)
    z, v = tables.position([8.2], action, theta)
    assert z[0] == pytest.approx(0.5, abs=2e-3)
    assert v[0] == pytest.approx(12.0, abs=0.1)
    assert np.isnan(tables.find([5.0, np.nan], [0.1, 0.1], [1.0, 1.0])[0]).all()
    with pytest.raises(ConfigError, match="radii"):
        RadialVerticalActions(potential("MWPotential2014"), 9.0, 7.0)


def test_rows_that_cannot_be_used_keep_their_place_and_say_why(made, sample):
    table = made[:8].copy()
    table["parallax"] = table["parallax"].value
    table["parallax"][0] = -0.1
    table["parallax"][1] = np.nan
    table["parallax"][2] = 0.05  # loose
    table["radial_velocity"][3] = np.nan * u.km / u.s
    table["parallax"][4] = 0.3
    table["radial_velocity"][5] = 5000.0 * u.km / u.s
    table["parallax"].unit = u.mas
    found = sample.predict(table)
    reasons = [str(reason) for reason in found["reason"]]
    assert reasons[0] == "parallax is not positive"
    assert reasons[1] == "no distance"
    assert reasons[2].startswith("parallax less precise")
    assert reasons[3] == "no radial_velocity"
    assert reasons[4].startswith("farther than 2 kpc")
    assert reasons[5] != ""
    assert reasons[6] == ""
    assert np.isnan(found["action_z"].value[:6]).all()


def test_hot_orbits_can_be_left_out(made, sample):
    cool = SnailSample(sample.potential, sample.frame, largest_action_r=20.0).predict(made[:500])
    used = np.asarray(cool["reason"]) == ""
    assert 0 < used.sum() < 500
    assert (cool["action_r"].value[used] <= 20.0).all()


def test_from_file_to_file(made, tmp_path):
    write_table(made, tmp_path / "stars.fits")
    found = snails_of_table(
        tmp_path / "stars.fits", tmp_path / "ages.parquet", stars_path=tmp_path / "s.parquet", bootstraps=5
    )
    again = read_table(tmp_path / "ages.parquet")
    assert again["age"].value == pytest.approx(found["age"].value, nan_ok=True)
    assert len(read_table(tmp_path / "s.parquet")) == len(made)
    one = snails_of_table(made, tmp_path / "one.ecsv", whole=True, bootstraps=0)
    assert len(one) == 1


def test_bad_tables(made, sample, stars, tmp_path):
    with pytest.raises(MissingColumnError, match="pmra"):
        sample.predict(made["ra", "dec", "parallax"])
    bare = made["ra", "dec", "pmra", "pmdec", "radial_velocity"]
    with pytest.raises(MissingColumnError, match="distance"):
        sample.predict(bare)
    with pytest.raises(CatalogError, match="no rows"):
        sample.predict(made[:0])
    wrong = made[:5].copy()
    wrong["pmra"] = np.ones(5) * u.kg
    with pytest.raises(UnitError):
        sample.predict(wrong)
    lost = made[:5].copy()
    lost["parallax"] = np.full(5, np.nan) * u.mas
    with pytest.raises(CatalogError, match="no star can be used"):
        snails_of_table(lost, tmp_path / "out.ecsv")
    lost["flux"] = np.ones((5, 2))
    with pytest.raises(CatalogError, match=r"stars.csv: column 'flux' has 2 dimensions"):  # before the work
        snails_of_table(lost, tmp_path / "out.ecsv", stars_path=tmp_path / "stars.csv")
    with pytest.raises(CatalogError, match="at least 1000"):
        snails(stars[:100])
    with pytest.raises(ConfigError, match="rise"):
        snails(stars, edges=[2.0, 1.0])
    assert len(sample.predict(made[:1])) == 1
    with pytest.raises(ConfigError, match="farthest"):
        SnailSample(sample.potential, sample.frame, farthest=0.0)
    with pytest.raises(ConfigError, match="width"):
        snails_of_table(made, tmp_path / "out.ecsv", width=0.0)
    with pytest.raises(ConfigError, match="mock"):
        stars_with_snail(0, 1)
