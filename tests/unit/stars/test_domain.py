from __future__ import annotations

import numpy as np
import pytest

from starloom.stars import strangers
from starloom.stars.domain import Domain
from starloom.stars.tokens import COLORS, Vocabulary, coefficients


@pytest.fixture(scope="module")
def domain():
    rng = np.random.default_rng(1)
    words = Vocabulary([*coefficients((3, 2)), *COLORS])
    mix = rng.normal(size=(8, 8))

    def draw(count):
        return rng.normal(size=(count, 8)) @ mix

    return Domain.fit(words, draw(2000), draw(900), seed=1, components=1), mix, draw


def test_the_density_of_a_subset_is_the_marginal_one(domain):
    from scipy.stats import multivariate_normal

    fitted, _, draw = domain
    stars = draw(50)
    shown = np.array([True, False, True, True, False, False, True, False])
    mean, covariance = fitted.means[0][shown], fitted.covariances[0][np.ix_(shown, shown)]
    expected = multivariate_normal(mean, covariance).logpdf(stars[:, shown])
    np.testing.assert_allclose(fitted.density(stars, shown), expected, rtol=1e-9)


def test_ordinary_stars_are_ordinary_and_others_are_not(domain):
    fitted, _, draw = domain
    share = fitted.share(draw(3000))
    assert 0.03 < np.mean(share < 0.05) < 0.07  # 150 expected, with the reference's own noise: 5 sigma
    assert (fitted.share(draw(20) + 60.0) < 0.005).all()
    gaps = draw(200)
    gaps[::2, :4] = np.nan
    gaps[5] = np.nan
    share = fitted.share(gaps)
    assert np.isnan(share[5])
    assert np.isfinite(np.delete(share, 5)).all()


def test_too_few_stars_give_no_domain():
    words = Vocabulary([*coefficients((3, 2)), *COLORS])
    assert Domain.fit(words, np.zeros((50, 8)), np.zeros((50, 8)), seed=1) is None


def test_strangers_are_flagged_on_made_stars(model, others):
    rng = np.random.default_rng(3)
    ordinary = model.domain_share(model.tokens(others["phot_g_mean_mag", "flux", "flux_error"]))
    for shapes in (strangers.white_dwarfs(100, rng), strangers.quasars(100, rng)):
        found = model.domain_share(model.tokens(strangers.table_of(shapes, others, rng)))
        assert strangers.area_under_roc(ordinary, found) > 0.9
    blends = strangers.blends(others, 50, rng)
    assert np.isfinite(model.domain_share(model.tokens(blends))).all()


def test_area_under_roc_counts_pairs():
    rng = np.random.default_rng(2)
    first, second = rng.random(40), rng.random(30)
    pairs = np.mean(second[None, :] < first[:, None])
    assert strangers.area_under_roc(first, second) == pytest.approx(pairs)
