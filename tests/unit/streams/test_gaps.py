"""Gaps: found where they are, not found where there are none, corrected for what the selection keeps."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.errors import ConfigError
from starloom.streams.gaps import deepest_gap, find_gaps, search

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
