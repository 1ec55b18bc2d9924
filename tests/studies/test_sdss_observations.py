"""The sections on selection functions and on quasar epochs of the study sdss-targets."""

import numpy as np
import pytest

from starloom.errors import CatalogError, ConfigError
from starloom.results.record import Results
from starloom.studies import sdss_observations as sections


def value(results, name):
    (found,) = [entry for entry in results.numbers if entry.name == name]
    return found


def test_selection_functions_of_three_cartons():
    results = Results("sdss-targets", "title", "tour", 1)
    sections.add_selection(results, seed=3, stars=60_000, truth=200_000)
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
        sections.add_selection(results, seed=4, stars=3_000, truth=100_000)
        found.append([entry.value for entry in results.numbers])
    assert found[0] == found[1]


def test_too_few_stars_to_judge():
    with pytest.raises(ConfigError, match="no bin to judge"):
        sections.add_selection(Results("sdss-targets", "title", "tour", 1), stars=100, truth=1000)


def test_the_truth_of_a_bin_is_the_mean_chance():
    carton = sections.MockCarton("half", lambda l, b, h, jk: 0.5 + 0 * h, lambda l, b, h, jk: 0.25 + 0 * h)
    _, setting = sections.mock_parent(100, 1, carton)
    truth, counted = sections.true_shares(setting, carton, 20_000, 2)
    assert counted.sum() < 20_000
    assert np.allclose(truth[:, counted > 0], [[0.5], [0.125]])


@pytest.mark.parametrize("kind", ["mock", "real"])
def test_epochs_of_a_quasar(kind):
    results = Results("sdss-targets", "title", "tour", 1)
    if kind == "mock":
        sections.add_epochs(results, sections.mock_epochs(24, 2), simulated=True)
        assert results.simulated
        # the walk of 24 steps of 6 % is seen through a calibration of 5 %
        raw = value(results, "variation at 5100 A, as calibrated by the survey").value
        assert raw > 5.0
        assert value(results, "variation of [O III] 5008").value == pytest.approx(5.0, abs=2.0)
        assert value(results, "scatter of the epochs over their stated errors").value < 2.5
    else:
        sections.add_epochs(results)
        if not results.numbers:
            pytest.skip(results.warnings[0])
        assert not results.simulated
        assert value(results, "epochs of the quasar").value == 78
        assert value(results, "S/N a pixel of the coadd over that of independent epochs").verdict == "pass"
        assert value(results, "S/N grows with the number of epochs to the power").verdict == "pass"
        assert 30 < value(results, "variation at 5100 A, scaled to one [O III]").value < 60
    assert set(results.tables) == {"epochs", "quasar_coadd"}
    assert [figure.name for figure in results.figures] == ["quasar_coadd", "quasar_light", "quasar_growth"]


def test_too_few_epochs():
    with pytest.raises(CatalogError, match="ten epochs"):
        sections.add_epochs(Results("sdss-targets", "title", "tour", 1), sections.mock_epochs(5))


def test_without_the_data_only_a_warning(monkeypatch, tmp_path):
    monkeypatch.setenv("STARLOOM_DATA", "")
    monkeypatch.setenv("STARLOOM_CACHE", str(tmp_path))
    results = Results("sdss-targets", "title", "tour", 1)
    sections.add_epochs(results)
    assert results.numbers == []
    assert "sdss_spectra" in results.warnings[0]
