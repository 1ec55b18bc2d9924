"""The model as a user meets it, on made stars whose truth is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from astropy.table import QTable

from starloom.errors import CatalogError, ConfigError, ModelFileError
from starloom.saved_models import read_model, write_model
from starloom.stars import mock
from starloom.stars.evaluation import label_scores, score, usual_kinds
from starloom.stars.foundation import StarFoundation
from starloom.stats.robust import robust_scatter


def test_labels_come_out_of_spectra(model, others):
    answers = model.predict(others)
    teff = robust_scatter(answers["predicted_teff"].value - others["teff"].value)
    logg = robust_scatter(answers["predicted_logg"] - others["logg"])
    # 400 steps of a small network: far better than the spread of the stars (about 480 K and 0.95 dex)
    assert teff < 0.35 * robust_scatter(others["teff"].value)
    assert logg < 0.5 * robust_scatter(others["logg"])
    scores = label_scores(model, model.tokens(others), np.random.default_rng(1))
    assert all(0.5 < value < 0.9 for value in scores["full_coverage"].values())
    assert scores["full"]["teff"] < scores["half of the tokens"]["teff"]
    assert (answers["reason"] == "").all()
    assert (answers["tokens_used"] > 20).all()


def test_the_rows_come_back_in_any_number_and_order(model, others):
    whole = model.predict(others, ["teff", "a_k"])
    assert [name for name in whole.colnames if name in others.colnames and others[name].ndim == 1] == [
        name for name in others.colnames if others[name].ndim == 1
    ]
    one = model.predict(others[7:8], ["teff", "a_k"])
    np.testing.assert_allclose(one["predicted_teff"].value, whole["predicted_teff"].value[7:8], rtol=1e-5)
    again = model.predict(others[::-1], ["a_k", "teff"])
    np.testing.assert_allclose(again["predicted_teff"].value[::-1], whole["predicted_teff"].value, rtol=1e-5)


def test_a_star_without_anything_has_a_reason(model):
    answers = model.predict({"teff": [5000.0, np.nan, 4000.0], "logg": [2.5, np.nan, np.nan]}, ["teff"])
    nothing, alone = "no spectrum, color or label that is not missing", "only what was requested is known"
    assert answers["reason"].tolist() == ["", nothing, alone]
    assert np.isnan(answers["predicted_teff"].value[1:]).all()
    assert np.isfinite(answers["predicted_teff"].value[0])


def test_what_it_cannot_answer_is_named(model, others):
    with pytest.raises(ConfigError, match=r"not trained to answer 'distance'.*parallaxes"):
        model.predict(others, ["distance"])
    with pytest.raises(ConfigError, match="did you mean 'teff'"):
        model.predict(others, ["tef"])
    with pytest.raises(ConfigError, match="nothing was requested"):
        model.predict(others, [])
    with pytest.raises(CatalogError, match="predicted_teff' already"):
        model.predict({"teff": [5000.0], "logg": [2.0], "predicted_fe_h": [0.0], "predicted_teff": [1.0]}, ["teff"])


def test_kinds_of_the_training_table_are_learned(model):
    """Parallaxes were in the table, so a luminosity can be asked; masses were not."""
    assert "g_fakemag" in model.answerable
    assert "mass" not in model.vocabulary
    assert "bp_rp" in model.vocabulary
    assert "bp_rp" not in model.answerable


def test_spectra_are_made_from_labels_and_from_an_arm(model, others):
    bases = mock.bases()
    flux, error = model.generate_spectrum(others, bases=bases, g_magnitude=others["phot_g_mean_mag"].value)
    assert flux.shape == error.shape == (len(others), 343)
    truth = np.asarray(others["flux"].value, float)
    level = np.median(truth, axis=1)
    inside = (np.arange(343) > 40) & (np.arange(343) < 320)
    copied = np.median(np.abs(flux - truth)[:, inside] / level[:, None])
    labels = ["teff", "logg", "fe_h", "alpha_m", "a_k"]
    made, _ = model.generate_spectrum(others, given=labels, bases=bases, g_magnitude=others["phot_g_mean_mag"].value)
    forward = np.median(np.abs(made - truth)[:, inside] / level[:, None])
    shuffled = np.median(
        np.abs(np.roll(truth, 1, axis=0) / np.roll(level, 1)[:, None] - truth / level[:, None])[:, inside]
    )
    assert copied < forward < 0.5 * shuffled


def test_there_is_no_hidden_state(model, others):
    first = model.predict(others[:20], ["teff"])
    model.predict(others[20:40])
    model.embed(others[:10])
    second = model.predict(others[:20], ["teff"])
    assert (first["predicted_teff"] == second["predicted_teff"]).all()


def test_the_size_of_the_batches_changes_nothing(model, others):
    tokens = model.tokens(others[:50])
    whole, parts = model.ask(tokens, ["teff", "fe_h"]), model.ask(tokens, ["teff", "fe_h"], batch=7)
    np.testing.assert_allclose(whole.mean, parts.mean, atol=1e-5)
    np.testing.assert_allclose(whole.sigma, parts.sigma, rtol=1e-4)


def test_attention_and_embedding(model, others):
    weights, names = model.attention(others[:6], ["teff", "fe_h"])
    assert weights.shape == (6, 1, 2, len(names))
    assert (weights >= 0).all()
    assert (weights.sum(-1) <= 1 + 1e-5).all()
    hidden = [k for k, name in enumerate(names) if name in ("teff", "fe_h")]
    assert (weights[..., hidden] == 0).all()
    vectors = model.embed(others)
    assert vectors.shape == (len(others), 128)


def test_a_star_is_most_similar_to_itself(model, others):
    rows, cosine = model.similar(others[3:6], others, count=5)
    assert rows[:, 0].tolist() == [3, 4, 5]
    np.testing.assert_allclose(cosine[:, 0], 1.0, atol=1e-4)
    near = np.abs(others["teff"].value[rows[:, 1:]] - others["teff"].value[3:6, None])
    assert np.median(near) < 0.7 * np.median(np.abs(np.subtract.outer(others["teff"].value, others["teff"].value)))
    with pytest.raises(ConfigError, match="other table has 400"):
        model.similar(others, others, count=1000)


def test_densities_integrate_to_one_and_draws_follow_them(model, others):
    star = others[:1]
    grid = np.linspace(1600.0, 12000.0, 4001)
    tokens = model.tokens(star)
    many = {"teff": grid, "logg": np.full(4001, float(star["logg"][0])), "fe_h": np.full(4001, float(star["fe_h"][0]))}
    density = np.exp(model.log_prob(many, ["teff"])[:, 0])
    assert np.trapezoid(density, grid) == pytest.approx(1.0, abs=1e-3)
    drawn = model.sample(star, ["teff"], 4000, seed=1)
    answer = model.predict(star, ["teff"])
    assert drawn.shape == (1, 1, 4000)
    # quantiles of 4,000 draws: 2 % of sigma each, five of them allowed
    low, high = np.quantile(drawn, [0.15865, 0.84135])
    assert (high - low) / 2 == pytest.approx(answer["predicted_teff_error"].value[0], rel=0.1)
    assert len(tokens) == 1


def test_fine_tuning_learns_another_scale_of_things(model, others):
    shifted = mock.make(600, 8)
    shifted["fe_h"] = shifted["fe_h"] + 0.5
    tuned = model.fine_tune(shifted, seed=1, steps=150, learning_rate=1e-3, settings=mock.settings(150))
    test = others.copy()
    before, after = (np.nanmedian(m.predict(test, ["fe_h"])["predicted_fe_h"] - others["fe_h"]) for m in (model, tuned))
    assert abs(before) < 0.15
    assert after > 0.25
    assert "fine_tuned" not in model.history


def test_it_is_saved_whole(model, others, tmp_path):
    model.save(tmp_path / "m")
    loaded = StarFoundation.load(tmp_path / "m")
    first, second = (m.predict(others) for m in (model, loaded))
    for name in first.colnames:
        if name.startswith(("predicted", "domain")):
            np.testing.assert_allclose(np.asarray(first[name]), np.asarray(second[name]), rtol=2e-3, atol=2e-3)
    assert loaded.history == json.loads(json.dumps(model.history))


def test_corrupt_folders_are_told(model, tmp_path):
    model.save(tmp_path / "m")
    path = tmp_path / "m" / "model.json"
    settings, numbers = read_model(tmp_path / "m", "star foundation model")
    settings["vocabulary"] = settings["vocabulary"][:-1]
    write_model(tmp_path / "m", "star foundation model", settings, numbers)
    with pytest.raises(ModelFileError, match="do not belong together"):
        StarFoundation.load(tmp_path / "m")
    path.write_text('{"kind": "another"}')
    with pytest.raises(ModelFileError, match="of kind 'another'"):
        StarFoundation.load(tmp_path / "m")
    with pytest.raises(ModelFileError, match="holds no saved model"):
        StarFoundation.load(tmp_path / "nowhere")


def test_training_tables_that_teach_nothing(stars):
    with pytest.raises(CatalogError, match="whole spectrum"):
        StarFoundation.fit(stars[:100], seed=1, settings=mock.settings(2), bases=mock.bases())
    with pytest.raises(CatalogError, match="0 values of 'mass'"):
        StarFoundation.fit(stars, seed=1, settings=mock.settings(2), bases=mock.bases(), labels=["mass"])
    few = QTable({"teff": np.linspace(4000, 6000, 30), "logg": np.linspace(1, 4, 30)})
    with pytest.raises(CatalogError, match="at least 50"):
        StarFoundation.fit(few, seed=1, settings=mock.settings(2))


def test_a_table_without_spectra_trains_too():
    table = mock.make(400, 6)["j_mag", "h_mag", "ks_mag", "teff", "logg", "fe_h"]
    model = StarFoundation.fit(table, seed=1, settings=mock.settings(60), labels=["teff", "logg"])
    assert model.reader is None
    assert set(model.answerable) == {"j_h", "teff", "logg"}
    assert np.isfinite(model.predict(table, ["teff"])["predicted_teff"].value).all()
    with pytest.raises(ConfigError, match="without spectra"):
        model.generate_spectrum(table)


def test_scores_are_of_the_stars_given(model, others):
    tokens = model.tokens(others)
    scored = score(model, tokens, ["teff"], usual_kinds(model))
    np.testing.assert_allclose(scored.truth[:, 0], others["teff"].value, rtol=1e-6)
    assert torch.is_inference_mode_enabled() is False
