"""The sections on selection functions and on quasar epochs of the study sdss-targets."""

import pytest

from starloom.errors import CatalogError
from starloom.results.record import Results
from starloom.studies import sdss_epochs as section


def value(results, name):
    (found,) = [entry for entry in results.numbers if entry.name == name]
    return found


@pytest.mark.parametrize("kind", ["mock", "real"])
def test_epochs_of_a_quasar(kind):
    results = Results("sdss-targets", "title", "tour", 1)
    if kind == "mock":
        section.add_epochs(results, section.mock_epochs(24, 2), simulated=True)
        assert results.simulated
        # the walk of 24 steps of 6 % is seen through a calibration of 5 %
        raw = value(results, "variation at 5100 A, as calibrated by the survey").value
        assert raw > 5.0
        assert value(results, "variation of [O III] 5008").value == pytest.approx(5.0, abs=2.0)
        assert value(results, "scatter of the epochs over their stated errors").value < 2.5
    else:
        section.add_epochs(results)
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
        section.add_epochs(Results("sdss-targets", "title", "tour", 1), section.mock_epochs(5))


def test_without_the_data_only_a_warning(monkeypatch, tmp_path):
    monkeypatch.setenv("STARLOOM_DATA", "")
    monkeypatch.setenv("STARLOOM_CACHE", str(tmp_path))
    results = Results("sdss-targets", "title", "tour", 1)
    section.add_epochs(results)
    assert results.numbers == []
    assert "sdss_spectra" in results.warnings[0]
