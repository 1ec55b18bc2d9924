"""Matching and epochs do not depend on order or direction."""

import numpy as np
from astropy.table import QTable
from hypothesis import given, settings
from hypothesis import strategies as st

from starloom.catalog.matching import match_sky, propagate_epoch, unit_vectors

SEEDS = st.integers(0, 10_000)


def random_sky(rng: np.random.Generator, number: int) -> QTable:
    dec = np.rad2deg(np.arcsin(rng.uniform(-1, 1, number)))
    return QTable({"ra": rng.uniform(0, 360, number), "dec": dec})


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_order_of_rows_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    left, right = random_sky(rng, 30), random_sky(rng, 40)
    order = rng.permutation(40)
    found = match_sky(left, right, 36_000)
    shuffled = match_sky(left, right[order], 36_000)
    assert shuffled.left.tolist() == found.left.tolist()
    assert order[shuffled.right].tolist() == found.right.tolist()


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_mutual_matches_are_symmetric(seed):
    rng = np.random.default_rng(seed)
    left, right = random_sky(rng, 30), random_sky(rng, 40)
    one, two = match_sky(left, right, 36_000, mutual=True), match_sky(right, left, 36_000, mutual=True)
    pairs = set(zip(one.left.tolist(), one.right.tolist(), strict=True))
    assert pairs == set(zip(two.right.tolist(), two.left.tolist(), strict=True))
    assert len({right for _, right in pairs}) == len(pairs)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0, 359.999),
    st.floats(-90, 90),
    st.floats(-1e4, 1e4),
    st.floats(-1e4, 1e4),
    st.floats(-50, 50),
)
def test_a_star_moves_by_its_proper_motion_wherever_it_is(ra, dec, pmra, pmdec, years):
    moved = unit_vectors(*propagate_epoch(ra, dec, pmra, pmdec, 2000.0, 2000.0 + years))
    start = unit_vectors(ra, dec)
    angle = np.arctan2(np.linalg.norm(np.cross(start, moved)), start @ moved)
    expected = np.arctan(np.hypot(pmra, pmdec) * np.deg2rad(1 / 3.6e6) * abs(years))
    np.testing.assert_allclose(angle, expected, atol=1e-12)
