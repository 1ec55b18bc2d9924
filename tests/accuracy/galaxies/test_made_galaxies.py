"""Guards of the long bars of the maps: one small sky (see benchmarks/accuracy_som.py)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import accuracy_som  # noqa: E402


@pytest.fixture(scope="module")
def numbers():
    return accuracy_som.measure(200, **accuracy_som.QUICK)


def test_the_scatter_of_the_mean_is_what_the_formula_says(numbers):
    # five bins of 200 drawings: the pooled variance is known to 5 % (1 sigma)
    assert numbers["scatter"] / numbers["formula"] == pytest.approx(1.0, abs=0.2)


def test_bins_are_said_rightly_to_meet_the_requirement(numbers):
    assert numbers["judged"] >= 4
    assert numbers["right"] == numbers["judged"]


def test_neyman_gains_what_its_formula_says(numbers):
    assert numbers["neyman"] / numbers["neyman_formula"] == pytest.approx(1.0, abs=0.1)


def test_cells_without_spectra_are_flagged_and_the_others_are_not_biased(numbers):
    assert numbers["flagged"] >= 0.99 * numbers["lost"] > 0
    assert numbers["naive_bias"] > 0.01
    assert numbers["weighted_bias"] < 0.002


def test_a_curved_sheet_keeps_its_neighborhoods(numbers):
    assert numbers["topographic_error"] < 0.15
