from dataclasses import replace

import numpy as np
import pytest

from starloom.errors import ConfigError
from starloom.stellar.isochrone_comparison import compare_isochrones
from starloom.stellar.isochrones import Isochrone


def curve(shift_color=0.0, shift_magnitude=0.0, n=600):
    """A made sequence: g falls from 10 to -2, bluest (0.3) at g = 4."""
    g = np.linspace(10.0, -2.0, n)
    color = 0.3 + 0.05 * (g - 4.0) ** 2 * np.where(g > 4, 1.0, 2.0)
    ones = np.ones(n)
    return Isochrone(
        age=12.0,
        fe_h=-1.0,
        eep=np.arange(n),
        initial_mass=np.linspace(0.1, 0.8, n),
        star_mass=ones,
        log_teff=3.7 * ones,
        logg=4 * ones,
        log_l=ones,
        radius=ones,
        phase=np.zeros(n),
        bands={"g": g + shift_magnitude, "i": g + shift_magnitude - color - shift_color},
    )


def test_an_isochrone_does_not_differ_from_itself():
    table = compare_isochrones(curve(), curve(n=601), ["g", "i"])
    assert np.abs(table["difference"].value).max() < 2e-4
    assert set(table["phase"]) == {"main sequence", "turn-off", "giant branch"}
    turn_off = table["magnitude"].value[table["phase"] == "turn-off"]
    assert (turn_off.min(), turn_off.max()) == (pytest.approx(3.5, abs=0.06), pytest.approx(4.5, abs=0.06))


def test_a_shift_in_color_is_found_in_every_phase():
    table = compare_isochrones(curve(0.03), curve(), ["g", "i"])
    for phase in ("main sequence", "turn-off", "giant branch"):
        assert table.meta[phase]["median"] == pytest.approx(0.03, abs=1e-6)
        assert table.meta[phase]["maximum_absolute"] == pytest.approx(0.03, abs=1e-6)
    assert sum(table.meta[phase]["count"] for phase in table.meta) == len(table)


def test_a_shift_in_magnitude_shows_where_the_curve_is_sloped():
    table = compare_isochrones(curve(0.0, 0.1), curve(), ["g", "i"])
    at = table["magnitude"].value
    wanted = np.interp(at - 0.1, *(v[::-1] for v in (curve().bands["g"], curve().bands["g"] - curve().bands["i"])))
    np.testing.assert_allclose(table["color_a"].value, wanted, atol=1e-4)
    assert table.meta["main sequence"]["median"] < 0 < table.meta["giant branch"]["median"]


def test_a_fold_keeps_the_first_star_of_each_magnitude():
    folded = curve()
    g = folded.bands["g"].copy()
    g[400:420] = g[400] + 0.1  # a stretch that is fainter again
    table = compare_isochrones(replace(folded, bands={"g": g, "i": folded.bands["i"]}), folded, ["g", "i"])
    assert np.isfinite(table["difference"].value).all()


def test_a_third_band_can_be_the_magnitude_and_faint_stars_left_out():
    a = curve()
    a = replace(a, bands=a.bands | {"r": a.bands["g"] + 1.0})
    table = compare_isochrones(a, a, ["g", "i", "r"], faint=8.0)
    assert table["magnitude"].value.max() <= 8.0
    assert table["magnitude"].value.min() == pytest.approx(-1.0)


def test_bad_input_is_refused():
    with pytest.raises(ConfigError, match="two bands"):
        compare_isochrones(curve(), curve(), ["g"])
    with pytest.raises(ConfigError, match="step > 0"):
        compare_isochrones(curve(), curve(), ["g", "i"], step=0.0)
    with pytest.raises(ConfigError, match="no magnitudes for"):
        compare_isochrones(curve(), curve(), ["g", "z"])
    with pytest.raises(ConfigError, match="no magnitude in common"):
        compare_isochrones(curve(), curve(0.0, 30.0), ["g", "i"])
    missing = replace(curve(), bands={"g": np.full(600, np.nan), "i": np.ones(600)})
    with pytest.raises(ConfigError, match="at least three points"):
        compare_isochrones(missing, curve(), ["g", "i"])
