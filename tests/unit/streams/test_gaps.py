"""Gaps: found where they are, not found where there are none, corrected for what the selection keeps."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.errors import ConfigError
from starloom.streams.field_holes import field_holes, share_seen
from starloom.streams.gaps import _extent, deepest_gap, find_gaps, search
from starloom.streams.linear_density import linear_density

EDGES = np.linspace(-20.0, 30.0, 201)
MIDDLE = 0.5 * (EDGES[1:] + EDGES[:-1])
SMOOTH = 7.0 * np.exp(0.01 * MIDDLE)
EVERYWHERE = np.ones(200)
WIDTHS = (1.0, 15.0)


def drawn(seed, rate=SMOOTH):
    return np.random.default_rng(seed).poisson(rate).astype(float)


def test_made_gaps_are_found_with_their_edges():
    inside = ((MIDDLE > -15.1) & (MIDDLE < -11.4)) | ((MIDDLE > -3.2) & (MIDDLE < 3.9))
    found = search(EDGES, np.where(inside, 0.0, drawn(1)), EVERYWHERE, seed=1, widths=WIDTHS)
    assert [row["kind"] for row in found] == ["gap", "gap"]
    edges = sorted((row["phi1_low"], row["phi1_high"]) for row in found)
    np.testing.assert_allclose(edges, [(-15.0, -11.5), (-3.25, 3.75)], atol=0.6)
    assert all(row["significance"] > 8 and row["ratio"] < 0.05 and row["p_value"] < 0.01 for row in found)


def test_an_overdensity_is_one():
    clump = (MIDDLE > 10.0) & (MIDDLE < 12.0)
    found = search(EDGES, drawn(2, np.where(clump, 3.0, 1.0) * SMOOTH), EVERYWHERE, seed=1, widths=WIDTHS)
    assert [row["kind"] for row in found] == ["overdensity"]
    assert found[0]["phi1_low"] == pytest.approx(10.0, abs=0.6)
    assert found[0]["ratio"] == pytest.approx(3.0, rel=0.3)


def test_smooth_streams_seldom_have_features():
    """At p < 0.05 twelve smooth streams give two or more in 12 % of cases; the search is on the safe side of that."""
    assert sum(bool(search(EDGES, drawn(seed), EVERYWHERE, seed=seed, widths=WIDTHS)) for seed in range(12)) <= 1


def test_what_the_selection_leaves_out_is_no_gap():
    kept = np.where((MIDDLE > 5.0) & (MIDDLE < 9.0), 0.4, 1.0)
    members = drawn(3, SMOOTH * kept)
    assert search(EDGES, members, kept, seed=1, widths=WIDTHS) == []
    uncorrected = search(EDGES, members, EVERYWHERE, seed=1, widths=WIDTHS)
    assert [row["kind"] for row in uncorrected] == ["gap"]


def test_a_fitted_stream_shows_its_gap(fitted, field):
    found = find_gaps(fitted, field, seed=1)
    assert set(found.colnames) >= {"kind", "phi1_low", "phi1_high", "significance", "p_value"}
    assert str(found["phi1_low"].unit) == "deg"
    low, high, ratio, significance = deepest_gap(fitted, field, "stream", (-43.0, -37.0))
    assert -44.0 < low < high < -36.0  # the mock's gap is -41.5 to -38.5 with a tenth of the stars
    assert ratio < 0.6
    assert significance > 2.0


def test_wrong_questions(fitted, field):
    with pytest.raises(ConfigError, match="no component"):
        find_gaps(fitted, field, "background")
    with pytest.raises(ConfigError, match="widths"):
        find_gaps(fitted, field, widths=(3.0, 1.0))
    with pytest.raises(ConfigError, match="not counted"):
        deepest_gap(fitted, field, "stream", (10.0, 20.0))


def test_a_masked_strip_is_no_gap(plain_fitted, field):
    """A strip of the sky without stars, across the densest part of the stream."""
    stars = plain_fitted.prepare(field)
    cut = (stars.phi1 > -54.0) & (stars.phi1 < -50.0)
    masked = field[stars.rows[~cut]]
    assert len(masked) < 0.95 * len(field)
    hole = field_holes(stars.phi1[~cut])
    np.testing.assert_allclose(hole, [[-54.0, -50.0]], atol=0.3)
    assert not any(
        row["kind"] == "gap" and row["phi1_low"].value < -50.5 and row["phi1_high"].value > -53.5
        for row in find_gaps(plain_fitted, masked, seed=1)
    )
    density = linear_density(plain_fitted, masked, bin_width=1.0)
    inside = (density["phi1_low"].value > -54.0) & (density["phi1_high"].value < -50.0)
    assert np.isnan(density["corrected_density"].value[inside]).all()
    assert np.isfinite(density["corrected_density"].value[~inside]).sum() > 10


def test_holes_are_found_and_chance_makes_none():
    rng = np.random.default_rng(4)
    assert all(len(field_holes(rng.uniform(0, 50, n))) == 0 for n in (2, 3, 100, 3000, 20000) for _ in range(20))
    assert len(field_holes(np.zeros(0))) == len(field_holes(np.zeros(1))) == 0
    falling = 50.0 * rng.beta(1.0, 6.0, 5000)  # a field that thins out
    falling = falling[(falling < 3.0) | (falling > 3.5)]
    np.testing.assert_allclose(field_holes(falling)[:1], [[3.0, 3.5]], atol=0.05)
    np.testing.assert_allclose(share_seen(np.arange(5.0), np.array([[0.5, 2.25]])), [0.5, 0.0, 0.75, 1.0])


@pytest.mark.parametrize("seed", range(6))
def test_a_few_members_beyond_a_gap_are_the_end_of_the_stream(seed):
    rng = np.random.default_rng(seed)
    field, chance = rng.uniform(-45, 50, 3000), rng.beta(0.01, 2.0, 3000)
    bulk, few = rng.uniform(-14.8, 30.0, 1600), rng.uniform(-20.0, -19.8, 6)
    low, high = _extent(np.concatenate([bulk, few, field]), np.concatenate([np.ones(1606), chance]), 15.0)
    assert low == pytest.approx(-19.95, abs=0.2)
    assert high == pytest.approx(30.0, abs=0.5)
    low, high = _extent(np.concatenate([bulk, few[:1], field]), np.concatenate([np.ones(1601), chance]), 15.0)
    assert low == pytest.approx(-14.7, abs=0.3), "one star alone is chance"
