"""Selection functions measured from counts: bins, intervals, shrinkage, stages, saving, bad tables."""

import numpy as np
import pytest
from astropy.table import MaskedColumn, QTable
from scipy.stats import beta

from starloom.errors import CatalogError, ConfigError, MissingColumnError, ModelFileError
from starloom.selection.bins import Axis
from starloom.selection.empirical import EmpiricalSelection, FittedSelection, chain
from starloom.selection.shrinkage import Spread, best_spread, product_of_betas, shrink
from starloom.stats.intervals import fraction_interval

MAGNITUDE, COLOR = Axis("h", (9.0, 10.0, 11.0, 12.0)), Axis("j-k", (0.3, 0.7, 1.2))


def parent(count=5000, seed=1):
    rng = np.random.default_rng(seed)
    stars = QTable({"l": rng.uniform(0, 360, count), "b": np.degrees(np.arcsin(rng.uniform(-1, 1, count)))})
    stars["h"], stars["k"] = rng.uniform(9, 12, count), rng.uniform(8, 11, count)
    stars["j"] = stars["k"] + rng.uniform(0.3, 1.2, count)
    stars["targeted"] = rng.random(count) < 0.5
    stars["observed"] = np.asarray(stars["targeted"]) & (rng.random(count) < 0.3)
    return stars


SETTING = EmpiricalSelection(MAGNITUDE, COLOR, nside=1)


def test_counts_are_those_of_the_table():
    stars = parent()
    fitted = SETTING.fit(stars)
    assert fitted.counts.sum(axis=1).tolist() == [5000, np.sum(stars["targeted"]), np.sum(stars["observed"])]
    cell = SETTING.cell(stars["l"], stars["b"], stars["h"], stars["j"] - stars["k"])
    assert fitted.counts[0, cell[0]] == (cell == cell[0]).sum()


def test_edges_belong_to_the_bin_above():
    assert MAGNITUDE.place([8.999, 9.0, 9.999, 10.0, 12.0, np.nan]).tolist() == [-1, 0, 0, 1, -1, -1]


def test_without_shrinkage_the_intervals_are_those_of_the_counts():
    fitted = EmpiricalSelection(MAGNITUDE, COLOR, nside=1, shrinkage=False).fit(parent())
    _, low, high = fitted.interval("targeted")
    expected = fraction_interval(fitted.counts[1], fitted.counts[0])
    assert np.array_equal(low, expected[0])
    assert np.array_equal(high, expected[1])


def test_shrinkage_of_a_constant_gives_the_constant():
    """Where all bins have one fraction, every bin is told it, and its error is that of all stars, not of its own."""
    stars = parent()
    mean, low, high = SETTING.fit(stars).interval("targeted")
    assert np.std(mean) < 0.02
    alone = EmpiricalSelection(MAGNITUDE, COLOR, nside=1, shrinkage=False).fit(stars).interval("targeted")
    assert np.mean(high - low) < 0.5 * np.mean(alone[2] - alone[1])


def test_shrinkage_leaves_well_counted_bins_alone():
    rng = np.random.default_rng(2)
    truth = rng.beta(2, 3, 60)
    n = np.full(60, 5000.0)
    k = rng.binomial(5000, truth).astype(float)
    found = shrink(k, n, [np.zeros(60, dtype=np.int64)])
    assert np.allclose(found.a / (found.a + found.b), k / n, atol=0.002)


def test_the_spread_of_fractions_is_found():
    rng = np.random.default_rng(3)
    count = 4000
    truth = rng.beta(0.3 * 20, 0.7 * 20, count)
    n = rng.integers(1, 60, count).astype(float)
    k = rng.binomial(n.astype(int), truth).astype(float)
    spread = best_spread(k, n, np.full(count, 0.3), np.full(count, 1e9))
    at = spread.at(np.array([0.3]), np.array([1e9]))[0]
    assert at == pytest.approx(20, rel=0.12)


def test_a_spread_even_in_the_odds_is_told_from_a_beta():
    mean = np.array([0.5, 0.1])
    known = np.full(2, 1e12)
    assert Spread(10.0, 0.0).at(mean, known) == pytest.approx([10.0, 10.0])
    assert Spread(10.0, 1.0).at(mean, known) == pytest.approx([10.0, 10.0 / 0.36])
    assert Spread(10.0, 0.0).at(mean, np.full(2, 10.0)) == pytest.approx([5.0, 5.0])


def test_a_bin_never_sees_its_own_counts_in_its_prior():
    rng = np.random.default_rng(4)
    n = np.full(40, 30.0)
    k = rng.binomial(30, 0.4, 40).astype(float)
    levels = [np.zeros(40, dtype=np.int64), np.arange(40) // 10]
    first = shrink(k, n, levels)
    other = k.copy()
    other[7] = 30.0 - k[7]
    changed = shrink(other, n, levels).prior
    # only the concentrations, shared by all, can change it
    assert changed[7] == pytest.approx(first.prior[7], abs=0.02)


def test_empty_bins_are_told_what_their_neighbors_are():
    k, n = np.array([30.0, 20.0, 0.0]), np.array([100.0, 90.0, 0.0])
    found = shrink(k, n, [np.zeros(3, dtype=np.int64)])
    assert found.a[2] / (found.a[2] + found.b[2]) == pytest.approx(50 / 190, abs=0.02)


def test_nothing_counted_at_all():
    found = shrink(np.zeros(3), np.zeros(3), [np.zeros(3, dtype=np.int64)])
    assert np.allclose(found.a / (found.a + found.b), 0.5)


def test_counts_that_cannot_be():
    with pytest.raises(ConfigError, match="successes"):
        shrink(np.array([2.0]), np.array([1.0]), [])


def test_product_of_betas_against_simulation():
    rng = np.random.default_rng(5)
    pairs = [(3.0, 9.0), (40.0, 10.0), (2.0, 2.0)]
    a, b = product_of_betas([np.array([p[0]]) for p in pairs], [np.array([p[1]]) for p in pairs])
    drawn = np.prod([rng.beta(*pair, 200_000) for pair in pairs], axis=0)
    for level in (0.16, 0.5, 0.84):
        assert beta.ppf(level, a[0], b[0]) == pytest.approx(np.quantile(drawn, level), abs=0.005)


def test_the_chain_is_the_product_of_its_links():
    fitted = SETTING.fit(parent())
    links = fitted.a / (fitted.a + fitted.b)
    mean, low, high = fitted.interval("observed")
    assert np.allclose(mean, links[0] * links[1])
    assert (low < mean).all()
    assert (mean < high).all()
    assert np.allclose(fitted.interval("targeted")[0], links[0])


def test_the_chain_from_counts_alone():
    mean, low, high = chain([[100, 10], [50, 5], [20, 0]])
    assert low[1] == 0.0
    assert mean[0] == pytest.approx(20.5 / 101)
    assert (low < high).all()
    with pytest.raises(ConfigError, match="nested"):
        chain([[10], [11]])


def test_predict_gives_every_row_back():
    stars = parent(300)
    stars["h"][0], stars["h"][1], stars["l"][2], stars["j"][3] = 14.0, np.nan, np.nan, np.nan
    fitted = SETTING.fit(stars)
    found = fitted.predict(stars)
    assert len(found) == 300
    assert found["reason"][:5].tolist() == ["outside all bins", "no magnitude", "no position", "no color", ""]
    assert np.isnan(found["p_observed"][:4]).all()
    inside = np.asarray(found["reason"]) == ""
    for stage in ("targeted", "observed"):
        low, mean, high = (np.asarray(found[f"p_{stage}{end}"])[inside] for end in ("_low", "", "_high"))
        assert ((low <= mean) & (mean <= high)).all()
    assert fitted.report == {"rows": 300, "outside all bins": 1, "no magnitude": 1, "no position": 1, "no color": 1}
    p = fitted.probability(stars["l"], stars["b"], stars["h"], stars["j"] - stars["k"])
    assert np.array_equal(p, np.asarray(found["p_observed"]), equal_nan=True)


def test_equatorial_positions_are_turned():
    from astropy.coordinates import SkyCoord

    stars = parent(400)
    sky = SkyCoord(stars["l"], stars["b"], unit="deg", frame="galactic").icrs
    turned = stars.copy()
    turned["ra"], turned["dec"] = sky.ra, sky.dec
    turned.remove_columns(["l", "b"])
    assert np.array_equal(SETTING.fit(turned).counts, SETTING.fit(stars).counts)


def test_log_prob_and_sample():
    stars = parent(2000)
    fitted = SETTING.fit(stars)
    p = np.asarray(fitted.predict(stars)["p_observed"])
    flag = np.asarray(stars["observed"])
    assert np.allclose(fitted.log_prob(stars), np.where(flag, np.log(p), np.log1p(-p)))
    drawn = fitted.sample(stars, 7)
    assert np.array_equal(drawn, fitted.sample(stars, 7))
    assert drawn.mean() == pytest.approx(p.mean(), abs=4 * np.sqrt(p.mean() / 2000))


def test_saved_and_loaded(tmp_path):
    stars = parent(500)
    fitted = SETTING.fit(stars)
    loaded = FittedSelection.load(fitted.save(tmp_path / "model"))
    assert loaded.setting == fitted.setting
    assert loaded.spreads == fitted.spreads
    assert np.array_equal(loaded.a, fitted.a)
    assert loaded.report == fitted.report
    with pytest.raises(ModelFileError):
        FittedSelection.load(tmp_path / "none")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"x")
    with pytest.raises(ModelFileError):
        FittedSelection.load(tmp_path / "model")


def test_the_table_of_bins():
    fitted = SETTING.fit(parent())
    table = fitted.table()
    assert len(table) == (fitted.counts[0] > 0).sum()
    assert table["n_parent"].sum() == 5000
    assert {"pixel", "l", "b", "h_low", "j-k_high", "p_targeted_low", "p_observed"} <= set(table.colnames)


def test_the_whole_sky_and_no_color():
    fitted = EmpiricalSelection(MAGNITUDE, nside=0, stages=("targeted",)).fit(parent())
    assert fitted.counts.shape == (2, 3)
    assert fitted.interval()[0] == pytest.approx([0.5] * 3, abs=0.05)
    assert "l" not in fitted.table().colnames


def test_flags_that_cannot_be():
    stars = parent(50)
    wrong = stars.copy()
    wrong["observed"] = ~np.asarray(stars["targeted"])
    with pytest.raises(CatalogError, match="without being in the stage before"):
        SETTING.fit(wrong)
    wrong["observed"] = MaskedColumn(np.zeros(50, dtype=bool), mask=np.arange(50) == 3)
    with pytest.raises(CatalogError, match="missing in row 3"):
        SETTING.fit(wrong)
    wrong["observed"] = np.linspace(0, 1, 50)
    with pytest.raises(CatalogError, match="true or false"):
        SETTING.fit(wrong)
    wrong.remove_column("observed")
    with pytest.raises(MissingColumnError, match="observed"):
        SETTING.fit(wrong)
    with pytest.raises(CatalogError, match="no rows"):
        SETTING.fit(stars[:0])


def test_one_star():
    fitted = SETTING.fit(parent(1))
    assert np.isfinite(fitted.interval()[0]).all()


@pytest.mark.parametrize("bad", [{"nside": 3}, {"nside": -1}, {"stages": ()}, {"stages": ("a", "a")}])
def test_settings_that_cannot_be(bad):
    with pytest.raises(ConfigError):
        EmpiricalSelection(MAGNITUDE, **bad)


@pytest.mark.parametrize("edges", [(1.0,), (2.0, 1.0), (1.0, np.nan)])
def test_edges_that_cannot_be(edges):
    with pytest.raises(ConfigError, match="edges"):
        Axis("h", edges)


def test_a_stage_that_is_not_there():
    with pytest.raises(ConfigError, match="no stage 'seen'"):
        SETTING.fit(parent(50)).interval("seen")
    with pytest.raises(ConfigError, match="level"):
        SETTING.fit(parent(50)).interval(level=1.0)
