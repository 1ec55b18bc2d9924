"""Ages of single stars on a made grid whose laws are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

from starloom.errors import CatalogError, ConfigError, MissingColumnError, ModelFileError, UnitError
from starloom.stellar.age_lattice import AgeLattice
from starloom.stellar.age_mock import MadeStars
from starloom.stellar.ages import Floors, StarAges, salaris, turn_off
from starloom.stellar.isochrone_grids import IsochroneGrid
from starloom.stellar.mass_functions import kroupa_2001
from starloom.stellar.photometry import BolometricCorrections
from starloom.studies.metal_poor_reasons import their_stars_on

BANDS = ("ps1_g", "ps1_i")
AGES = (4.0, 15.0)
NONE = Floors(0.0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def models(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    grid = IsochroneGrid.open(made.write_grid(folder / "grid.h5"))
    return grid, BolometricCorrections.open(made.write_corrections(folder / "corrections.h5"))


@pytest.fixture(scope="module")
def lattice(models):
    return AgeLattice.build(*models, BANDS, age=AGES)


@pytest.fixture(scope="module")
def model(lattice):
    return StarAges(lattice, floors=NONE, draws=400, workers=1)


def star(**more):
    """One star of the made laws: EEP 225, 8 Gyr, [Fe/H] -1, 0.5 kpc, A_V 0.1."""
    columns = {
        "fe_h": -1.0, "fe_h_error": 0.1, "teff": 5350.0, "teff_error": 120.0, "logg": 3.49, "logg_error": 0.1,
        "parallax": 2.0, "parallax_error": 0.2, "a_v": 0.1, "a_v_error": 0.05,
        "g_mag": 12.5, "g_mag_error": 0.03, "i_mag": 12.9, "i_mag_error": 0.03,
    } | more  # fmt: skip
    return QTable({name: np.atleast_1d(value) for name, value in columns.items() if value is not None})


def consistent(tools, **more):
    """The same star with what the laws say it shows."""
    eep, log_age, iron = 225.0, np.log10(8.0) + 9.0, -1.0
    _, log_teff, logg, log_l, _, _ = tools.star(eep, log_age, iron)
    teff = 10.0**log_teff
    magnitudes = [
        4.74 - 2.5 * log_l - tools.correction(teff, logg, iron, 0.1, band) + 5.0 * np.log10(0.5) + 10.0
        for band in (0, 2)
    ]
    return star(teff=teff, logg=logg, g_mag=magnitudes[0], i_mag=magnitudes[1], **more)


def by_importance(tools, table, count=1_000_000, seed=4):
    """Posterior means by weighting draws from the prior: no lattice, no kernel."""
    rng = np.random.default_rng(seed)
    row = {name: float(np.asarray(table[name])[0]) for name in table.colnames}
    iron = rng.uniform(-1.4, -0.6, count)
    age = rng.uniform(*AGES, count)
    eep = rng.uniform(*((215.0, 235.0) if "logg" in row else (205.0, 252.0)), count)
    log_age = np.log10(age) + 9.0
    log_mass, log_teff, logg, log_l, _, _ = tools.star(eep, log_age, iron)
    mass = 10.0**log_mass
    weight = np.log(kroupa_2001().pdf(mass) * mass * 0.008 * np.log(10.0))  # |dM/dEEP| of the made law
    distance = rng.gamma(3.0, 2.0, count) if "parallax" not in row else rng.uniform(0.35, 0.8, count)
    if "parallax" in row:
        weight += 2.0 * np.log(distance) - distance / 2.0
        weight -= 0.5 * ((1.0 / distance - row["parallax"]) / row["parallax_error"]) ** 2
    dust = row["a_v"] + row["a_v_error"] * rng.standard_normal(count)
    teff = 10.0**log_teff
    for value, name in ((iron, "fe_h"), (teff, "teff"), (logg, "logg")):
        if name in row:
            weight -= 0.5 * ((value - row[name]) / row[f"{name}_error"]) ** 2
    for name, band in (("g_mag", 0), ("i_mag", 2)):
        if name in row:
            seen = 4.74 - 2.5 * log_l - tools.correction(teff, logg, iron, dust, band) + 5.0 * np.log10(distance) + 10.0
            weight -= 0.5 * ((seen - row[name]) / row[f"{name}_error"]) ** 2
    weight = np.where(dust >= 0, np.exp(weight - weight.max()), 0.0)
    effective = weight.sum() ** 2 / (weight**2).sum()
    means = {"age": age, "distance": distance, "eep": eep, "initial_fe_h": iron, "a_v": dust, "initial_mass": mass}
    found = {}
    for name, values in means.items():
        mean = float(np.average(values, weights=weight))
        found[name] = (mean, float(np.sqrt(np.average((values - mean) ** 2, weights=weight))))
    return found, effective


@pytest.mark.parametrize(
    "left_out", [(), ("teff",), ("logg", "i_mag"), ("g_mag", "i_mag")], ids=["all", "no teff", "one band", "no bands"]
)
def test_the_posterior_is_that_of_plain_importance_sampling(made, model, left_out):
    table = consistent(made)
    for name in left_out:
        table.remove_columns([name, f"{name}_error"])
    expected, effective = by_importance(made, table)
    assert effective > 1000
    found = model.posteriors(table)
    assert found.reasons == [""]
    for name, (mean, spread) in expected.items():
        if name == "a_v" and "g_mag" in left_out:
            continue  # without magnitudes the extinction is not drawn
        ours = found.draws[name][0]
        # 400 draws against 1,000 effective ones: four standard errors, and two parts in a hundred of the spread
        limit = spread * (4.0 * np.sqrt(1.0 / 400.0 + 1.0 / effective) + 0.02)
        assert abs(ours.mean() - mean) < limit, name
        assert 0.82 < ours.std() / spread < 1.22, name
    density_mean = float(found.age_probability[0] @ (0.5 * (found.age_edges[1:] + found.age_edges[:-1])))
    assert abs(density_mean - expected["age"][0]) < 0.1 * expected["age"][1]


def test_the_lattice_is_the_grid(made, lattice):
    i, j = 3, 5
    at = np.isfinite(lattice.log_teff[i, j])
    log_mass, log_teff, logg, *_ = made.star(lattice.eep[at], lattice.log_age[j], lattice.fe_h[i])
    np.testing.assert_allclose(lattice.log_teff[i, j, at], log_teff, atol=2e-6)
    np.testing.assert_allclose(lattice.logg[i, j, at], logg, atol=2e-5)
    expected = kroupa_2001().interval_weights(10.0**log_mass)
    np.testing.assert_allclose(lattice.weight[i, j][at[1:] & at[:-1]], expected, rtol=2e-3)


def test_a_lattice_is_saved_and_read(lattice, tmp_path, model):
    lattice.save(tmp_path / "model")
    again = AgeLattice.load(tmp_path / "model")
    assert again.bands == lattice.bands
    for name, values in lattice.arrays().items():
        np.testing.assert_array_equal(getattr(again, name), values)
    (tmp_path / "model" / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelFileError, match="not as it was saved"):
        AgeLattice.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"age": (0.1, 10.0)}, "ages must rise"),
        ({"fe_h": (1.0, 2.0)}, r"\[Fe/H\] from"),
        ({"bands": ("none",)}, "unknown bands"),
        ({"weighted_by": "mass"}, "weighted_by"),
    ],
)
def test_a_lattice_outside_the_grid_is_refused(models, settings, message):
    settings = {"bands": BANDS, "age": AGES} | settings
    bands = settings.pop("bands")
    with pytest.raises(ConfigError, match=message):
        AgeLattice.build(*models, bands, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distance_prior": "none"}, "distance_prior"),
        ({"alpha": "half"}, "alpha"),
        ({"draws": 0}, "draws"),
        ({"distance_scale": 0.0}, "distance_scale"),
        ({"workers": 0}, "workers"),
    ],
)
def test_settings_out_of_range_are_refused(lattice, settings, message):
    with pytest.raises(ConfigError, match=message):
        StarAges(lattice, **settings)


def test_rows_that_cannot_be_used_say_why(made, model):
    good = consistent(made)
    rows = {name: np.repeat(np.asarray(good[name], dtype=float), 9) for name in good.colnames}
    rows["fe_h"][1], rows["fe_h"][2], rows["fe_h"][3] = np.nan, -3.0, 0.9
    rows["teff"][4] = 9000.0
    rows["logg"][4] = 1.0
    rows["parallax"][5], rows["parallax"][6] = -0.3, np.nan
    rows["parallax_error"][5] = 0.5
    rows["teff"][7] = np.inf
    for name in ("teff", "logg", "g_mag", "i_mag"):
        rows[name][8] = np.nan
    found = model.predict(QTable(rows))
    reasons = list(found["reason"])
    assert reasons[0] == reasons[5] == reasons[6] == reasons[7] == ""
    assert reasons[1] == "no [Fe/H]"
    assert reasons[2].startswith("[Fe/H] below the grid")
    assert reasons[3].startswith("[Fe/H] above the grid")
    assert "no model of the grid fits" in reasons[4]
    assert reasons[8].startswith("neither Teff")
    used = np.array([reason == "" for reason in reasons])
    for name in ("age", "initial_mass", "distance", "a_v_high"):
        values = np.asarray(getattr(found[name], "value", found[name]))
        np.testing.assert_array_equal(np.isfinite(values), used)
    # an infinite temperature is a missing one
    lacking = model.posteriors(QTable({**rows, "teff": np.where(np.isfinite(rows["teff"]), rows["teff"], np.nan)}))
    np.testing.assert_array_equal(lacking.age_probability[7], model.posteriors(QTable(rows)).age_probability[7])
    # a negative parallax pushes the star away, it does not lose it
    assert found["distance"][5] > found["distance"][0]


def test_a_missing_value_is_a_missing_column(made, model):
    table = consistent(made)
    lacking, without = table.copy(), table.copy()
    lacking["logg"] = [np.nan]
    without.remove_columns(["logg", "logg_error"])
    a, b = model.posteriors(lacking), model.posteriors(without)
    np.testing.assert_array_equal(a.age_probability, b.age_probability)
    assert a.measured[0] == b.measured[0] == 5


def test_fill_values_are_missing_values(made, model):
    table = consistent(made)
    lacking, filled = table.copy(), table.copy()
    lacking["logg"], lacking["i_mag"] = [np.nan], [np.nan]
    filled["logg"], filled["i_mag"], filled["alpha_m"] = [-9999.0], [99.99], [-9999.0]
    a, b = model.posteriors(lacking), model.posteriors(filled)
    np.testing.assert_array_equal(a.age_probability, b.age_probability)
    assert a.measured[0] == b.measured[0]


def test_what_a_table_had_under_the_name_of_a_result_is_kept(made, model):
    found = model.predict(consistent(made, Age=7.0, EEP=300.0))
    assert found["given_Age"][0] == 7.0
    assert found["given_EEP"][0] == 300.0
    assert found["given_a_v"][0].value == 0.1
    assert found["age"].unit == u.Gyr
    assert len({name.lower() for name in found.colnames}) == len(found.colnames)


def test_rows_workers_and_units_change_nothing(made, lattice):
    one = consistent(made)
    rng = np.random.default_rng(2)
    rows = {name: np.repeat(np.asarray(one[name], dtype=float), 70) for name in one.colnames}
    rows["logg"] = rows["logg"] + 0.1 * rng.standard_normal(70)
    table = QTable(rows)
    single = StarAges(lattice, draws=20, seed=5, workers=1).posteriors(table)
    double = StarAges(lattice, draws=20, seed=5, workers=2).posteriors(table)
    for name in single.draws:
        np.testing.assert_array_equal(single.draws[name], double.draws[name])
    later = StarAges(lattice, draws=20, seed=5).posteriors(table[32:64], first=32)
    np.testing.assert_array_equal(later.draws["age"], single.draws["age"][32:64])
    order = rng.permutation(70)
    mixed = StarAges(lattice, draws=20, seed=5).posteriors(table[order])
    np.testing.assert_array_equal(mixed.age_probability, single.age_probability[order])
    other = table.copy()
    other["teff"] = (rows["teff"] / 1000.0) * u.kK
    other["parallax"] = (rows["parallax"] / 1000.0) * u.arcsec
    units = StarAges(lattice, draws=20, seed=5).posteriors(other)
    np.testing.assert_allclose(units.age_probability, single.age_probability, atol=1e-9)
    with pytest.raises(ConfigError, match="multiple"):
        StarAges(lattice).posteriors(table, first=5)


def test_bad_tables_are_refused(model):
    with pytest.raises(CatalogError, match="no rows"):
        model.predict(star()[:0])
    with pytest.raises(MissingColumnError, match="fe_h"):
        model.predict(star(fe_h=None))
    wrong = star()
    wrong["teff"] = [5000.0] * u.m
    with pytest.raises(UnitError, match="teff"):
        model.predict(wrong)


def test_alpha_raises_the_metallicity(made, lattice):
    table = consistent(made)
    table["alpha_m"] = [0.4]
    plain, raised = (StarAges(lattice, alpha=way, workers=1).predict(table) for way in ("ignore", "salaris"))
    shift = float(raised["initial_fe_h"][0] - plain["initial_fe_h"][0])
    assert 0.1 < shift < 0.293
    assert salaris(-1.0, 0.4) == pytest.approx(-1.0 + np.log10(0.638 * 10**0.4 + 0.362))


def test_an_age_at_the_end_of_its_range_is_called_a_limit(made, model):
    inside = model.predict(consistent(made))
    _, log_teff, logg, *_ = made.star(225.0, np.log10(14.9) + 9.0, -1.0)
    old = star(
        teff=10.0**log_teff, teff_error=20.0, logg=logg, logg_error=0.003, fe_h_error=0.01, g_mag=None, i_mag=None,
        g_mag_error=None, i_mag_error=None,
    )  # fmt: skip
    at_end = model.predict(old)
    assert at_end["age_at_edge"][0]
    assert at_end["age"][0].value > inside["age"][0].value
    assert at_end["age_information"][0] > 0


def test_the_weight_that_makes_ages_flat_matters(made, models, model):
    wrong = AgeLattice.build(*models, BANDS, age=AGES, weighted_by="eep")
    table = consistent(made, logg_error=0.3, teff_error=200.0, g_mag_error=0.2, i_mag_error=0.2)
    right = model.posteriors(table).age_quantiles()[0, 1]
    other = StarAges(wrong, floors=NONE, workers=1).posteriors(table).age_quantiles()[0, 1]
    assert abs(right - other) > 0.3


def test_a_very_uncertain_distance_says_nothing(made, model):
    """A distance to 30 times itself is no distance; one that is not positive is not used."""
    near = consistent(made, parallax=None, parallax_error=None)
    vague, wrong = near.copy(), near.copy()
    vague["distance"], vague["distance_error"] = [0.5] * u.kpc, [15.0] * u.kpc
    wrong["distance"], wrong["distance_error"] = [-1.0] * u.kpc, [0.1] * u.kpc
    expected = model.posteriors(near).age_quantiles()[0]
    np.testing.assert_allclose(model.posteriors(vague).age_quantiles()[0], expected, atol=0.05)
    np.testing.assert_array_equal(model.posteriors(wrong).age_quantiles()[0], expected)
    known = near.copy()
    known["distance"], known["distance_error"] = [0.5] * u.kpc, [0.01] * u.kpc
    low, _, high = model.posteriors(known).age_quantiles()[0]
    assert high - low < expected[2] - expected[0]


def test_a_value_without_error_and_floor_is_not_used(made, model):
    table = consistent(made)
    lacking, without = table.copy(), table.copy()
    lacking.remove_column("logg_error")
    without.remove_columns(["logg", "logg_error"])
    a, b = model.posteriors(lacking), model.posteriors(without)
    np.testing.assert_array_equal(a.age_probability, b.age_probability)


def test_some_of_the_posteriors(made, model):
    table = consistent(made)
    rows = QTable({name: np.repeat(np.asarray(table[name], dtype=float), 4) for name in table.colnames})
    rows["logg"][2] = 3.6
    rows["fe_h"][1] = np.nan
    found = model.posteriors(rows)
    part = found[np.array([False, True, True, False])]
    np.testing.assert_array_equal(part.age_probability, found.age_probability[1:3])
    np.testing.assert_array_equal(part.draws["distance"], found.draws["distance"][1:3])
    assert part.reasons == found.reasons[1:3]
    assert part.usable.tolist() == [False, True]


def test_another_weight_of_the_same_lattice(models, lattice):
    built = AgeLattice.build(*models, BANDS, age=AGES, weighted_by="eep")
    changed = lattice.weighted("eep")
    assert changed.weighted_by == "eep"
    np.testing.assert_array_equal(changed.weight, built.weight)
    with pytest.raises(ConfigError, match="weighted_by"):
        lattice.weighted("mass")


def test_models_alone_give_back_an_age(made, lattice):
    """The age at an EEP, mass and [Fe/H], against the made laws; nothing where the models have no such star."""
    eep, log_age, iron = np.array([225.0, 231.0, 225.0, 225.0]), np.log10([8.0, 11.0, 8.0, 8.0]) + 9.0, -1.0
    log_mass, log_teff, logg, *_ = made.star(eep, log_age, iron)
    stars = QTable({"fe_h": [iron, iron, iron, -9.0], "alpha_m": np.zeros(4), "minesweeper_eep": eep})
    stars["minesweeper_mass"] = 10.0**log_mass * np.array([1.0, 1.0, 9.0, 1.0]) * u.Msun
    found = their_stars_on(lattice, stars, raised=True)
    for values, true in zip(found, ([8.0, 11.0], 10.0 ** log_teff[:2], logg[:2]), strict=True):
        np.testing.assert_allclose(values[:2], true, rtol=1e-3)
        assert np.isnan(values[2:]).all()


def test_errors_of_made_stars_do_not_tell_the_truth(models):
    """The parallax's error follows from the magnitude that was measured, [Fe/H] is cut as measured."""
    makes = MadeStars(
        *models, BANDS, lambda r: r.uniform(5.0, 12.0), lambda r: r.uniform(-1.6, -0.4), logg=(3.0, 4.0),
        fe_h_window=(-1.2, -0.8),
    )  # fmt: skip
    stars = makes.sample(120, 3)
    expected = 0.1 * 10.0 ** (2.0 - 0.2 * (stars["g_mag"].value - 3.7))
    np.testing.assert_allclose(stars["parallax_error"].value, expected)
    assert ((stars["fe_h"] > -1.2) & (stars["fe_h"] < -0.8)).all()
    assert (np.abs(stars["true_fe_h"] + 1.0) > 0.2).any()
    assert (stars["true_a_v"].value > 0).all()
    pulls = (stars["parallax"].value - 1.0 / stars["true_distance"].value) / stars["parallax_error"].value
    assert abs(pulls.mean()) < 4.0 / np.sqrt(120)
    assert 0.75 < pulls.std() < 1.3
    with pytest.raises(ConfigError, match="not negative"):
        MadeStars(*models, BANDS, lambda r: 8.0, lambda r: -1.0, a_v=-0.1).sample(1, 1)


def test_the_turn_off_is_chosen_by_gravity():
    assert turn_off([3.7, 3.9, 4.4, np.nan]).tolist() == [False, True, False, False]
