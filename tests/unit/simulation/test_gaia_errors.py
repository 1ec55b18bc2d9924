from __future__ import annotations

import numpy as np
import pytest

from starloom.errors import ConfigError
from starloom.simulation.gaia_errors import MEDIANS, RELEASES, release, rounded_parallax_error

MAGNITUDES = np.array([10.0, 13.0, 15.0, 18.0, 20.0])


def test_the_formula_is_pygaias():
    """PyGaia 3.2 for DR3, written a second time (mas), its floor below G = 13 included."""
    z = 10 ** (0.4 * (np.maximum(MAGNITUDES, 13.0) - 15.0))
    expected = np.sqrt(40 + 800 * z + 30 * z**2) / 1000
    assert release("dr3").parallax_error(MAGNITUDES) == pytest.approx(expected, rel=1e-14)
    ra, dec = release("dr3").proper_motion_errors(MAGNITUDES)
    assert ra == pytest.approx(1.03 * expected, rel=1e-14)
    assert dec == pytest.approx(0.89 * expected, rel=1e-14)


PYGAIA_VELOCITIES = (
    (13, 3500, 4.6, 3.4294), (13, 4500, 4.6, 2.1628), (13, 5500, 4.4, 2.9760), (13, 6500, 4.2, 3.9767),
    (11.5, 7500, 4.2, 3.8016), (11.5, 9000, 4.1, 8.1735), (10.5, 12000, 4.0, 5.9462), (13, 3800, 0.5, 2.3673),
    (13, 4200, 1.5, 2.1533), (13, 4800, 2.5, 2.3273), (13, 4900, 3.2, 2.6952), (13, 4700, 3.7, 2.6952),
    (13, 5500, 3.7, 2.9760), (13, 6300, 3.8, 3.9767),
)  # fmt: skip
"""(G_RVS, Teff, log g, km/s): a star of each kind, subgiants on either side of 5000 K, by PyGaia 3.2.2 for DR3."""


def test_errors_of_velocities_are_pygaias():
    g_rvs, teff, logg, expected = np.array(PYGAIA_VELOCITIES).T
    assert release("dr3").velocity_error(g_rvs, teff, logg) == pytest.approx(expected, abs=6e-5)


def test_the_three_descriptions_of_dr3_agree_as_far_as_they_should():
    """Formula, medians of the release and round numbers are of one survey: within 45 % between G = 15 and 20."""
    g = np.linspace(15.0, 20.0, 40)
    formula = RELEASES["dr3"].parallax_error(g)
    for other in (MEDIANS["dr3"].parallax(g), rounded_parallax_error(g)):
        assert np.abs(np.log(other / formula)).max() < np.log(1.45)


def test_later_releases_measure_better():
    errors = [RELEASES[name].parallax_error(MAGNITUDES) for name in ("dr2", "dr3", "dr4", "dr5")]
    assert (np.diff(errors, axis=0) < 0).all()
    g = np.linspace(13.5, 21.0, 30)
    for name in ("parallax", "proper_motion"):
        assert (getattr(MEDIANS["dr3"], name)(g) < getattr(MEDIANS["dr2"], name)(g)).all()


def test_medians_stay_at_their_ends_and_missing_stays_missing():
    assert MEDIANS["dr3"].parallax(np.array([5.0, 25.0])) == pytest.approx([0.02, 1.3])
    assert rounded_parallax_error([5.0, 25.0]) == pytest.approx([0.015, 1.3])
    for found in (MEDIANS["dr3"].parallax, rounded_parallax_error, RELEASES["dr3"].parallax_error):
        assert np.isnan(found(np.array([np.nan]))).all()


def test_an_unknown_release_is_named():
    with pytest.raises(ConfigError, match="no Gaia release 'dr9'"):
        release("dr9")
