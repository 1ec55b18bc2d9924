import numpy as np
import pytest

from starloom.errors import ConfigError
from starloom.stellar.extinction import COEFFICIENTS, deredden, extinction_coefficient


def test_dereddening_makes_stars_brighter_by_the_coefficient():
    np.testing.assert_allclose(deredden([20.0, 21.0], "ps1_g", [0.1, 0.0]), [20.0 - 0.3518, 21.0])
    np.testing.assert_allclose(deredden([20.0, np.nan], "ps1_i", 0.2), [20.0 - 0.3942, np.nan])
    assert np.isnan(deredden([20.0], "ps1_i", np.nan)).all()
    assert deredden([], "ps1_i", []).shape == (0,)


def test_coefficients_fall_with_wavelength():
    values = [extinction_coefficient(band) for band in COEFFICIENTS]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize(
    ("unit", "printed"),
    [("bayestar19", (3.518, 2.617, 1.971, 1.549, 1.263)), ("sfd", (3.172, 2.271, 1.682, 1.322, 1.087))],
)
def test_the_printed_tables(unit, printed):
    """2019ApJ...887...93G, table 1, and 2011ApJ...737..103S, table 6, copied from there a second time."""
    assert tuple(extinction_coefficient(f"ps1_{band}", unit) for band in "grizy") == printed


def test_the_near_infrared_follows_the_law_of_the_galactic_plane():
    """A_J : A_H : A_Ks of 2005ApJ...619..931I is 2.50 (0.15) : 1.55 (0.08) : 1."""
    j, h, ks = (extinction_coefficient(f"2mass_{band}") for band in ("j", "h", "ks"))
    assert j / ks == pytest.approx(2.62, abs=0.01)
    assert j / ks == pytest.approx(2.50, abs=0.15)
    assert h / ks == pytest.approx(1.55, abs=0.01)


def test_bad_input_is_refused():
    with pytest.raises(ConfigError, match=r"no extinction coefficient is known for 'gaia_g'; there are: ps1_g"):
        deredden([20.0], "gaia_g", 0.1)
    with pytest.raises(ConfigError, match="shape"):
        deredden([20.0, 21.0], "ps1_g", [0.1])
    with pytest.raises(ConfigError, match="infinite"):
        deredden([20.0], "ps1_g", np.inf)


def test_the_sfd_map_has_coefficients_of_its_own():
    for band in ("ps1_g", "ps1_r", "ps1_i", "ps1_z", "ps1_y"):
        ratio = extinction_coefficient(band, "sfd") / extinction_coefficient(band)
        assert 0.84 < ratio < 0.91, "the laws differ by gray extinction"
    for unit in ("sfd", "bayestar19"):
        # what makes it one unit, so that a map of either needs no factor to become the other
        color = extinction_coefficient("ps1_g", unit) - extinction_coefficient("ps1_r", unit)
        assert color == pytest.approx(0.901, abs=5e-4)
    np.testing.assert_allclose(deredden([20.0], "ps1_g", 0.1, "sfd"), [20.0 - 0.3172])
    with pytest.raises(ConfigError, match="unit of 'ccm'"):
        deredden([20.0], "ps1_g", 0.1, "ccm")
    with pytest.raises(ConfigError, match="2mass_j"):
        extinction_coefficient("2mass_j", "sfd")
