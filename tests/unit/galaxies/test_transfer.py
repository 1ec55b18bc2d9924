"""Probes, folds, areas, neighbors, and numbers made by hand."""

from __future__ import annotations

import io

import numpy as np
import pytest

from starloom.errors import CatalogError, ConfigError
from starloom.galaxies import transfer
from starloom.galaxies.image_sources import image_source
from starloom.galaxies.mock_images import render
from starloom.galaxies.mock_tasks import draw_task
from starloom.galaxies.picture_arrays import picture_array
from starloom.galaxies.shape_statistics import NAMES, shape_statistics


def blobs(count, classes, seed=1, apart=3.0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    return rng.standard_normal((count, 6)) + apart * np.eye(6)[labels], labels


def test_a_probe_finds_what_can_be_told_apart():
    features, labels = blobs(200, 3)
    found = transfer.linear_probe(features[:100], labels[:100], features[100:])
    assert found.shape == (100, 3)
    assert found.sum(axis=1) == pytest.approx(1.0)
    verdict = transfer.judge(found, labels[100:])
    assert verdict.error < 0.1
    assert verdict.area > 0.97
    scaled = transfer.linear_probe(1e3 * features[:100] + 7.0, labels[:100], 1e3 * features[100:] + 7.0)
    assert scaled == pytest.approx(found, abs=2e-3)


def test_a_probe_on_noise_knows_nothing_and_says_so():
    rng = np.random.default_rng(2)
    features, labels = rng.standard_normal((120, 40)), np.arange(120) % 2
    found = transfer.linear_probe(features[:60], labels[:60], features[60:])
    assert np.abs(found - 0.5).max() < 0.25  # the penalty that cross-validation chose is strong
    assert abs(transfer.roc_area(found[:, 1], labels[60:] == 1) - 0.5) < 0.2


def test_degenerate_questions_are_refused():
    features, labels = blobs(20, 2)
    with pytest.raises(CatalogError, match="two classes"):
        transfer.linear_probe(features, np.zeros(20, dtype=int), features)
    with pytest.raises(CatalogError, match="finite"):
        transfer.linear_probe(np.full((20, 3), np.nan), labels, features)
    with pytest.raises(ConfigError, match="folds"):
        transfer.folds_of(labels, 30, seed=1)
    one = transfer.linear_probe(np.ones((20, 2)) * labels[:, None], labels, np.ones((1, 2)))  # a constant and one row
    assert one.shape == (1, 2)


def test_folds_are_balanced_and_every_row_is_answered_by_a_stranger():
    _, labels = blobs(100, 2)
    fold = transfer.folds_of(labels, 5, seed=1)
    assert all(np.bincount(labels[fold == k]).tolist() == [10, 10] for k in range(5))
    seen = []

    def method(learn, answer):
        assert not set(learn) & set(answer)
        seen.extend(answer)
        return np.full((len(answer), 2), 0.5)

    transfer.cross_validated(method, labels, fold)
    assert sorted(seen) == list(range(100))


def test_the_area_is_that_of_scikit_learn():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(3)
    truth, score = rng.random(300) < 0.4, np.round(rng.random(300), 1)  # with ties
    assert transfer.roc_area(score, truth) == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
    assert np.isnan(transfer.roc_area(score, np.zeros(300, bool)))


def test_a_gain_has_an_interval_about_it():
    rng = np.random.default_rng(4)
    labels = np.arange(400) % 2
    good, worse = (labels + scatter * rng.standard_normal(400) for scatter in (0.6, 1.5))
    gain, low, high = transfer.paired_gain(
        np.column_stack([-good, good]), np.column_stack([-worse, worse]), labels, seed=1
    )
    assert 0 < low < gain < high


def test_the_nearest_neighbor_is_the_copy():
    rng = np.random.default_rng(5)
    features = rng.standard_normal((30, 8))
    features[17] = features[4] + 0.01
    features[:, 3] = 1.0  # says nothing, and must not divide by zero
    assert transfer.neighbors(features, 4, 3)[0] == 17
    assert 4 not in transfer.neighbors(features, 4, 29)


def test_numbers_made_by_hand_tell_shapes():
    pictures = render(draw_task("ten-types", 120, seed=1)[0], 48)
    found = shape_statistics(pictures)
    assert found.shape == (120, 26)
    assert len(NAMES) == len(set(NAMES)) == 26
    assert np.isfinite(found).all()
    turned = shape_statistics(np.rot90(pictures, axes=(1, 2)))
    for name in ("asymmetry_red", "gini", "axis_ratio", "total"):  # no ties in these
        assert turned[:, NAMES.index(name)] == pytest.approx(found[:, NAMES.index(name)], rel=1e-6, abs=1e-9)
    axis = (np.arange(40) + 0.5) / 20 - 1
    for ratio in (1.0, 0.4):
        light = 200 * np.exp(-0.5 * ((axis[None, :] / 0.2) ** 2 + (axis[:, None] / (0.2 * ratio)) ** 2))
        picture = np.repeat(light[None, :, :, None], 3, axis=3).astype(np.uint8)
        assert shape_statistics(picture)[0, NAMES.index("axis_ratio")] == pytest.approx(ratio, abs=0.05)
        assert shape_statistics(picture)[0, NAMES.index("asymmetry_red")] == pytest.approx(0.0, abs=1e-6)


def test_trees_beat_chance():
    features, labels = blobs(200, 2, apart=2.5)
    found = transfer.boosted_trees(features[:120], labels[:120], features[120:])
    assert transfer.roc_area(found[:, 1], labels[120:] == 1) > 0.85


def test_training_end_to_end_learns_and_leaves_the_encoder_alone():
    from starloom.galaxies.encoders import encoder

    rng = np.random.default_rng(6)
    labels = np.arange(60) % 2
    pictures = (rng.random((60, 16, 16, 3)) * (80 + 150 * labels[:, None, None, None])).astype(np.uint8)
    made = encoder("resnet", 3, depths=(1, 1, 1, 1), widths=(8, 8, 8, 8))
    before = {name: value.clone() for name, value in made.state_dict().items()}
    found = transfer.train_end_to_end(made, pictures[:40], labels[:40], pictures[40:], fresh=True, passes=12, seed=1)
    assert found.shape == (20, 2)
    assert (found.argmax(axis=1) == labels[40:]).mean() > 0.8
    for name, value in made.state_dict().items():
        assert (value == before[name]).all()


def test_pictures_of_bytes_and_damaged_ones():
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.full((20, 20, 3), 100, dtype=np.uint8)).save(stream, "PNG")
    pictures, reasons = picture_array(image_source([stream.getvalue(), b"no picture"]), 8, crop=0.5)
    assert pictures.shape == (2, 8, 8, 3)
    assert (pictures[0] == 100).all()
    assert reasons[0] == ""
    assert reasons[1]
    assert (pictures[1] == 0).all()
