from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

from starloom.errors import CatalogError, ConfigError, MissingColumnError, UnitError
from starloom.galactic_center.fast_mock import make
from starloom.galactic_center.fast_stars import from_open_catalog, s5_hvs1
from starloom.galactic_center.flight import frame_for, galaxy
from starloom.galactic_center.traceback import Traceback

MODEL = galaxy("Marchetti2017")
TRACER = Traceback(MODEL, frame_for(MODEL), samples=24)


def test_ejected_stars_are_traced_to_the_center():
    made = make(seed=3, count=25)
    found = TRACER.predict(made, seed=1)
    true = np.asarray(made["from_center"])
    assert (np.asarray(found["reason"]) == "").all()
    p = np.asarray(found["p_center"])
    assert np.mean(p[true] > 0.05) > 0.8
    assert np.mean(p[~true] > 0.05) < 0.25
    for name in ("ejection_speed", "flight_time"):
        low, high = found[f"{name}_low"][true].value, found[f"{name}_high"][true].value
        inside = (made[f"true_{name}"][true].value > low) & (made[f"true_{name}"][true].value < high)
        assert 0.4 < inside.mean() < 0.95  # 68 %, 25 stars, far stars and near ones
        ratio = found[name][true].value / made[f"true_{name}"][true].value
        assert np.median(np.abs(ratio - 1.0)) < 0.05


def test_an_exact_star_goes_back_to_its_launch():
    made = make(seed=5, count=6)[:6]
    from starloom.galactic_center.ejection import isotropic
    from starloom.galactic_center.flight import fly

    rng = np.random.default_rng(5)
    speed, time = rng.uniform(900.0, 1500.0, 6), rng.uniform(3.0, 20.0, 6)
    flown = fly(MODEL, TRACER.frame, speed, isotropic(6, rng), time)
    for name, column in zip(flown.seen._fields, flown.seen, strict=True):
        made[name] = column * made[name].unit
    for name in [name for name in made.colnames if name.endswith("_error")]:
        del made[name]
    found = TRACER.predict(made, seed=1)
    np.testing.assert_allclose(found["flight_time"].value, time, rtol=2e-3)
    np.testing.assert_allclose(found["ejection_speed"].value, speed, rtol=1e-4)
    assert (found["closest_approach"].value < 0.003).all()


def test_s5_hvs1():
    """Reported: ejected at about 1800 km/s 4.8 Myr ago, if it is 8.9 kpc away."""
    found = TRACER.predict(s5_hvs1(8.9, 0.1), seed=1)
    assert found["flight_time"][0].value == pytest.approx(4.8, abs=0.1)
    assert found["ejection_speed"][0].value == pytest.approx(1800.0, abs=80.0)
    assert found["p_center"][0] > 0.05
    assert found["p_unbound"][0] == 1.0
    wrong = TRACER.predict(s5_hvs1(8.0, 0.02), seed=1)
    assert wrong["p_center"][0] < 1e-3


def test_rows_that_cannot_be_used_keep_their_place():
    rows = s5_hvs1(8.9, 0.1)
    table = QTable({name: np.repeat(rows[name], 6) for name in rows.colnames})
    table["radial_velocity"][1] = np.nan * u.km / u.s
    table["distance"][2] = -1.0 * u.kpc
    table["distance"][3] = np.nan * u.kpc
    table["radial_velocity_error"][4] = np.nan * u.km / u.s
    table["parallax"] = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1] * u.mas
    table["parallax_error"] = [0.05] * 6 * u.mas
    found = TRACER.predict(table, seed=1)
    assert list(found["reason"]) == [
        "", "no radial_velocity", "no distance: it is not positive",
        "no distance: the parallax is less precise than 30%", "", "",
    ]  # fmt: skip
    assert found["remark"][4] == "unknown error of radial_velocity: taken as exact"
    assert np.isnan(found["flight_time"][1:4]).all()
    assert np.isfinite(found["flight_time"][[0, 4, 5]]).all()
    table["distance"] = np.nan * table["distance"]
    table["parallax"] = [-0.1, 0.0, np.nan, 0.2, 0.2, 0.2] * u.mas
    found = TRACER.predict(table, seed=1)
    assert list(found["reason"][:3]) == [
        "no distance: the parallax is not positive",
        "no radial_velocity, no distance: the parallax is not positive",
        "no distance",
    ]


def test_each_star_has_its_own_draws():
    made = make(seed=3, count=4)
    whole, part = TRACER.predict(made, seed=1), TRACER.predict(made[:3], seed=1)
    np.testing.assert_array_equal(whole["ejection_speed"][:3], part["ejection_speed"])


def test_bad_tables_are_refused():
    good = s5_hvs1()
    with pytest.raises(CatalogError):
        TRACER.predict(good[:0], seed=1)
    with pytest.raises(MissingColumnError, match="pmra"):
        TRACER.predict(good[["ra", "dec", "distance"]], seed=1)
    bare = good.copy()
    del bare["distance"]
    with pytest.raises(MissingColumnError, match="neither"):
        TRACER.predict(bare, seed=1)
    bad = good.copy()
    bad["radial_velocity"] = [1.0] * u.kpc
    with pytest.raises(UnitError):
        TRACER.predict(bad, seed=1)
    with pytest.raises(ConfigError):
        TRACER.predict(good, seed=-1)
    with pytest.raises(ConfigError):
        Traceback(MODEL, TRACER.frame, span=0.0)
    with pytest.raises(ConfigError):
        Traceback(MODEL, TRACER.frame, samples=2)
    with pytest.raises(MissingColumnError, match="Open Fast Stars"):
        from_open_catalog(good)
