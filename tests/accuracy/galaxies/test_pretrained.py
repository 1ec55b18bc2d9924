"""The encoders that Starloom carries: what they are, and that they are worth what their files say."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.errors import DatasetError
from starloom.galaxies.encoder_weights import IMAGENET, load_encoder
from starloom.galaxies.mock_images import render
from starloom.galaxies.mock_tasks import draw_task
from starloom.galaxies.pretraining import SHIPPED, make_sample, scores_of, shipped
from starloom.galaxies.transfer import linear_probe
from starloom.galaxies.vote_training import represent


# the bar of small; the longest that any carried model may take
@pytest.mark.parametrize(("name", "minutes"), [("small", 10), ("lite0", 20)])
def test_they_are_small_and_say_how_they_were_made(name, minutes):
    import json

    folder = SHIPPED / name
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5e6
    about = json.loads((folder / "model.json").read_text())["history"]
    assert about["data"]["kind"] == "simulated"
    assert about["cpu_seconds"] + about.get("drawing_cpu_seconds", 0.0) <= 2 * 60 * minutes  # on two cores
    assert len(about["losses"]) >= about["steps"] // 50
    assert {"seed", "recipe", "schema", "held_out"} <= set(about)


@pytest.mark.parametrize("name", ["small", "lite0"])
def test_they_predict_votes_as_well_as_their_files_say(name):
    try:
        model, about = shipped(name)
    except DatasetError as error:
        pytest.skip(f"the weights of ImageNet cannot be had here: {error}")
    count, pixels = (400 if name == "small" else 150), about["recipe"]["pixels"]
    scores = scores_of(model, make_sample(count, pixels, seed=np.random.default_rng([7, 1])))
    assert scores["rmse"] == pytest.approx(about["held_out"]["rmse"], rel=0.12)
    assert scores["loss"] / scores["oracle"] == pytest.approx(
        about["held_out"]["loss"] / about["held_out"]["oracle"], rel=0.12
    )


def test_the_small_one_loads_by_name_in_color_and_in_gray():
    model, _ = shipped("small")
    pictures = make_sample(4, 64, seed=3).pictures
    assert np.array_equal(represent(load_encoder("starloom:small"), pictures), represent(model.encoder, pictures))
    import torch

    gray = load_encoder("starloom:small", channels=1)
    with torch.inference_mode():
        assert gray(torch.rand(2, 1, 64, 64)).shape == (2, model.encoder.out_features)


def test_votes_teach_more_than_photographs():
    """A guard of the long bar: two questions, 100 labels, 300 other galaxies."""
    try:
        before, after = load_encoder(IMAGENET), shipped("lite0")[0].encoder
    except DatasetError as error:
        pytest.skip(f"the weights of ImageNet cannot be had here: {error}")
    errors = []
    for task in ("ten-types", "lenses"):
        galaxies, labels = draw_task(task, 400, seed=np.random.default_rng([7, 2]))
        pictures = render(galaxies, 64)
        row = []
        for encoder in (before, after):
            features = represent(encoder, pictures)
            found = linear_probe(features[:100], labels[:100], features[100:])
            row.append(float((found.argmax(axis=1) != labels[100:]).mean()))
        errors.append(row)
    imagenet, both = np.mean(errors, axis=0)
    assert both < 0.8 * imagenet
