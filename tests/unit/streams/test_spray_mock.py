"""The realistic mock: its truth, its oracle, its windows."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.errors import ConfigError
from starloom.streams import spray_mock
from starloom.studies.stream_mock_models import ridge

LINE = ridge("made")


@pytest.fixture(scope="module")
def made():
    return spray_mock.make(LINE.mass, LINE.magnitudes, 7)


def test_the_oracle_is_calibrated(made):
    """Sum of its probabilities near the true number: the scatter of that sum is under 10; false alarm below 1 %."""
    assert made.true.sum() == spray_mock.STREAM
    assert made.oracle.sum() == pytest.approx(spray_mock.STREAM, abs=25)
    sure = made.oracle > 0.9
    assert made.true[sure].mean() > 0.85
    assert made.oracle[made.true].mean() > 10 * made.oracle[~made.true].mean()


def test_every_star_is_inside_the_windows(made):
    table = made.table
    for name, window in (("phi1", spray_mock.PHI1), ("phi2", spray_mock.PHI2), ("parallax", spray_mock.PARALLAX),
                         ("pm_phi1_cosphi2", spray_mock.PM), ("g_mag", spray_mock.MAGNITUDE)):  # fmt: skip
        values = table[name].value
        assert ((values >= window[0]) & (values <= window[1])).all(), name


def test_parallax_errors_are_scaled_and_nothing_else_of_them(made):
    sharp = spray_mock.make(LINE.mass, LINE.magnitudes, 7, parallax_errors=0.05)
    assert np.median(sharp.table["parallax_error"].value) == pytest.approx(
        0.05 * np.median(made.table["parallax_error"].value), rel=0.02
    )
    assert sharp.oracle[sharp.true].mean() > made.oracle[made.true].mean()


def test_the_same_seed_gives_the_same_stars(made):
    again = spray_mock.make(LINE.mass, LINE.magnitudes, 7)
    np.testing.assert_array_equal(again.table["parallax"].value, made.table["parallax"].value)


def test_what_is_no_isochrone_is_refused():
    with pytest.raises(ConfigError, match="mass grows"):
        spray_mock.make(LINE.mass[::-1], LINE.magnitudes, 1)
    with pytest.raises(ConfigError, match="positive factor"):
        spray_mock.make(LINE.mass, LINE.magnitudes, 1, parallax_errors=0.0)
