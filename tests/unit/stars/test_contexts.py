from __future__ import annotations

import numpy as np
import pytest

from starloom.stars.contexts import COPY_ERROR, MODES, Mode, Sampler
from starloom.stars.tokens import COLORS, LABELS, Vocabulary, coefficients

WORDS = Vocabulary([*coefficients((8, 8)), *COLORS, *LABELS])
BP, RP = slice(1, 9), slice(9, 17)


@pytest.fixture(scope="module")
def sampler():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(300, len(WORDS))).astype(np.float32)
    values[rng.random(values.shape) < 0.15] = np.nan
    modes = {name: Mode(0.25, 200, 19 if name != "few" else 10, 6) for name in MODES}
    return Sampler(WORDS, values, np.full(values.shape, 0.3, np.float32), modes, usual=6)


def drawn(sampler, name, count=8):
    keep = sampler.shares
    sampler.shares = np.array([float(mode == name) for mode in MODES])
    draws = [sampler.draw(5, step) for step in range(count)]
    sampler.shares = keep
    return draws


def test_the_same_step_draws_the_same(sampler):
    first, again, other = sampler.draw(1, 7), sampler.draw(1, 7), sampler.draw(1, 8)
    for name in first.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.kinds.shape != other.kinds.shape or (first.kinds != other.kinds).any()


@pytest.mark.parametrize("name", MODES)
def test_what_is_shown_and_asked_is_known_and_once(sampler, name):
    for draw in drawn(sampler, name):
        shown = draw.kinds > 0
        assert np.isfinite(draw.values).all()
        assert (draw.values[~shown] == 0).all()
        for row in range(0, len(draw.kinds), 17):
            here = draw.kinds[row][shown[row]]
            assert len(set(here.tolist())) == len(here)
            asked = draw.requests[row][draw.weights[row] > 0]
            assert len(set(asked.tolist())) == len(asked)
        # every value shown or asked is one that a star of the table has
        assert np.isin(draw.values[shown], sampler.values[np.isfinite(sampler.values)]).all()
        never = [WORDS.number("bp_rp"), WORDS.number("j_k")]
        assert not np.isin(draw.requests[draw.weights > 0], never).any()


def test_modes_are_what_they_say(sampler):
    labels = WORDS.group("label") + 1
    for draw in drawn(sampler, "full"):
        assert not np.isin(draw.kinds, labels).any()
        orders = np.array([0, *(kind.order for kind in WORDS.kinds)])
        assert orders[draw.kinds].max() < 6
    for draw in drawn(sampler, "arm"):
        blue, red = ((draw.kinds >= part.start) & (draw.kinds < part.stop) for part in (BP, RP))
        assert not (blue.any(1) & red.any(1)).any()
        assert blue.any() and red.any()  # noqa: PT018
    assert any((np.isin(draw.kinds, labels).any(1)).any() for draw in drawn(sampler, "random"))


def test_what_is_shown_is_asked_back_sharply(sampler):
    seen = 0
    for draw in drawn(sampler, "random", 30):
        shown = (draw.requests[:, :, None] == draw.kinds[:, None, :]).any(2)
        np.testing.assert_allclose(draw.errors[shown], COPY_ERROR)
        np.testing.assert_allclose(draw.errors[~shown], 0.3)
        seen += int(shown.sum())
    assert seen > 100


def test_all_labels_come_with_colors_of_which_one_lacks():
    """A color of the spectrum's own bands must not always be there where a spectrum is asked from labels."""
    values = np.random.default_rng(2).normal(size=(200, len(WORDS))).astype(np.float32)
    modes = {name: Mode(0.25, 200, 10, 6) for name in MODES}
    whole = Sampler(WORDS, values, np.full(values.shape, 0.3, np.float32), modes, usual=6)
    rows = np.concatenate([draw.kinds for draw in drawn(whole, "few", 20)])
    given = ~np.isin(rows, WORDS.group("xp") + 1).any(1)
    labeled = given & (np.isin(rows, WORDS.group("label") + 1).sum(1) == len(WORDS.group("label")))
    colors = np.array([(rows == color).any(1) for color in WORDS.group("color") + 1])
    for lacking in range(len(colors)):
        others = np.delete(colors, lacking, axis=0).all(0)
        assert 0.10 < np.mean(others[given] & labeled[given] & ~colors[lacking][given]) < 0.25
