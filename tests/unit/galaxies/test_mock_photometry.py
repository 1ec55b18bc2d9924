from __future__ import annotations

import numpy as np
import pytest

from starloom.errors import ConfigError
from starloom.galaxies.mock_photometry import WIDE_SURVEY, MockSurvey, make


def test_errors_are_those_that_were_drawn_and_the_same_seed_gives_the_same_sky():
    table = make(MockSurvey(4000), 1)
    again = make(MockSurvey(4000), 1)
    assert (table["redshift"] == again["redshift"]).all()
    assert not (table["redshift"] == make(MockSurvey(4000), 2)["redshift"]).all()
    exact = make(MockSurvey(4000, {n: type(b)(b.center, b.width, 60.0) for n, b in WIDE_SURVEY.items()}), 1)
    # the same drawings with other errors: what the two are apart is the difference of the errors times a normal
    extra = (table["H_err"] - exact["H_err"]).value
    faint = (extra > 0.01) & (extra < 0.08)
    pull = (table["H"] - exact["H"]).value[faint] / extra[faint]
    assert faint.sum() > 500
    assert np.std(pull) == pytest.approx(1.0, abs=0.1)


def test_colors_tell_redshifts_as_far_as_the_breaks_do():
    table = make(MockSurvey(6000), 3)
    z, old = table["redshift"], table["galaxy_type"] < 0.2
    color = (table["g"] - table["i"]).value
    low, high = (np.nanmedian(color[old & (z > a) & (z < b)]) for a, b in ((0.0, 0.2), (0.5, 0.7)))
    assert high > low + 0.5  # the break at 4000 Angstrom moves through g
    assert np.isnan(table["u"]).mean() > 3 * np.isnan(table["i"]).mean()


def test_clustering_makes_walls():
    calm, walls = (make(MockSurvey(20000, patches=4, clustering=c), 5) for c in (0.0, 0.5))
    spread = []
    for table in (calm, walls):
        one = np.histogram(np.asarray(table["redshift"])[np.asarray(table["patch"]) == 0], np.arange(0.3, 1.2, 0.02))[0]
        spread.append(np.std(np.diff(one)) / np.sqrt(2 * one.mean()))
    assert spread[0] < 1.3
    assert spread[1] > 2.0


def test_surveys_that_cannot_be_made():
    with pytest.raises(ConfigError, match="'K'"):
        MockSurvey(10, selection=("K", 20.0))
    with pytest.raises(ConfigError, match="at least one galaxy"):
        MockSurvey(0)
