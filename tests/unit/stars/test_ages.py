"""Ages of a table: what comes back, in the domain and out of it, saved and loaded, and bad input."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
from astropy.table import QTable

from starloom.errors import CatalogError, ConfigError, FitError, MissingColumnError, ModelFileError, UnitError
from starloom.stars.age_tables import apogee_labels, apokasc2_stars, harps_stars, miglio2021_stars
from starloom.stars.ages import AgeForest, available, cross_validated, inputs_of, ratio_scatter


def giants(count, seed):
    """Giants whose ages follow from mass by a power law, seen through nu_max and delta_nu at one temperature."""
    rng = np.random.default_rng(seed)
    mass = rng.uniform(0.9, 2.2, count)
    radius = 10.0 ** rng.uniform(0.7, 1.2, count)
    nu_max, delta_nu = 3090.0 * mass / radius**2, 135.1 * np.sqrt(mass / radius**3)
    table = QTable({"age": 10.0 * mass**-3.0 * np.exp(0.05 * rng.normal(size=count)) * u.Gyr})
    table["age_error"] = 0.05 * table["age"]
    table["nu_max"] = nu_max * np.exp(0.01 * rng.normal(size=count)) * u.uHz
    table["nu_max_error"] = 0.01 * nu_max * u.uHz
    table["delta_nu"] = delta_nu * np.exp(0.01 * rng.normal(size=count)) * u.uHz
    table["fe_h"] = rng.normal(0.0, 0.2, count)
    return table


INPUTS = ("nu_max", "delta_nu", "fe_h")


@pytest.fixture(scope="module")
def fitted():
    return AgeForest(INPUTS, n_trees=40).fit(giants(1500, 1), trained_on="made giants")


def test_ages_come_back_with_their_laws(fitted):
    asked = giants(400, 2)
    found = fitted.predict(asked)
    assert len(found) == 400
    assert list(found["fe_h"]) == list(asked["fe_h"])
    age, low, middle, high = (
        found[name].to_value(u.Gyr) for name in ("age", "predicted_age_low", "predicted_age", "predicted_age_high")
    )
    assert ratio_scatter(middle, age) < 0.2
    assert 0.58 < np.mean((low < age) & (age < high)) < 0.80
    assert (low <= middle).all()
    assert (middle <= high).all()
    good = np.asarray(found["in_domain"])
    assert good.mean() > 0.9
    assert (np.asarray(found["reason"])[good] == "").all()


def test_units_are_converted(fitted):
    asked = giants(20, 3)
    hertz = asked.copy()
    hertz["nu_max"], hertz["nu_max_error"] = hertz["nu_max"].to(u.mHz), hertz["nu_max_error"].to(u.mHz)
    assert np.allclose(fitted.predict(hertz)["predicted_age"], fitted.predict(asked)["predicted_age"], rtol=1e-9)
    asked["nu_max"] = asked["nu_max"].value * u.km
    with pytest.raises(UnitError, match="nu_max"):
        fitted.predict(asked)


def test_rows_that_cannot_be_told_carry_a_reason(fitted):
    asked = giants(4, 4)
    asked["nu_max"][0] = 9000.0 * u.uHz  # far beyond the training stars
    asked["fe_h"][1] = np.nan
    for name in INPUTS:
        asked[name][2] = np.nan
    found = fitted.predict(asked)
    reasons = list(found["reason"])
    assert "beyond the training stars in nu_max" in reasons[0]
    assert reasons[1] == "without fe_h"
    assert "no input" in reasons[2]
    assert list(found["in_domain"][:3]) == [False, False, False]
    assert np.isnan(found["predicted_age"][2])
    assert np.isfinite(found["predicted_age"][[0, 1]]).all()


def test_saved_and_loaded(fitted, tmp_path):
    fitted.save(tmp_path / "forest")
    again = AgeForest.load(tmp_path / "forest")
    asked = giants(10, 5)
    assert np.array_equal(again.predict(asked)["predicted_age"], fitted.predict(asked)["predicted_age"])
    assert (again.inputs, again.trained_on, again.stars) == (INPUTS, "made giants", 1500)
    (tmp_path / "forest" / "ages.json").write_text("{}")
    with pytest.raises(ModelFileError, match="fit and save"):
        AgeForest.load(tmp_path / "forest")
    with pytest.raises(ModelFileError, match="missing"):
        AgeForest.load(tmp_path)


def test_cross_validation_sees_no_star_twice():
    table = giants(300, 6)
    found = cross_validated(table, INPUTS, folds=3, n_trees=10)
    assert np.isfinite(found).all()
    # ages that follow from nothing cannot be told: memory would show
    table["age"] = np.random.default_rng(6).permutation(table["age"].value) * u.Gyr
    blind = cross_validated(table, INPUTS, folds=3, n_trees=10)
    assert abs(np.corrcoef(blind[:, 1], table["age"].value)[0, 1]) < 0.2
    with pytest.raises(ConfigError, match="2 folds"):
        cross_validated(table, INPUTS, folds=1)


def test_impossible_ages_and_values_are_left_out():
    table = giants(200, 7)
    table["age"][:20] = [np.nan, -1.0, 0.0, 500.0] * 5 * u.Gyr
    table["delta_nu"][30] = -3.0 * u.uHz
    forest = AgeForest(INPUTS, n_trees=5).fit(table)
    assert forest.stars == 180
    assert np.isnan(inputs_of(table, ("delta_nu",))[0][30, 0])


def test_bad_requests(fitted):
    table = giants(60, 8)
    for inputs in ((), ("nu_max", "nu_max"), ("color",)):
        with pytest.raises(ConfigError, match="inputs are some of"):
            AgeForest(inputs)
    with pytest.raises(FitError, match="not been fitted"):
        AgeForest(INPUTS).laws(table, [0.5])
    with pytest.raises(CatalogError, match="at least 50"):
        AgeForest(INPUTS).fit(table[:20])
    with pytest.raises(CatalogError, match="no rows"):
        fitted.predict(table[:0])
    del table["delta_nu"]
    with pytest.raises(MissingColumnError, match="delta_nu"):
        fitted.predict(table)
    del table["age"]
    with pytest.raises(MissingColumnError, match="age"):
        AgeForest(("fe_h",)).fit(table)
    assert available(table) == ("nu_max", "fe_h")


def test_published_tables():
    apokasc = QTable({
        "KIC": [1, 2, 3], "2MASS": ["2M1 ", "2M2", "2M3"], "ES": ["RGB", "RC(S)", "REJECT"],
        "Log Age": [4.0, 3.0, 3.5], "S LogageP": [0.1, 99.0, 0.1], "S LogageM": [-0.1, 99.0, -0.1],
        **{name: [1.0, 2.0, 3.0] for name in ("Teff", "FeH", "Afe", "Nmax", "Dnu", "M(cor)", "R(cor)", "Logg(seis)")},
        **{f"S {name}": [0.1, 0.2, 99.0] for name in ("Teff", "FeH", "Afe", "Nmax", "Dnu", "Mran", "Rran", "Gran")},
    })  # fmt: skip
    stars = apokasc2_stars(apokasc)
    assert list(stars["evolutionary_state"]) == [1.0, 2.0]
    assert stars["age"].to_value(u.Gyr).tolist() == [10.0, 1.0]
    assert stars["age_error"][0].to_value(u.Gyr) == pytest.approx(0.1 * np.log(10.0) * 10.0)
    assert np.isnan(stars["age_error"][1])
    assert stars["nu_max_error"].to_value(u.uHz).tolist() == pytest.approx([0.1, 0.4])
    assert stars["apogee_id"][0] == "2M1"
    columns = ("Age", "b_Age", "b_age_lc", "Mass", "b_Mass", "b_mass_lc", "Rad", "b_Rad", "b_rad_lc")
    miglio = QTable({
        "KIC": [1, 2], "APOGEE": ["a", "b"], "evstate": [1, 2], "__Fe_H_": [0.0, 0.1], "__alpha_M_": [0.0, 0.1],
        "GalR": [8.0, 8.0], "GalZ": [0.1, 0.2], **{name: [2.0, np.nan] for name in columns},
    })  # fmt: skip
    assert len(miglio2021_stars(miglio)) == 1
    labels = QTable({"apogee_id": ["a "], **{name: [1.0] for name in ("teff", "logg", "fe_h", "alpha_m")},
                     **{f"{name}_err": [0.1] for name in ("teff", "logg", "fe_h", "alpha_m")}})  # fmt: skip
    assert apogee_labels(labels)["teff_error"].unit == u.K
    species = ("YII", "MgI", "AlI", "TiI", "BaII", "ZnI")
    harps = QTable({"Star": ["HD1", "HD2"], "Age": [5.0, 5.0], "e_Age": [0.5, 3.0], "Teff": [5700, 5800],
                    "loggHIP": [4.4, 4.4], "__Fe_H_": [0.0, 0.0],
                    **{f"__{name}_Fe_": [0.1 * k, 0.0] for k, name in enumerate(species)}})  # fmt: skip
    dwarfs = harps_stars(harps)
    assert len(dwarfs) == 1
    assert dwarfs["y_mg"][0] == pytest.approx(-0.1)


def test_fill_values_tell_no_age():
    table = QTable({"teff": [-9999.0, 4800.0], "fe_h": [0.1, 0.0], "logg": [-9999.0, -9999.0]})
    values, _ = inputs_of(table, ["teff", "fe_h"])
    np.testing.assert_array_equal(np.isnan(values), [[True, False], [False, False]])
    assert available(table) == ("teff", "fe_h")
