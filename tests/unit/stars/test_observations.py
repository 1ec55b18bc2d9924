"""From any table to tokens: names, units, fill values, gaps, contradictions."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, QTable

from starloom import progress
from starloom.catalog.tables import read_table
from starloom.errors import CatalogError, UnitError
from starloom.spectra.xp import g_flux
from starloom.stars.observations import read_tokens, scalar_columns
from starloom.stars.tokens import COLORS, LABELS, MORE_LABELS, Vocabulary

WORDS = Vocabulary([*COLORS, *LABELS, *MORE_LABELS])


def tokens(columns, words=WORDS):
    return read_tokens(read_table(columns), words, None)


def value(found, name, row=0):
    return float(found.values[row, WORDS.number(name) - 1])


def test_names_of_other_surveys_and_units():
    found = tokens({"TEFF": [5800.0], "e_Teff": [60.0], "[Fe/H]": [-0.3], "J_M": [10.0], "H_M": [9.6], "Ks_m": [9.5],
                    "phot_bp_mean_mag": [12.0], "phot_rp_mean_mag": [11.0]})  # fmt: skip
    assert value(found, "teff") == 5800.0
    assert found.errors[0, WORDS.number("teff") - 1] == 60.0
    assert value(found, "fe_h") == pytest.approx(-0.3)
    assert value(found, "j_h") == pytest.approx(0.4, abs=1e-5)
    assert value(found, "bp_rp") == pytest.approx(1.0)
    in_kilokelvin = tokens(QTable({"teff": [5.8, 4.2] * u.kK}))
    assert value(in_kilokelvin, "teff") == pytest.approx(5800.0)


def test_luminosity_from_parallax():
    found = tokens({"parallax": [2.0, -0.5], "parallax_error": [0.1, 0.1], "phot_g_mean_mag": [10.0, 10.0]})
    assert value(found, "g_fakemag") == pytest.approx(200.0)
    assert value(found, "g_fakemag", 1) == pytest.approx(-50.0)
    assert found.errors[0, WORDS.number("g_fakemag") - 1] == pytest.approx(10.0)


def test_a_wrong_unit_is_told():
    with pytest.raises(UnitError, match=r"'teff' has the median 5.4.*give the column its unit"):
        tokens({"teff": [5.8, 5.0]})
    with pytest.raises(UnitError, match="cannot be converted to 'K'"):
        tokens(QTable({"teff": [5800.0] * u.mag}))


def test_missing_values_fill_values_infinities_and_integers():
    column = MaskedColumn([4800, 5000, 5200], mask=[False, True, False])
    found = tokens(QTable({"teff": column, "logg": [np.inf, -np.inf, 2.5], "fe_h": [-999.0, -0.5, np.nan]}))
    known = np.isfinite(found.values[:, WORDS.places(["teff", "logg", "fe_h"])])
    assert known.tolist() == [[True, False, False], [False, False, True], [True, True, False]]
    assert found.reason.tolist() == ["", "", ""]
    empty = tokens({"teff": [5000.0, np.nan], "logg": [2.0, np.nan]})
    assert empty.reason[1] == "no spectrum, color or label that is not missing"


def test_contradictions_are_told():
    with pytest.raises(CatalogError, match=r"'bp_rp' and 'phot_bp_mean_mag - phot_rp_mean_mag' both give bp_rp.*row 1"):
        tokens({"bp_rp": [1.0, 1.5], "phot_bp_mean_mag": [11.0, 11.0], "phot_rp_mean_mag": [10.0, 10.0]})
    with pytest.raises(CatalogError, match="both give teff and disagree in 1 rows, first in row 0"):
        scalar_columns(read_table({"teff": [5000.0], "TEFF": [6000.0]}), "t")
    merged = scalar_columns(read_table({"teff": [5000.0, np.nan], "TEFF": [np.nan, 6000.0]}), "t")
    assert merged["teff"].tolist() == [5000.0, 6000.0]


def test_nothing_known_and_no_rows():
    with pytest.raises(CatalogError, match="holds nothing that this model knows"):
        tokens({"ra": [1.0]})
    with pytest.raises(CatalogError, match="no rows"):
        tokens({"teff": np.zeros(0)})


def test_spectra_of_a_model(model, others):
    plain = model.tokens(others)
    xp = model.vocabulary.group("xp")
    assert np.isfinite(plain.values[:, xp]).all()
    assert (plain.errors[:, xp] > 0).all()
    # the same in other units
    converted = others.copy()
    converted["flux"] = others["flux"].to("erg / (s cm2 nm)")
    np.testing.assert_allclose(model.tokens(converted).values[:, xp], plain.values[:, xp], rtol=2e-5, atol=1e-6)
    # as coefficients, over the way that published ones take
    scale = g_flux(np.asarray(others["phot_g_mean_mag"].value))[:, None]
    values = plain.values[:, xp].astype(float)
    through = {arm: model.reader.through[arm] for arm in ("bp", "rp")}
    size = len(through["bp"])
    published = others["phot_g_mean_mag",].copy()
    for arm, part in (("bp", values[:, :size]), ("rp", values[:, size:])):
        published[f"{arm}_coefficients"] = part @ np.linalg.pinv(through[arm]).T * scale
    np.testing.assert_allclose(model.tokens(published).values[:, xp], values, rtol=1e-3, atol=1e-4)


def test_spectra_that_cannot_be_used(model, others):
    part = others[:5].copy()
    part["phot_g_mean_mag"][1] = np.nan * u.mag
    part["flux"][2, 200:] = np.nan
    only = part["phot_g_mean_mag", "flux"]
    found = model.tokens(only)
    assert found.reason[1] == "a spectrum without phot_g_mean_mag, which it is divided by"
    kinds = model.vocabulary.kinds
    places = [[p for p in model.vocabulary.group("xp") if kinds[p].arm == arm] for arm in ("bp", "rp")]
    arms = [np.isfinite(found.values[2, part]) for part in places]
    assert arms[0].all()
    assert not arms[1].any()
    short = QTable({"phot_g_mean_mag": [12.0], "flux": np.ones((1, 100))})
    with pytest.raises(CatalogError, match="100 values a star; 343"):
        model.tokens(short)
    with pytest.raises(CatalogError, match="another data release"):
        model.tokens({"phot_g_mean_mag": [12.0], "bp_coefficients": np.ones((1, 51))})
    with pytest.raises(UnitError, match="cannot be converted"):
        model.tokens(QTable({"phot_g_mean_mag": [12.0], "flux": np.ones((1, 343)) * u.K}))
    relative = others["phot_g_mean_mag",].copy()
    relative["flux"] = np.ones((len(others), 343))
    with pytest.raises(UnitError, match="multiply relative fluxes back"):
        model.tokens(relative)


def test_a_spectrum_that_is_not_looked_at_is_said(model, others, capsys):
    part = others[:5].copy()
    part["phot_g_mean_mag"][1] = np.nan * u.mag
    part["bp_rp"] = np.full(5, 1.0) * u.mag
    part.remove_columns([name for name in ("phot_bp_mean_mag", "phot_rp_mean_mag") if name in part.colnames])
    with progress.shown():
        found = model.tokens(part)
    assert (found.reason == "").all()
    assert "1 stars have a spectrum that is not looked at: it needs phot_g_mean_mag" in capsys.readouterr().err
