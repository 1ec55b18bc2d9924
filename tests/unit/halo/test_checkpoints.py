"""Answers of fits on disk: the same to the last digit, found by contents, made anew where they are damaged."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from starloom import progress
from starloom.halo.checkpoints import digest, kept
from starloom.halo.comparison import compare
from starloom.halo.density import DensityModel
from starloom.halo.posterior import BestFit, Evidence, Posterior, best_fit


def same(a, b):
    for part in dataclasses.fields(a):
        left, right = getattr(a, part.name), getattr(b, part.name)
        if isinstance(left, np.ndarray):
            np.testing.assert_array_equal(left, right)
        else:
            assert left == right
            assert type(left) is type(right)


def answers(likelihood):
    rng = np.random.default_rng(1)
    names = likelihood.model.names
    return [
        best_fit(likelihood, starts=1, seed=1),
        Posterior(names, rng.normal(size=(2, 5, 8)), rng.normal(size=(2, 5, 8)), rng.normal(size=(2, 5)), 3, 70),
        Evidence(-12.345678901234567, 0.1, names, rng.normal(size=(4, 8))),
    ]


def test_an_answer_comes_back_as_it_was(made, tmp_path):
    _, _, likelihood = made
    for answer in answers(likelihood):
        calls = []

        def make(answer=answer, calls=calls):
            calls.append(1)
            return answer

        for _ in range(3):
            same(kept(tmp_path, type(answer), likelihood, {"seed": 1}, make), answer)
        assert len(calls) == 1
        kept(tmp_path, type(answer), likelihood, {"seed": 2}, make)
        kept(None, type(answer), likelihood, {"seed": 1}, make)
        assert len(calls) == 3


def test_a_damaged_answer_is_made_anew(made, tmp_path):
    _, _, likelihood = made
    answer = answers(likelihood)[1]
    kept(tmp_path, Posterior, likelihood, {}, lambda: answer)
    for path in tmp_path.rglob("model.safetensors"):
        path.write_bytes(path.read_bytes()[:-7])
    calls = []
    same(kept(tmp_path, Posterior, likelihood, {}, lambda: calls.append(1) or answer), answer)
    assert calls == [1]


def test_what_is_read_is_not_said_to_be_made(made, tmp_path, capsys):
    _, _, likelihood = made
    answer = answers(likelihood)[1]
    count = len(likelihood.stars)
    with progress.shown():
        for folder in (tmp_path, tmp_path, None):
            kept(folder, Posterior, likelihood, {}, lambda: answer, what="posterior of the halo")
        kept(tmp_path, Posterior, likelihood, {}, lambda: answer)
    assert capsys.readouterr().err.splitlines() == [
        f"{count} stars: posterior of the halo",
        f"{count} stars: kept posterior of the halo",
        f"{count} stars: posterior of the halo",
    ]


def test_names_tell_contents_apart(made):
    volume, model, likelihood = made
    moved = dataclasses.replace(likelihood, stars=likelihood.stars + 1e-9)
    dimmer = dataclasses.replace(volume, weight=volume.weight * 0.5)
    others = [
        digest(likelihood, {"seed": 1}),
        digest(moved, {"seed": 1}),
        digest(dataclasses.replace(likelihood, volume=dimmer), {"seed": 1}),
        digest(dataclasses.replace(likelihood, model=DensityModel("double")), {"seed": 1}),
        digest(dataclasses.replace(likelihood, model=model.centered(np.eye(3)[[1, 2, 0]])), {"seed": 1}),
        digest(likelihood, {"seed": 1, "guesses": np.zeros((0,))}),
        digest(likelihood, {"seed": 1, "guesses": np.zeros((2, 3))}),
    ]
    assert len(set(others)) == len(others)
    copied = dataclasses.replace(likelihood, stars=likelihood.stars.copy())
    assert digest(copied, {"seed": 1}) == others[0]


def test_an_interrupted_comparison_goes_on(made, tmp_path, monkeypatch):
    volume, _, likelihood = made
    models = [DensityModel(kind, rotated=False) for kind in ("single", "broken")]
    whole = compare(likelihood.stars, volume, models, starts=1, seed=2)
    import starloom.halo.comparison as comparison

    asked = []

    def once(part, **settings):
        asked.append(part.model.kind)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return best_fit(part, **settings)

    monkeypatch.setattr(comparison, "best_fit", once)
    with pytest.raises(KeyboardInterrupt):
        compare(likelihood.stars, volume, models, starts=1, seed=2, folder=tmp_path)
    again = compare(likelihood.stars, volume, models, starts=1, seed=2, folder=tmp_path)
    assert asked == ["single", "broken", "broken"]
    for a, b in zip(whole.fits, again.fits, strict=True):
        assert isinstance(b, BestFit)
        same(a, b)
