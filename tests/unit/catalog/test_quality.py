"""Quality cuts: their counts, their reasons, and the Gaia ones."""

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

from starloom.catalog.quality import (
    Cut,
    above,
    apply_cuts,
    below,
    corrected_flux_excess,
    finite,
    flux_excess_scatter,
    flux_excess_within,
    parallax_significance_above,
    parallax_significance_below,
    reasons,
    ruwe_below,
)
from starloom.errors import CatalogError, MissingColumnError


def sample() -> QTable:
    return QTable(
        {
            "ruwe": [1.0, 1.4, 2.0, np.nan, 1.1],
            "parallax": [1.0, 1.0, 1.0, 1.0, np.nan] * u.mas,
            "parallax_error": [0.05, 0.5, 0.5, 0.05, 0.1] * u.mas,
        }
    )


def test_counts_alone_and_in_order():
    cuts = [ruwe_below(1.4), parallax_significance_above(5), finite("parallax")]
    kept, report = apply_cuts(sample(), cuts)
    assert kept.tolist() == [True, False, False, False, False]
    assert report["name"].tolist() == ["ruwe < 1.4", "parallax_over_error > 5", "finite parallax"]
    assert report["removed_alone"].tolist() == [3, 3, 1]
    assert report["removed_in_order"].tolist() == [3, 1, 0]
    assert report["kept"].tolist() == [2, 1, 1]
    assert all(report["meaning"])


def test_reasons_name_the_first_cut():
    cuts = [ruwe_below(1.4), parallax_significance_above(5), finite("parallax")]
    expected = ["", "ruwe < 1.4", "ruwe < 1.4", "ruwe < 1.4", "parallax_over_error > 5"]
    assert reasons(sample(), cuts).tolist() == expected
    assert reasons(sample(), cuts[::-1])[-1] == "finite parallax"
    assert reasons(sample(), []).tolist() == [""] * 5


def test_no_cuts_no_rows():
    kept, report = apply_cuts(sample(), [])
    assert kept.all()
    assert len(report) == 0
    assert report.colnames == ["name", "meaning", "removed_alone", "removed_in_order", "kept"]
    kept, report = apply_cuts(sample()[:0], [ruwe_below(), finite("parallax")])
    assert kept.shape == (0,)
    assert report["kept"].tolist() == [0, 0]


def test_what_becomes_of_missing_values():
    table = QTable({"x": [1.0, np.nan, 3.0]})
    assert below("x", 2).keep(table).tolist() == [True, False, False]
    assert below("x", 2, missing=True).keep(table).tolist() == [True, True, False]
    assert above("x", 2).keep(table).tolist() == [False, False, True]
    assert above("x", 2, missing=True).keep(table).tolist() == [False, True, True]
    assert finite("x").keep(QTable({"x": [np.inf, np.nan, 0.0]})).tolist() == [False, False, True]


def test_the_significance_of_a_parallax_is_read_or_computed():
    table = sample()
    assert parallax_significance_below(5).keep(table).tolist() == [False, True, True, False, False]
    table["parallax_over_error"] = [1.0, 9.0, 9.0, 9.0, 9.0]
    assert parallax_significance_below(5).keep(table).tolist() == [True, False, False, False, False]
    zero = QTable({"parallax": [1.0], "parallax_error": [0.0]})
    assert parallax_significance_above(5).keep(zero).tolist() == [False]


def test_cuts_that_cannot_be_made():
    with pytest.raises(MissingColumnError, match=r"the quality cut 'ruwe < 1\.4' cannot be made: .*'ruwe'"):
        apply_cuts(QTable({"x": [1.0]}), [ruwe_below()])
    with pytest.raises(CatalogError, match="gave int64 of shape"):
        apply_cuts(QTable({"x": [1, 0]}), [Cut("bad", "", lambda table: np.asarray(table["x"]))])
    with pytest.raises(CatalogError, match=r"of shape \(1,\); it must give 2 booleans"):
        apply_cuts(QTable({"x": [1, 0]}), [Cut("bad", "", lambda table: np.array([True]))])
    with pytest.raises(CatalogError, match="more than one quality cut has the name finite x"):
        apply_cuts(QTable({"x": [1.0]}), [finite("x"), finite("x")])
    with pytest.raises(CatalogError, match="at least one column"):
        finite()


def test_flux_excess_expectation_is_nearly_continuous_in_color():
    # the published pieces meet at 0.5 and 4.0 to within the scatter of good photometry
    for edge in (0.5, 4.0):
        color = np.array([edge - 1e-9, edge])
        step = np.diff(corrected_flux_excess(color, np.zeros(2)))[0]
        assert abs(step) < 0.006
    assert np.isnan(corrected_flux_excess(np.array([np.nan]), np.array([1.2]))).all()


def test_flux_excess_of_the_published_polynomials():
    # C* = C - f(BP-RP), Riello et al. 2021, table 2, by hand at BP-RP = 0, 1, 5
    excess = corrected_flux_excess(np.array([0.0, 1.0, 5.0]), np.zeros(3))
    np.testing.assert_allclose(excess, [-1.154360, -1.216844, -1.760257], atol=1e-9)
    np.testing.assert_allclose(flux_excess_scatter(np.array([10.0])), 0.0059898 + 8.817481e-12 * 10**7.618399)


def test_flux_excess_cut():
    color, magnitude = np.array([1.0, 1.0, 1.0, np.nan]), np.full(4, 15.0)
    sigma = flux_excess_scatter(magnitude)
    factor = 1.216844 + sigma * [0.0, 2.9, -3.1, 0.0]
    table = QTable({"bp_rp": color, "phot_bp_rp_excess_factor": factor, "phot_g_mean_mag": magnitude})
    assert flux_excess_within(3).keep(table).tolist() == [True, True, False, False]
