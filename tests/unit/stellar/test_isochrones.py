from dataclasses import replace

import numpy as np
import pytest

from starloom.errors import ConfigError
from starloom.stellar.isochrones import Isochrone, Phase


@pytest.fixture
def isochrone():
    mass = np.array([0.2, 0.5, 0.8, 0.9, 0.9])
    g = np.array([12.0, 8.0, 5.0, 5.0, 2.0])
    return Isochrone(
        age=12.0,
        fe_h=-1.5,
        eep=np.array([250.0, 300.0, 400.0, 454.0, 500.0]),
        initial_mass=mass,
        star_mass=mass,
        log_teff=np.log10([4000.0, 5000.0, 6200.0, 6000.0, 5000.0]),
        logg=np.array([5.0, 4.7, 4.4, 4.0, 2.5]),
        log_l=np.array([-2.0, -1.0, 0.0, 0.5, 1.5]),
        radius=np.array([0.2, 0.5, 0.9, 1.6, 8.0]),
        phase=np.array([0, 0, 0, 2, 2]),
        bands={"ps1_g": g, "ps1_i": np.array([9.0, 7.0, 5.0, 5.0, 1.0])},
        source="made",
    )


def test_magnitudes_in_the_order_asked_for(isochrone):
    magnitudes = isochrone.magnitudes(["ps1_i", "ps1_g"])
    assert magnitudes.shape == (5, 2)
    assert magnitudes[0].tolist() == [9.0, 12.0]
    with pytest.raises(ConfigError, match=r"no magnitudes for \['gaia_g'\]; it has: ps1_g, ps1_i"):
        isochrone.magnitudes(["gaia_g"])
    with pytest.raises(ConfigError, match="as a list, not 'ps1_g'"):
        isochrone.magnitudes("ps1_g")


def test_cuts(isochrone):
    assert isochrone.cut(eep=(300, 454)).eep.tolist() == [300, 400, 454]
    assert len(isochrone.cut(phase=[Phase.GIANT_BRANCH])) == 2
    assert len(isochrone.cut(initial_mass=(0.5, 0.8))) == 2
    gap = replace(isochrone, bands={"x": np.array([np.nan, 1, 2, np.nan, 3])})
    assert gap.without_photometry() == 2
    assert gap.cut(finite=True).bands["x"].tolist() == [1, 2, 3]
    with pytest.raises(ConfigError, match="leaves no point"):
        isochrone.cut(eep=(700, 800))
    with pytest.raises(ConfigError, match="has no EEPs"):
        replace(isochrone, eep=np.full(5, np.nan)).cut(eep=(1, 2))


def test_arc_length_goes_from_0_to_1_in_proportion(isochrone):
    gamma = isochrone.arc_length(["ps1_g", "ps1_i"])
    steps = np.hypot([4.0, 3.0, 0.0, 3.0], [2.0, 2.0, 0.0, 4.0])
    np.testing.assert_allclose(gamma, np.concatenate([[0], np.cumsum(steps)]) / steps.sum())
    half = isochrone.at_arc_length([0.0, gamma[1] / 2, 1.0], ["ps1_g", "ps1_i"])
    np.testing.assert_allclose(half.bands["ps1_g"], [12.0, 10.0, 2.0])
    with pytest.raises(ConfigError, match="needs all magnitudes"):
        replace(isochrone, bands={"x": np.array([1, np.nan, 3, 4, 5])}).arc_length(["x"])
    with pytest.raises(ConfigError, match="single point"):
        replace(isochrone, bands={"x": np.ones(5)}).arc_length(["x"])


def test_interpolation_in_mass_and_eep(isochrone):
    middle = isochrone.at_initial_mass(0.65)
    assert middle.bands["ps1_g"][0] == pytest.approx(6.5)
    assert middle.radius[0] == pytest.approx(np.sqrt(0.5 * 0.9))
    assert middle.eep[0] == pytest.approx(350)
    assert isochrone.at_initial_mass([0.2, 0.9]).bands["ps1_g"].tolist() == [12.0, 2.0]  # the last of equal masses
    assert isochrone.at_eep(350.0).initial_mass[0] == pytest.approx(0.65)
    assert isochrone.at_eep(477.5).phase.tolist() == [2]
    for outside in (0.1, 0.95, np.nan):
        with pytest.raises(ConfigError, match=r"inside 0\.2 to 0\.9"):
            isochrone.at_initial_mass(outside)
    with pytest.raises(ConfigError, match="does not grow"):
        replace(isochrone, eep=isochrone.eep[::-1]).at_eep(300)


def test_a_missing_neighbor_does_not_spoil_a_native_point(isochrone):
    gap = replace(isochrone, bands={"x": np.array([1.0, np.nan, 3.0, 4.0, 5.0])})
    assert gap.at_eep([250.0, 400.0]).bands["x"].tolist() == [1.0, 3.0]
    assert np.isnan(gap.at_eep(275.0).bands["x"]).all()


def test_one_point_is_an_isochrone(isochrone):
    one = isochrone.cut(eep=(300, 300))
    assert one.at_eep(300.0).initial_mass.tolist() == [0.5]
    assert len(one.to_table()) == 1


def test_asteroseismology_of_the_sun(isochrone):
    sun = replace(isochrone, star_mass=np.ones(5), radius=np.ones(5), log_teff=np.full(5, np.log10(5777.0)))
    delta_nu, nu_max = sun.asteroseismology()
    np.testing.assert_allclose(delta_nu, 135.1)
    np.testing.assert_allclose(nu_max, 3090.0)
    bigger = replace(sun, radius=np.full(5, 4.0))
    np.testing.assert_allclose(bigger.asteroseismology()[0], 135.1 / 8)
    np.testing.assert_allclose(bigger.asteroseismology()[1], 3090.0 / 16)


def test_table_has_units_and_provenance(isochrone):
    table = isochrone.to_table()
    assert str(table["initial_mass"].unit) == "solMass"
    assert str(table["ps1_g"].unit) == "mag"
    assert table.meta == {"age_gyr": 12.0, "fe_h": -1.5, "a_v": 0.0, "source": "made"}


@pytest.mark.parametrize("columns", [{"eep": np.array([])}, {"logg": np.ones(4)}, {"bands": {"x": np.ones((5, 2))}}])
def test_columns_that_do_not_fit_are_refused(isochrone, columns):
    with pytest.raises(ConfigError, match="of one length"):
        replace(isochrone, **columns)
