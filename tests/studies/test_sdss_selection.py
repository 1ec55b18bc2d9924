"""The sections on selection functions and on quasar epochs of the study sdss-targets."""

import numpy as np
import pytest

from starloom.errors import ConfigError
from starloom.results.record import Results
from starloom.studies import sdss_selection as section


def value(results, name):
    (found,) = [entry for entry in results.numbers if entry.name == name]
    return found


def test_selection_functions_of_three_cartons():
    results = Results("sdss-targets", "title", "tour", 1)
    section.add_selection(results, seed=3, stars=60_000, truth=200_000)
    held = value(results, "68 % intervals of selection functions that hold the truth")
    assert 0.58 < held.value < 0.8  # one catalog scatters by 4 %; the bar is held over many in tests/accuracy
    assert held.bar.value == (0.64, 0.72)
    errors = [entry.value for entry in results.numbers if "over that of bins alone" in entry.name]
    assert len(errors) == 6
    assert max(errors) < 0.8
    assert results.simulated
    assert [figure.name for figure in results.figures] == ["selection_by_magnitude", "selection_coverage"]
    table = results.tables["selection_bins"]
    assert table["n_parent"].sum() <= 60_000
    assert (np.asarray(table["n_observed"]) <= np.asarray(table["n_targeted"])).all()


def test_the_same_seed_gives_the_same_numbers():
    found = []
    for _ in range(2):
        results = Results("sdss-targets", "title", "tour", 1)
        section.add_selection(results, seed=4, stars=3_000, truth=100_000)
        found.append([entry.value for entry in results.numbers])
    assert found[0] == found[1]


def test_too_few_stars_to_judge():
    with pytest.raises(ConfigError, match="no bin to judge"):
        section.add_selection(Results("sdss-targets", "title", "tour", 1), stars=100, truth=1000)


def test_the_truth_of_a_bin_is_the_mean_chance():
    carton = section.MockCarton("half", lambda l, b, h, jk: 0.5 + 0 * h, lambda l, b, h, jk: 0.25 + 0 * h)
    _, setting = section.mock_parent(100, 1, carton)
    truth, counted = section.true_shares(setting, carton, 20_000, 2)
    assert counted.sum() < 20_000
    assert np.allclose(truth[:, counted > 0], [[0.5], [0.125]])
