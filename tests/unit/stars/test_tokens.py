from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starloom.errors import CatalogError, ConfigError
from starloom.stars.tokens import COLORS, LABELS, Kind, Vocabulary, coefficients


def words(bend=3.0):
    return Vocabulary([Kind("teff", "K", center=4750.0, scale=500.0), Kind("logg", center=2.5, scale=1.2)], bend)


@given(st.lists(st.floats(-1e5, 1e5), min_size=2, max_size=2))
def test_values_come_back(values):
    for bend in (3.0, np.inf):
        vocabulary = words(bend)
        np.testing.assert_allclose(vocabulary.restore(vocabulary.standardize([values])), [values], rtol=1e-9, atol=1e-6)


def test_tails_are_tamed_and_errors_follow():
    vocabulary = words()
    z = vocabulary.standardize([[30000.0, 2.5]])
    assert 8 < z[0, 0] < 12.5
    value, error = np.array([[6000.0, 3.0]]), np.array([[5.0, 0.01]])
    shifted = vocabulary.standardize(value + error) - vocabulary.standardize(value - error)
    np.testing.assert_allclose(vocabulary.standardize_errors(value, error), shifted / 2, rtol=1e-4)
    mean = vocabulary.standardize(value)
    back = vocabulary.restore_errors(mean, vocabulary.standardize_errors(value, error))
    np.testing.assert_allclose(back, error, rtol=1e-4)


def test_missing_stays_missing():
    z = words().standardize([[np.nan, np.inf]])
    assert np.isnan(z).all()
    assert words().standardize_errors([[5000.0, np.nan]], [[np.nan, 0.1]]).tolist() == [[0.0, 0.0]]


def test_the_number_of_coefficients_is_the_release_s():
    assert [kind.name for kind in coefficients((51, 55))][50:52] == ["bp_50", "rp_0"]
    assert coefficients((2, 1))[1].order == 1
    assert coefficients((2, 1))[2].arm == "rp"


def test_unknown_and_double_kinds():
    vocabulary = Vocabulary([*coefficients(), *COLORS, *LABELS])
    with pytest.raises(ConfigError, match="did you mean 'teff'"):
        vocabulary.number("t_eff")
    with pytest.raises(ConfigError, match="twice here: teff"):
        Vocabulary([Kind("teff"), Kind("teff")])
    with pytest.raises(ConfigError, match="not positive"):
        Vocabulary([Kind("teff", scale=0.0)])


def test_scales_need_values_that_vary():
    vocabulary = Vocabulary([Kind("teff")])
    scaled = vocabulary.scaled(np.linspace(4000, 6000, 201)[:, None])
    assert scaled["teff"].center == pytest.approx(5000.0)
    assert scaled["teff"].scale == pytest.approx(741.3)
    with pytest.raises(CatalogError, match="needs at least 10"):
        vocabulary.scaled(np.full((20, 1), np.nan))
    with pytest.raises(CatalogError, match="do not vary"):
        vocabulary.scaled(np.ones((20, 1)))


def test_json_brings_it_back():
    vocabulary = Vocabulary([*coefficients((2, 2)), *COLORS, *LABELS])
    assert Vocabulary.from_json(vocabulary.as_json()).kinds == vocabulary.kinds
