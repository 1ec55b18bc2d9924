from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

from starloom.disk.age_metallicity import AgeMetallicity, age_errors, blocks_of, column, sequence_ends, temperature
from starloom.disk.galaxy_mock import galaxy, sequence, share_of_high, true_correlation
from starloom.disk.samples import apogee_sample, apokasc2
from starloom.errors import CatalogError, ConfigError, MissingColumnError
from starloom.stats.ranks import Margin

PLACES = np.stack(np.meshgrid(np.linspace(2, 16, 12), np.linspace(0.1, 1.5, 6), indexing="ij"), -1).reshape(-1, 2)


@pytest.fixture(scope="module")
def stars():
    return galaxy(60_000, 17)


def test_the_truth_of_the_made_galaxy_is_what_its_stars_show(stars):
    place = np.array([[8.0, 0.3]])
    near = (np.abs(stars["galactic_radius"].value - 8.0) < 0.7) & (
        np.abs(np.abs(stars["galactic_height"].value) - 0.3) < 0.1
    )
    found = np.corrcoef(np.log(stars["age"].value[near]), stars["fe_h"][near])[0, 1]
    assert near.sum() > 1000
    assert true_correlation(*place.T, "all")[0] == pytest.approx(found, abs=0.05)
    assert np.asarray(stars["high_alpha"])[near].mean() == pytest.approx(float(share_of_high(8.0, 0.3)), abs=0.04)
    assert true_correlation(8.0, 0.3, "low") == pytest.approx(float(sequence(False, 8.0, 0.3).rho))


@pytest.mark.parametrize("margins", ["values", "normal"])
def test_the_known_map_is_found(stars, margins):
    fitted = AgeMetallicity(margins=margins).fit(stars)
    ranked = None
    if margins == "normal":
        ranked = Margin.of(np.log(stars["age"].value)), Margin.of(np.asarray(stars["fe_h"]))
    off = fitted.predict(PLACES) - true_correlation(*PLACES.T, "all", ranked, draws=1024)
    assert np.isfinite(off).mean() > 0.6
    assert np.sqrt(np.nanmean(off**2)) < 0.03


def test_normal_scores_do_not_care_how_age_is_written(stars):
    other = stars.copy()
    other["age"] = np.exp(stars["age"].value / 20.0) * u.Gyr
    a, b = (AgeMetallicity().fit(table).predict(PLACES) for table in (stars, other))
    np.testing.assert_allclose(a, b, atol=1e-8)


@pytest.mark.parametrize("margins", ["values", "normal"])
def test_attenuation_by_errors_of_ages_and_metallicities_is_taken_out(margins):
    noisy, clean = (galaxy(60_000, 23, **errors) for errors in ({"age_error": 0.25, "fe_h_error": 0.1}, {}))
    ranked = None
    if margins == "normal":
        ranked = Margin.of(np.log(clean["age"].value)), Margin.of(np.asarray(clean["fe_h"]))
    true = true_correlation(*PLACES.T, "all", ranked, draws=1024)
    usable = noisy["age"] > 0
    off = [
        np.nanmean(AgeMetallicity(margins=margins, correct=correct).fit(noisy, chosen=usable).predict(PLACES) - true)
        for correct in (False, True)
    ]
    assert off[0] > 0.05
    assert abs(off[1]) < 0.03


def test_hot_orbits_are_hot(stars):
    heat = temperature(stars, ("galactic_radius", "absolute_height"), name="action_r")
    found = heat.predict(np.array([[8.0, 0.1], [8.0, 1.5]]))
    assert 0 < found[0] < found[1]


def test_columns_in_other_units_and_errors(stars):
    part = stars[:5].copy()
    part["galactic_radius"] = part["galactic_radius"].to("pc")
    np.testing.assert_allclose(column(part, "galactic_radius"), stars["galactic_radius"][:5].value)
    assert (column(part, "absolute_height") >= 0).all()
    assert np.isnan(column(part, "eccentricity")).all()
    part["action_r"] = -1.0 * u.kpc * u.km / u.s
    assert np.isnan(column(part, "action_r")).all()
    assert age_errors(part) is None
    part["age_low"], part["age_high"] = 4.0 * u.Gyr, 7.0 * u.Gyr
    assert age_errors(part).tolist() == [1.5] * 5
    assert blocks_of(part) is None


def test_the_ends_of_made_sequences(stars):
    end, start = sequence_ends(stars, np.asarray(stars["high_alpha"]), bootstraps=40, seed=1)
    assert end.fe_h > start.fe_h
    assert end.age == pytest.approx(8.0, abs=1.0)  # the young end of a normal in ln age with a correlation of -0.5
    assert 0 < end.alpha_error < 0.01
    assert end.stars == pytest.approx(0.09 * np.asarray(stars["high_alpha"]).sum(), rel=0.02)
    with pytest.raises(CatalogError, match="low-alpha sequence"):
        sequence_ends(stars, np.ones(len(stars), dtype=bool))


def test_bad_settings_and_too_few_stars(stars):
    with pytest.raises(ConfigError, match="margins"):
        AgeMetallicity(margins="ranks")
    with pytest.raises(ConfigError, match="negative"):
        AgeMetallicity(age_error=-0.1)
    with pytest.raises(CatalogError, match="needs"):
        AgeMetallicity().fit(stars[:50])
    with pytest.raises(CatalogError, match="no row"):
        AgeMetallicity().fit(stars, chosen=np.zeros(len(stars), dtype=bool))


# --- samples of published catalogs, on made files


def catalogs(n=40):
    rng = np.random.default_rng(0)
    allstar = QTable(
        {name: np.zeros(n, dtype=np.int64) for name in ("EXTRATARG", "ASPCAPFLAG", "STARFLAG", "MEMBERFLAG")}
    )
    allstar["APOGEE_ID"] = [f"2M{k:08d}" for k in range(n)]
    astronn = QTable(
        {
            "APOGEE_ID": allstar["APOGEE_ID"], "FE_H": rng.normal(-0.2, 0.2, n), "MG_H": rng.normal(-0.1, 0.2, n),
            "LOGG": np.full(n, 2.7), "TEFF": np.full(n, 4700.0), "age": rng.uniform(1, 12, n),
            "age_total_error": np.full(n, 1.0), "weighted_dist": np.full(n, 2000.0),
            "weighted_dist_error": np.full(n, 100.0), "galr": np.full(n, 9.0), "galz": np.full(n, 0.3),
            "jr": np.full(n, 20.0), "e": np.full(n, 0.1),
        }
    )  # fmt: skip
    ages = QTable({"Age": rng.uniform(1, 12, n), "Age_Error": np.full(n, 0.2)})
    return allstar, astronn, ages


def test_each_cut_of_the_apogee_samples_takes_its_stars():
    allstar, astronn, ages = catalogs()
    whole = apogee_sample(allstar, astronn)
    assert len(whole) == 40
    np.testing.assert_allclose(whole["alpha_m"], astronn["MG_H"] - astronn["FE_H"])
    assert whole["galactic_radius"].unit == u.kpc
    allstar["EXTRATARG"][0] = 1
    allstar["ASPCAPFLAG"][1], allstar["ASPCAPFLAG"][2] = 1 << 23, 1 << 5
    allstar["STARFLAG"][3], allstar["STARFLAG"][4] = 1 << 3, 1 << 9
    allstar["MEMBERFLAG"][5] = 4
    astronn["weighted_dist_error"][6] = 500.0
    astronn["LOGG"][7], astronn["TEFF"][8], astronn["galz"][9] = 1.5, 5600.0, 2.5
    astronn["age"][10], astronn["FE_H"][11] = 13.5, -9999.0
    ages["Age_Error"][12], ages["Age"][13] = 40.0, np.nan
    original = apogee_sample(allstar, astronn)
    assert len(original) == 40 - 9  # rows 0 1 3 5 6 8 9 10 11 go; 7 is within 1 < log g < 3.8
    updated = apogee_sample(allstar, astronn, ages)
    assert len(updated) == 40 - 13
    assert sum(updated.meta["reasons"].values()) == 13
    np.testing.assert_array_equal(updated["age"].value[-1], ages["Age"][-1])


def test_catalogs_that_do_not_match_are_refused():
    allstar, astronn, ages = catalogs()
    with pytest.raises(CatalogError, match="ages has 39 rows"):
        apogee_sample(allstar, astronn, ages[:-1])
    astronn["APOGEE_ID"][3] = "other"
    with pytest.raises(CatalogError, match="row 3"):
        apogee_sample(allstar, astronn)
    del allstar["EXTRATARG"]
    astronn["APOGEE_ID"][3] = allstar["APOGEE_ID"][3]
    with pytest.raises(MissingColumnError, match="EXTRATARG"):
        apogee_sample(allstar, astronn)


def test_apokasc2_keeps_what_can_be_believed():
    ages = QTable(
        {"KIC": [1, 2, 3, 4, 5], "Log Age": [3.0, 3.5, 4.0, np.nan, 3.7], "S LogageP": [0.12, 99.0, 0.1, 0.1, 0.1],
         "S LogageM": [-0.08, -99.0, -0.1, -0.1, -0.1], "FeH": [0.0, -0.1, 0.1, 0.2, 0.0], "S FeH": [0.03] * 5,
         "Afe": [0.1] * 5}
    )  # fmt: skip
    actions = QTable(
        {"kic": [4, 3, 2, 1, 5], "Jr": [10.0, -6e6, 30.0, 40.0, 20.0], "Jr_err": [1.0, 1.0, 1.0, 1.0, 21.0],
         "ra": [290.0] * 5, "dec": [44.0] * 5}
    )  # fmt: skip
    found = apokasc2(ages, actions)
    assert np.asarray(found["kic"]).tolist() == [1, 2]
    assert found["age"].value == pytest.approx([1.0, 10**0.5])
    assert found["action_r"].value.tolist() == [40.0, 30.0]
    assert np.isnan(found["age_error"].value).tolist() == [False, True]
    assert found["age_error"][0].value == pytest.approx(0.1 * np.log(10.0))
    actions["kic"] = [7, 8, 9, 10, 11]
    with pytest.raises(CatalogError, match="no KIC"):
        apokasc2(ages, actions)
