"""The model of the seismic ages on a few hundred made stars: recovery, flags, files, resumed training, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.table import QTable

from starloom.catalog.tables import read_table, write_table
from starloom.errors import CatalogError, FitError, MissingColumnError, ModelFileError
from starloom.simulation.power_spectra import make_power
from starloom.simulation.stellar_spectra import element_abundances, make_spectra, pristine
from starloom.stars import seismic_catalog as catalog
from starloom.stars import seismic_diagnostics as diagnostics
from starloom.stars import seismic_power as power
from starloom.stars import seismic_spectra as spectra
from starloom.stars.seismic_ages import SeismicAges
from starloom.stars.seismic_basis import SpectralBasis
from starloom.stars.seismic_network import NetworkSettings
from starloom.stars.seismic_tables import power_of, spectra_of, xp_spectra
from starloom.stars.seismic_training import train_on_table

COUNT, TRAINED = 380, 280
SETTINGS = NetworkSettings(steps=400)


def stars(count, seed):
    """Giants along a simple branch: mass and place on it drawn, everything else follows."""
    rng = np.random.default_rng(seed)
    mass, logg = rng.uniform(0.9, 1.9, count), rng.uniform(1.9, 3.1, count)
    iron, alpha = rng.normal(-0.1, 0.2, count), rng.uniform(0.0, 0.25, count)
    teff = 4780 + 450 * (logg - 2.5) - 280 * iron + 800 * np.log10(mass / 1.2)
    radius = np.sqrt(mass / 10 ** (logg - 4.438))
    table = QTable({"source_id": np.arange(count, dtype=np.int64)})
    table["teff"], table["teff_error"] = teff * u.K, np.full(count, 15.0) * u.K
    table["fe_h"], table["fe_h_error"] = iron, np.full(count, 0.02)
    table["logg"], table["alpha_m"] = logg, alpha
    table["nu_max"] = 3090 * mass / radius**2 / np.sqrt(teff / 5777) * u.uHz
    table["delta_nu"] = 135.1 * np.sqrt(mass / radius**3) * u.uHz
    table["age"], table["age_error"] = 9.5 * mass**-3.0 * u.Gyr, 0.95 * mass**-3.0 * u.Gyr
    table.meta["mass"] = mass
    return table


@pytest.fixture(scope="module")
def made():
    table = stars(COUNT, 3)
    mass, c_n = table.meta["mass"], -0.6 * (table.meta["mass"] - 1.0)
    labels = (table["teff"].value, table["logg"], table["fe_h"], table["alpha_m"], c_n)
    raw = make_spectra(spectra.GRID.wavelength, *labels, seed=1, chips=spectra.CHIPS)
    elements = element_abundances(*(part[:60] for part in labels[2:]), scatter=0.0, seed=1)
    clean = pristine(spectra.GRID.wavelength, labels[0][:60], labels[1][:60], elements)
    pixels = spectra.find_continuum(clean[:, spectra.KEPT])
    ready = spectra.normalize(raw.flux, raw.error, raw.mask, continuum=pixels)
    frequency = np.arange(power.LOWEST - power.STEP, power.HIGHEST, 0.03)
    modes = make_power(
        table["nu_max"].value, table["delta_nu"].value, mass, np.zeros(COUNT, bool), seed=2, frequency=frequency
    )
    height = np.array([power.rebin(frequency, row) for row in modes.power])
    return table, ready, height, pixels, raw, (frequency, modes.power)


@pytest.fixture(scope="module")
def model(made):
    table, ready, height, *_ = made
    rows = np.arange(TRAINED)
    found = SeismicAges.fit_latents(
        ready.flux[rows], ready.error[rows], height[rows], seed=4, size=24, settings=SETTINGS
    )
    latents = found.encode(ready.flux[rows], ready.error[rows])
    found.fit_seismic(latents, table["nu_max"].value[rows], table["delta_nu"].value[rows], trees=40)
    found.fit_ages(latents, table[rows], trees=40)
    return found


def test_seismology_and_ages_are_read_off_new_spectra(made, model):
    table, ready, *_ = made
    new = np.arange(TRAINED, COUNT)
    answers = model.predict(
        ready.rows(new), table["source_id", "teff", "teff_error", "fe_h", "fe_h_error", "logg"][new]
    )
    truth = table[new]
    # a mean guess would scatter by 90 % in nu_max and 60 % in age; 120 stars, fixed seeds
    assert diagnostics.ratio_score(answers["nu_max"].value, truth["nu_max"].value).scatter < 0.2
    assert diagnostics.ratio_score(answers["age"].value, truth["age"].value).scatter < 0.35
    assert (answers["age_low"] <= answers["age"]).all()
    assert (answers["age"] <= answers["age_high"]).all()
    assert answers["age"].unit == u.Gyr
    assert set(np.asarray(answers["reason"])) == {""}
    assert answers["source_id"].tolist() == truth["source_id"].tolist()


def test_latents_know_seismology_and_little_of_alpha(made, model):
    table, ready, *_ = made
    latents = model.encode(ready.flux, ready.error).mean[:, model.used]
    alpha, new = np.asarray(table["alpha_m"]), slice(TRAINED, None)
    first = slice(0, TRAINED)
    assert diagnostics.explained(latents[first], np.log(table["nu_max"].value[first]), latents[new],
                                 np.log(table["nu_max"].value[new])) > 0.8  # fmt: skip
    # here [alpha/M] has nothing to do with mass: what the latents know of it has leaked
    assert diagnostics.explained(latents[first], alpha[first], latents[new], alpha[new]) < 0.2
    coefficients = model.basis.project(ready.flux, ready.error)[0]
    assert diagnostics.explained(coefficients[first], alpha[first], coefficients[new], alpha[new]) > 0.6


def test_the_decoder_of_spacings_still_answers_in_bins(made, tmp_path):
    _, ready, height, *_ = made
    few = slice(0, 80)
    found = SeismicAges.fit_latents(
        ready.flux[few], ready.error[few], height[few], seed=4, size=8,
        settings=NetworkSettings(steps=30, pressure=2000.0), spacing=True,
    )  # fmt: skip
    assert found.network.out.out_features == power.BINS + power.LAST_LAG - power.FIRST_LAG
    latents = found.encode(ready.flux[few], ready.error[few])
    assert found.decode(latents).shape == (80, power.BINS)
    found.save(tmp_path / "model")
    assert SeismicAges.load(tmp_path / "model").decode(latents) == pytest.approx(found.decode(latents), abs=1e-5)


def test_a_missing_chip_and_bad_pixels_change_little(made, model):
    _, ready, *_ = made
    flux, error = ready.flux[TRAINED:].copy(), ready.error[TRAINED:].copy()
    whole = model.encode(flux, error)
    lost = error.copy()
    lost[:, 5523:] = np.inf  # the red chip
    flux[:, 5523:] = 1.0
    part = model.encode(flux, lost)
    used = model.used
    assert np.median(np.abs(part.mean - whole.mean)[:, used]) < 0.3
    nothing = model.encode(flux[:1], np.full_like(error[:1], np.inf))
    assert np.isnan(nothing.misfit[0])


def test_flags_and_reasons(made, model):
    table, ready, *_ = made
    few = table["teff", "fe_h", "logg"][:6].copy()
    few["STARFLAG"] = np.array([0, 0, 0, 1, 0, 0])
    few["fe_h"][1] = np.nan
    few["teff"][4] = 9000 * u.K
    chosen = ready.rows(np.arange(6))
    chosen.flux[2, ::7] = 0.2  # damaged
    chosen.error[5] = np.inf
    chosen.reasons[5] = "no pixel is measured"
    answers = model.predict(chosen, few)
    bits = np.asarray(answers["quality"])

    def raised(name):
        return ((bits & catalog.flag(name)) != 0).tolist()

    assert raised("no_labels") == [False, True, False, False, False, False]
    assert raised("unlike_training")[:3] == [False, False, True]
    assert raised("survey_flag") == [False, False, False, True, False, False]
    assert raised("outside_labels")[4]
    assert raised("no_spectrum") == [False] * 5 + [True]
    assert np.isfinite(np.asarray(answers["age"].value)).tolist() == [True, False, True, True, True, False]
    assert np.isfinite(answers["nu_max"].value[1])
    assert answers["reason"][5] == "no pixel is measured"
    assert "Teff" in answers["reason"][1]
    assert answers.meta["quality_bits"]["low_signal"].startswith("1")


def test_a_shifted_spectrum_is_a_stranger(made, model):
    table, ready, *_ = made
    shifted = ready.rows(np.arange(20))
    shifted.flux[:] = np.roll(shifted.flux, 12, axis=1)
    bits = np.asarray(model.predict(shifted, table["teff", "fe_h"][:20])["quality"])
    assert ((bits & catalog.flag("unlike_training")) != 0).mean() > 0.9


def test_a_saved_model_answers_alike(made, model, tmp_path):
    _, ready, *_ = made
    model.save(tmp_path / "model")
    again = SeismicAges.load(tmp_path / "model")
    before, after = (m.predict(ready.rows(np.arange(5)), made[0]["teff", "fe_h"][:5]) for m in (model, again))
    for name in ("age", "nu_max", "quality"):
        assert np.array_equal(np.asarray(before[name]), np.asarray(after[name]))
    (tmp_path / "model" / "model.json").write_text('{"kind": "other"}')
    with pytest.raises(ModelFileError):
        SeismicAges.load(tmp_path / "model")


def test_a_training_that_was_interrupted_goes_on_to_the_same_end(made, tmp_path, monkeypatch):
    from starloom.neural import training

    _, ready, height, *_ = made
    rows, settings = slice(0, 120), NetworkSettings(steps=30)

    def fit(checkpoint):
        return SeismicAges.fit_latents(
            ready.flux[rows], ready.error[rows], height[rows], seed=4, size=12, settings=settings, checkpoint=checkpoint
        )

    def latents(found):
        from starloom.stars.seismic_network import encode

        return encode(found.network, found.basis.project(ready.flux[:9], ready.error[:9])[0])[0]

    monkeypatch.setattr("starloom.stars.seismic_ages.active", lambda means: np.ones(means.shape[1], dtype=bool))
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    whole = fit(None)
    keep, calls = training._keep, []

    def interrupted(*arguments):
        keep(*arguments)
        calls.append(1)
        if len(calls) == 10:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "_keep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "training.safetensors")
    monkeypatch.setattr(training, "_keep", keep)
    again = fit(tmp_path / "training.safetensors")
    assert np.array_equal(latents(whole), latents(again))


def test_bad_input_to_the_fits(made, model):
    table, ready, height, *_ = made
    with pytest.raises(FitError, match="too few"):
        SeismicAges.fit_latents(ready.flux[:10], ready.error[:10], height[:10], seed=1)
    with pytest.raises(FitError, match="do not differ"):
        SpectralBasis.fit(np.ones((80, 50)), np.full((80, 50), 0.01), size=5, seed=1)
    with pytest.raises(FitError, match="no bin"):
        SeismicAges.fit_latents(ready.flux[:60], ready.error[:60], np.full((60, 5), np.nan), seed=1, size=5)
    latents = model.encode(ready.flux[:60], ready.error[:60])
    impossible = table[:60].copy()
    impossible["age"] = -3.0 * u.Gyr
    with pytest.raises(FitError, match="50 are needed"):
        model.fit_ages(latents, impossible)
    with pytest.raises(FitError, match="50 are needed"):
        model.fit_seismic(latents, np.zeros(60), np.ones(60))
    with pytest.raises(CatalogError, match="rows"):
        model.predict(ready.rows(np.arange(3)), table["teff", "fe_h"][:4])
    with pytest.raises(CatalogError, match="no rows"):
        model.predict(ready.rows(np.arange(0)), table["teff", "fe_h"][:0])
    with pytest.raises(MissingColumnError):
        model.predict(ready.rows(np.arange(4)), table["teff",][:4])


def test_tables_of_arrays_and_of_files(made, tmp_path):
    _, ready, _, pixels, raw, (frequency, heights) = made
    few = QTable({"flux": raw.flux[:4], "flux_error": raw.error[:4], "mask": raw.mask[:4]})
    assert spectra_of(few, continuum=pixels).flux == pytest.approx(ready.flux[:4])
    write_table(QTable({"frequency": frequency * u.uHz, "power": heights[0]}), tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("nothing\n")
    found, reasons = power_of(QTable({"power_file": ["a.csv", "b.csv", ""]}), tmp_path)
    assert np.isfinite(found[0]).mean() > 0.9
    assert reasons[0] == ""
    assert reasons[1]
    assert reasons[2] == "no file is named"
    xp = xp_spectra(np.full((2, 343), 3e-16), np.full((2, 343), 1e-18))
    assert xp.flux == pytest.approx(1.0)
    assert not xp_spectra(np.full((1, 343), np.nan), np.ones((1, 343))).usable[0]
    with pytest.raises(CatalogError):
        xp_spectra(np.ones((2, 5)), np.ones((2, 5)))
    with pytest.raises(MissingColumnError, match="spectrum_file"):
        spectra_of(QTable({"teff": [4800.0]}))
    with pytest.raises(MissingColumnError, match="power_file"):
        power_of(QTable({"teff": [4800.0]}))
    lost = spectra_of(QTable({"spectrum_file": ["absent.fits"]}), tmp_path, continuum=pixels)
    assert not lost.usable[0]


def test_a_model_is_trained_on_a_table_and_used_from_the_command_line(made, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from starloom.cli.app import app

    table, _, _, pixels, raw, (frequency, heights) = made
    monkeypatch.setattr(spectra, "continuum_pixels", lambda: pixels)
    pairs = table[:140].copy()
    pairs.meta.clear()
    pairs["flux"], pairs["flux_error"], pairs["mask"] = raw.flux[:140], raw.error[:140], raw.mask[:140]
    names = []
    for row in range(140):
        write_table(QTable({"frequency": frequency, "power": heights[row]}), tmp_path / f"{row}.parquet")
        names.append(f"{row}.parquet")
    names[3] = "absent.parquet"
    pairs["power_file"] = names
    model, left_out = train_on_table(pairs, tmp_path, tmp_path / "model", steps=150, size=16, pressure=2000.0, seed=1)
    assert sum(left_out.values()) == 1
    assert model.history["age_stars"] == 139
    write_table(pairs["source_id", "teff", "fe_h", "flux", "flux_error", "mask"][:7], tmp_path / "mine.parquet")
    words = ["predict", "seismic-ages", str(tmp_path / "mine.parquet"), "-o", str(tmp_path / "ages.parquet"), "--model",
             str(tmp_path / "model")]  # fmt: skip
    outcome = CliRunner().invoke(app, words)
    assert outcome.exit_code == 0, outcome.output
    answers = read_table(tmp_path / "ages.parquet")
    assert len(answers) == 7
    assert {"age", "age_low", "nu_max", "quality", "reason"} <= set(answers.colnames)
    assert "flux" not in answers.colnames


def test_diagnostics_at_their_edges():
    assert np.isnan(diagnostics.ratio_score([np.nan], [1.0]).scatter)
    assert np.isnan(diagnostics.partial_correlation([1.0, 2.0], [2.0, 1.0]))
    with pytest.raises(CatalogError):
        diagnostics.explained(np.ones((20, 1)), np.arange(20.0), np.ones((5, 1)), np.ones(5))
    with pytest.raises(CatalogError):
        diagnostics.partial_correlation(np.ones(3), np.ones(4))
    assert diagnostics.active(np.stack([np.zeros(50), np.linspace(-1, 1, 50)], axis=1)).tolist() == [False, True]
