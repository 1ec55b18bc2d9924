"""The simulated Milky Way of ages: closed forms of the history, the dredge-up's source, stars on their isochrones."""

from __future__ import annotations

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest

from starloom.catalog.schema import plain
from starloom.datasets.access import open_table
from starloom.errors import ConfigError, DatasetError, FitError
from starloom.simulation.chemical_evolution import (
    OTHER,
    STANDARD,
    ChemicalHistory,
    DredgeUp,
    salaris_2015_age,
    total_metallicity,
)
from starloom.simulation.evolved_stars import (
    KEPLER,
    MEASURED,
    SUN_METALS,
    SurveySelection,
    mist,
    observe,
    red_clump,
    simulate,
)
from starloom.stars.age_tables import miglio2021_stars


def test_gas_has_the_gradient_and_grows():
    history = ChemicalHistory()
    assert history.fe_h(0.0, history.solar_radius) == pytest.approx(0.0)
    slope = history.fe_h(3.0, 9.0) - history.fe_h(3.0, 8.0)
    assert slope == pytest.approx(history.fe_h_gradient)
    assert (np.diff(history.fe_h(np.linspace(12.5, 0.0, 50), 8.0)) > 0).all()
    assert history.fe_h(12.5, 0.0) == pytest.approx(history.fe_h_start)


def test_alpha_falls_from_the_high_to_the_low_sequence():
    history = ChemicalHistory()
    middle = history.alpha_m(history.alpha_age, 0.0)
    assert middle == pytest.approx(0.5 * (history.alpha_high + history.alpha_low))
    assert history.alpha_m(0.0, -0.3) == pytest.approx(history.alpha_low - 0.3 * history.alpha_slope, abs=1e-3)
    assert history.alpha_m(30.0, -0.3) == pytest.approx(history.alpha_high)


def test_births_follow_their_laws():
    born = STANDARD.born(200_000, 1)
    age, time = born["age"], STANDARD.star_formation_time
    mean = STANDARD.oldest / (1.0 - np.exp(-STANDARD.oldest / time)) - time
    assert age.mean() == pytest.approx(mean, rel=5e-3)
    young = age < 0.5
    assert born["birth_radius"][young].mean() == pytest.approx(2.0 * STANDARD.scale_length, rel=0.03)
    old = np.abs(age - 8.0) < 0.2
    far = old & (born["birth_radius"] > 8.0)
    assert np.std((born["galactic_radius"] - born["birth_radius"])[far]) == pytest.approx(3.6, rel=0.03)
    five = np.abs(age - 5.0) < 0.2
    assert np.abs(born["galactic_height"][five]).mean() == pytest.approx(STANDARD.thickness, rel=0.03)
    rest = born["fe_h"] - STANDARD.fe_h(age, born["birth_radius"])
    assert rest.std() == pytest.approx(STANDARD.fe_h_scatter, rel=0.02)
    same = OTHER.born(1000, 3)["age"]
    assert np.array_equal(same, STANDARD.born(1000, 3)["age"])  # the histories differ in chemistry alone


def test_impossible_histories():
    with pytest.raises(ConfigError, match="alpha_time"):
        ChemicalHistory(alpha_time=0.0)
    with pytest.raises(ConfigError, match="inside_out"):
        ChemicalHistory(inside_out=0.9)


def test_dredge_up_changes_giants_only_and_more_the_heavier():
    dredge = DredgeUp()
    surface = dredge.surface([1.0, 1.0, 2.0, 2.0], 0.0, [4.4, 2.5, 2.5, 4.0], [False, True, True, True])
    assert surface[0] == surface[3] == 0.0
    assert surface[1] == pytest.approx(dredge.floor + dredge.depth)
    assert surface[2] < surface[1] - 0.1
    halfway = dredge.surface([1.0], 0.0, [0.5 * (dredge.begins + dredge.ends)], [True])
    assert halfway[0] == pytest.approx(0.5 * surface[1])


def test_total_metallicity_of_the_solar_mixture():
    assert total_metallicity(-0.4, 0.0) == pytest.approx(-0.4)
    assert total_metallicity(-0.4, 0.3) > -0.25


def test_red_clump_region():
    assert red_clump(np.array([4800.0, 4800.0, 4800.0]), np.array([2.4, 2.9, 1.7]), np.zeros(3)).tolist() == [
        True, False, False
    ]  # fmt: skip
    # the upper edge, 0.0018 (Teff - Teff_ref) + 2.5 with Teff_ref = -382.5 [Fe/H] + 4607 K, at two abundances
    heat, edge, iron = np.array([4800.0, 4600.0]), np.array([2.8474, 2.14315]), np.array([0.0, -0.5])
    assert red_clump(heat, edge - 1e-4, iron).all()
    assert not red_clump(heat, edge + 1e-4, iron).any()
    # and the cuts in J - Ks of 0.65: Z between 1.21 (0.60)^9 + 0.0011 and 2.58 (0.25)^3 + 0.0034
    metals = np.array([0.01328, 0.01340, 0.04360, 0.04380])
    found = red_clump(np.full(4, 4800.0), np.full(4, 2.4), np.zeros(4), np.full(4, 0.65), np.log10(metals / SUN_METALS))
    assert found.tolist() == [False, True, True, False]


# ---------------------------------------------------------------------------------------------- on the MIST isochrones


@pytest.fixture(scope="module")
def grid():
    try:
        return mist()
    except DatasetError as error:
        pytest.skip(f"the MIST grid cannot be had here: {error}")


@pytest.fixture(scope="module")
def stars(grid):
    return simulate(3000, 5)


def test_dredge_up_is_the_published_relation_at_the_masses_of_mist(grid):
    """[C/N] of giants of an age on MIST, put into the relation of Salaris et al. 2015, gives the age back."""
    dredge = DredgeUp()
    for m_h in (-0.5, 0.0, 0.2):
        for age in (1.5, 3.0, 6.0, 9.0):
            mass = grid.isochrone(age, m_h).cut(eep=(540, 560)).initial_mass.mean()
            assert salaris_2015_age(dredge.after(mass, m_h), m_h) == pytest.approx(age, rel=0.12)


def test_stars_lie_on_their_isochrones(grid, stars):
    giants = np.flatnonzero(np.asarray(stars["evolutionary_state"]) == 1)[:12]
    for star in stars[giants]:
        m_h = float(total_metallicity(star["fe_h"], star["alpha_m"]))
        line = grid.isochrone(star["age"].to_value(u.Gyr), m_h).cut(eep=(454, 605))
        place = np.argmin(np.abs(line.logg - star["logg"]))
        assert 10.0 ** line.log_teff[place] == pytest.approx(star["teff"].to_value(u.K), rel=0.01)
        assert line.initial_mass[place] == pytest.approx(star["initial_mass"].to_value(u.Msun), rel=0.01)
        assert line.log_l[place] == pytest.approx(star["log_l"], abs=0.05)


def test_stars_are_consistent(stars):
    mass, radius = stars["mass"].to_value(u.Msun), stars["radius"].to_value(u.Rsun)
    gravity = 4.438 + np.log10(mass) - 2.0 * np.log10(radius)
    assert np.abs(gravity - stars["logg"]).max() < 0.02
    ratio = stars["nu_max"].to_value(u.uHz) / 3090.0 / (mass / radius**2)
    assert np.allclose(ratio, np.sqrt(5777.0 / stars["teff"].to_value(u.K)))
    assert (mass <= stars["initial_mass"].to_value(u.Msun) * 1.001).all()
    assert set(np.unique(stars["evolutionary_state"])) == {0, 1, 2, 3}
    assert stars.meta["simulated"]
    assert len(np.unique(stars["source_id"])) == len(stars)


def test_populations_count_by_the_stars_they_have(grid):
    """The share of young stars among giants against the sum over isochrones, by the mass function and luminosity."""
    history = replace(STANDARD, fe_h_gradient=0.0, fe_h_start=-1e-9, solar_radius=0.0, fe_h_scatter=0.0, alpha_high=0.0,
                      alpha_low=0.0, alpha_slope=0.0, alpha_scatter=0.0)  # fmt: skip
    made = simulate(4000, 6, history=history, stages="giants")
    assert np.abs(np.asarray(made["fe_h"])).max() < 1e-6
    ages = np.linspace(0.15, 12.4, 50)
    weights = []
    for age in ages:
        line = grid.isochrone(age, 0.0).cut(eep=(202, 807))
        mass = np.maximum.accumulate(line.initial_mass)
        number = (mass[:-1] ** -1.3 - mass[1:] ** -1.3) * 10.0 ** line.log_l[1:]
        teff, logg = 10.0 ** line.log_teff[1:], line.logg[1:]
        weights.append(number[(teff > 3700) & (teff < 7000) & (logg > 0.5) & (logg < 3.5)].sum())
    density = np.array(weights) * np.exp(ages / history.star_formation_time)
    expected = density[ages < 4.0].sum() / density.sum()
    # reach in radius favors older stars a little, which have come from farther in; 3000 stars give 0.009
    assert np.mean(made["age"].to_value(u.Gyr) < 4.0) == pytest.approx(expected, abs=0.05)


def test_stages(grid):
    clump = simulate(400, 7, stages="red_clump")
    assert (np.asarray(clump["evolutionary_state"]) == 2).all()
    assert red_clump(clump["teff"].value, np.asarray(clump["logg"]), np.asarray(clump["fe_h"])).all()
    assert (np.asarray(simulate(400, 7, stages="giants")["logg"]) < 3.5).all()
    with pytest.raises(ConfigError, match="stages"):
        simulate(10, 1, stages="dwarfs")
    with pytest.raises(ConfigError, match="at least one"):
        simulate(0, 1)
    with pytest.raises(FitError, match="selection"):
        simulate(10, 1, selection=SurveySelection(teff=(6999.0, 6999.5), reach=0.01), stages="red_clump")


def test_the_color_cut_takes_the_secondary_clump(grid):
    """2014ApJ...790..127B: next to no star of 0.5 to 1.2 Gyr is left, and the rest is a standard candle."""
    try:
        clump = simulate(1500, 8, stages="red_clump")
    except DatasetError as error:
        pytest.skip(f"colors cannot be had here: {error}")
    every = simulate(1500, 8, stages="red_clump", selection=SurveySelection(color_cut=False))
    share = [
        np.mean((part["age"].to_value(u.Gyr) > 0.5) & (part["age"].to_value(u.Gyr) < 1.2)) for part in (every, clump)
    ]
    assert share[0] > 0.08
    assert share[1] < 0.02
    spread = [np.ptp(np.quantile(part["log_l"], [0.16, 0.84])) for part in (every, clump)]
    assert spread[1] < 0.75 * spread[0]


def test_the_history_has_the_abundances_of_keplers_giants(grid):
    """Shares and quantiles in bins of observed age against 2021A&A...645A..85M; benchmarks/fit_chemical_history.py."""
    try:
        real = miglio2021_stars(open_table("kepler_apogee_miglio2021", "ages"))
    except DatasetError as error:
        pytest.skip(f"the real giants cannot be had here: {error}")
    real = real[plain(real, "evolutionary_state") == 1]
    made = simulate(3000, 9, selection=KEPLER, stages="giants")
    assert np.all(np.abs(made["galactic_height"].to_value(u.kpc)) >= 0.1)
    nu_max = made["nu_max"].to_value(u.uHz)
    made = made[(np.asarray(made["evolutionary_state"]) == 1) & (nu_max > 4.0) & (nu_max < 250.0)]
    age = made["age"].to_value(u.Gyr) * np.exp(0.23 * np.random.default_rng(1).normal(size=len(made)))
    real_age = plain(real, "age")
    # about 200 stars a bin: medians scatter by 0.01 and 0.02
    for first, last in ((0.0, 4.0), (4.0, 7.0), (7.0, 10.0), (10.0, 20.0)):
        ours, theirs = (age > first) & (age <= last), (real_age > first) & (real_age <= last)
        for name, near in (("alpha_m", 0.04), ("fe_h", 0.15)):
            gap = np.median(made[name][ours]) - np.median(real[name][theirs])
            assert abs(gap) < near, (name, first, gap)
    rich = np.mean(np.asarray(made["alpha_m"]) > 0.12)
    assert rich == pytest.approx(
        np.mean(np.asarray(real["alpha_m"]) > 0.12), abs=0.08
    )  # 0.36 before the fit, 0.12 real


def test_seed_decides(stars):
    again = simulate(3000, 5)
    assert all(np.array_equal(again[name], stars[name]) for name in stars.colnames)


def test_measurements_scatter_by_their_errors(stars):
    seen = observe(stars, 8)
    for name in MEASURED:
        off, error = (np.asarray(part) for part in (seen[name] - seen[f"true_{name}"], seen[f"{name}_error"]))
        known = np.isfinite(off)
        assert np.std(off[known] / error[known]) == pytest.approx(1.0, abs=0.06)
    nu_max = stars["nu_max"].to_value(u.uHz)
    assert np.array_equal(np.isfinite(seen["nu_max"].value), (nu_max > 4.0) & (nu_max < 250.0))
    assert "nu_max_error" not in stars.colnames
