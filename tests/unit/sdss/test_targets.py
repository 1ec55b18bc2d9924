"""Selection over tables: columns found and converted, cadences, priorities, thinning, combined rows, target tables."""

from __future__ import annotations

import sqlite3

import astropy.units as u
import numpy as np
import pytest
from astropy.table import MaskedColumn, QTable

from starloom.catalog.tables import read_table
from starloom.errors import CatalogError, ConfigError, MissingColumnError, UnitError
from starloom.sdss.cartons import carton, read_definitions
from starloom.sdss.columns import inside_circles
from starloom.sdss.target_tables import cross_match, target_tables, write_tables
from starloom.sdss.targets import assign, combine, select
from starloom.sdss.thinning import first_of_each, voxels

ID = 4_500_000_000_000_000_001


def snc(rows=4, **more):
    table = QTable({"catalogid": ID + np.arange(rows), "parallax": np.full(rows, 12.0) * u.mas})
    table["parallax_error"] = np.full(rows, 0.1) * u.mas
    table["l"], table["b"] = np.full(rows, 90.0) * u.deg, np.full(rows, 60.0) * u.deg
    table["astrometric_excess_noise"] = np.zeros(rows) * u.mas
    table["phot_g_mean_mag"] = np.array([15.9, 16.0, 16.1, np.nan])[:rows] * u.mag
    for name, values in more.items():
        table[name] = values
    return table


def test_cadence_of_sixteen_exactly_is_none_as_released():
    entry = carton("mwm_snc_100pc_boss", plan="0.5.0")
    found = assign(select(snc(), [entry]), snc())
    assert found["cadence"].tolist() == ["bright_2x1", "", "dark_2x1", ""]
    assert found["priority"].tolist() == [1800] * 4
    assert found["catalogid"].tolist() == [ID + k for k in range(4)]
    assert found["catalogid"].dtype == np.int64


def test_units_other_names_and_missing_columns():
    entry = carton("mwm_snc_100pc_boss", plan="0.5.0")
    table = snc()
    table["parallax"] = (12000.0 * np.ones(4)) * u.uas
    table.rename_column("parallax", "plx")
    assert select(table, [entry])["mwm_snc_100pc_boss"].all()
    table["plx"] = np.ones(4) * u.km
    with pytest.raises(UnitError, match="plx"):
        select(table, [entry])
    table.rename_column("plx", "paralax")
    with pytest.raises(MissingColumnError, match="closest there: paralax"):
        select(table, [entry])
    with pytest.raises(CatalogError, match="no rows"):
        select(snc()[:0], [entry])
    with pytest.raises(CatalogError, match="text"):
        select({**{k: ["x"] for k in entry.columns}}, [entry])


def test_a_plan_skips_what_it_cannot_evaluate_and_says_why():
    selection = select(snc(), "v0.5.3")
    assert {entry.name for entry in selection.cartons} == {"mwm_snc_100pc_boss", "mwm_snc_250pc_boss"}
    assert "h_m" in selection.skipped["mwm_snc_100pc_apogee_0.5.0"]
    with pytest.raises(ConfigError, match="h_m"):
        selection["mwm_snc_100pc_apogee"]
    with pytest.raises(MissingColumnError, match="no carton"):
        select({"x": [1.0]}, "v0.5.3")


def test_integers_with_fill_values_infinities_and_masks():
    entry = carton("mwm_wd_core", plan="0.5.0")
    rows = {"pwd": [0.9, -999.0, np.inf, 0.9, 0.9], "g_gaia_mag": [15, 15, 15, -999, 19]}
    assert select(rows, [entry])["mwm_wd_core"].tolist() == [True, False, False, False, True]
    masked = QTable({"pwd": MaskedColumn([0.9, 0.9], mask=[True, False]), "g_gaia_mag": [15.0, 15.0]})
    assert select(masked, [entry])["mwm_wd_core"].tolist() == [False, True]
    big = {name: np.array(values, dtype=">f4") for name, values in rows.items()}
    assert select(big, [entry])["mwm_wd_core"].tolist() == [True, False, False, False, True]


def test_the_result_does_not_depend_on_blocks_or_threads(monkeypatch):
    rng = np.random.default_rng(1)
    rows = {"pwd": rng.random(5000), "g_gaia_mag": rng.uniform(18, 22, 5000)}
    entry = carton("mwm_wd_core", plan="0.5.0")
    whole = select(rows, [entry]).member
    monkeypatch.setattr("starloom.sdss.targets.BLOCK", 777)
    np.testing.assert_array_equal(select(rows, [entry], workers=3).member, whole)
    order = rng.permutation(5000)
    moved = {name: values[order] for name, values in rows.items()}
    np.testing.assert_array_equal(select(moved, [entry]).member[0], whole[0][order])


def test_exposures_are_rounded_half_to_even():
    entry = carton("mwm_tessrgb_core", plan="0.5.0")
    h = 11 + 2.5 * np.log10(np.array([0.1, 1.0, 2.5, 3.5, 3.7]) * 15 / 60 / 0.64)
    table = {
        "h_m": h,
        "j_m": h + 0.8,
        "k_m": h - 0.1,
        "tmag": h + 1,
        "b": np.full(5, 30.0),
        "parallax": np.full(5, -1.0),
    }
    found = assign(select(table, [entry]), table)
    assert found["cadence"].tolist()[0] == "bright_1x1"
    assert found["cadence"].tolist()[-1] == "bright_1x4"
    assert set(found["instrument"].tolist()) == {"APOGEE"}


def test_priorities_follow_their_rules():
    entry = carton("mwm_halo_bb_boss", plan="0.5.1")
    table = {
        "best_brightest_version": [2, 1, 2, 1, 2, 1, 2],
        "phot_g_mean_mag": [15.0, 15.0, 16.0, 16.0, 15.0, 15.0, 16.0],
        "parallax": [0.1, 0.1, 0.1, 0.1, -1.0, 5.0, -1.0],
        "parallax_error": [0.1] * 7,
    }
    found = assign(select(table, [entry]), table)
    assert found["priority"].tolist() == [6050, 6060, 6065, 6075, 6080, 6085, 6090]


def test_combined_rows_take_the_lowest_priority_and_keep_all():
    mine = read_definitions("""
[[carton]]
name = "a"
plan = "1"
program = "p"
priority = 20
where = ["h_m < 12"]
[[carton]]
name = "b"
plan = "1"
program = "p"
priority = 10
cadence = "dark_1x1"
where = ["h_m < 11"]
[[carton]]
name = "c"
plan = "1"
program = "p"
where = ["h_m < 20"]
""")
    table = {"catalogid": [ID, ID + 1, ID + 2], "h_m": [10.0, 11.5, 13.0]}
    found = combine(assign(select(table, mine), table))
    assert found["firstcarton"].tolist() == ["b", "a", "c"]
    assert found["cartons"].tolist() == ["b a c", "a c", "c"]
    assert found["cadence"].tolist() == ["dark_1x1", "", ""]
    assert found["n_cartons"].tolist() == [3, 2, 1]
    assert np.ma.getmaskarray(found["priority"]).tolist() == [False, False, True]
    overlap = select(table, mine).overlap()
    assert overlap.tolist() == [[2, 1, 2], [1, 1, 1], [2, 1, 3]]
    with pytest.raises(CatalogError, match="nothing was selected"):
        combine(assign(select({"h_m": [30.0]}, mine), {"h_m": [30.0]}))


def test_ids_that_are_floats_are_refused():
    mine = read_definitions('[[carton]]\nname = "a"\nplan = "1"\nprogram = "p"\nwhere = ["h_m < 12"]\n')
    table = {"catalogid": [4.5e18], "h_m": [10.0]}
    with pytest.raises(CatalogError, match="loses digits"):
        assign(select(table, mine), table)


def test_circles_at_the_pole_and_at_zero():
    centers = [[0.0, 89.5, 1.49], [0.2, 0.0, 1.49]]
    ra = np.array([180.0, 180.0, 359.0, 358.6, 358.8, np.nan])
    dec = np.array([89.2, 89.0, 0.0, 0.0, 0.1, 0.0])
    assert inside_circles(ra, dec, centers).tolist() == [True, False, True, False, True, False]
    rng = np.random.default_rng(2)
    from astropy.coordinates import SkyCoord

    sky = SkyCoord(rng.uniform(0, 360, 2000), np.degrees(np.arcsin(rng.uniform(-1, 1, 2000))), unit="deg")
    center = SkyCoord(10.0, 85.0, unit="deg")
    expected = sky.separation(center).deg < 30.0
    np.testing.assert_array_equal(inside_circles(sky.ra.deg, sky.dec.deg, [[10.0, 85.0, 30.0]]), expected)
    with pytest.raises(ConfigError, match="radius"):
        inside_circles(ra, dec, [[0.0, 0.0, -1.0]])


def test_fields_of_the_user():
    entry = carton("bhm_aqmes_med", plan="0.5.0")
    table = {"qso_psfmag_i": [17.0, 17.0], "ra": [10.0, 20.0], "dec": [0.0, 0.0]}
    fields = {"aqmes_medium_fields": [[10.5, 0.5]]}
    assert select(table, [entry], fields=fields)["bhm_aqmes_med"].tolist() == [True, False]
    with pytest.raises(MissingColumnError, match="aqmes_medium_fields"):
        select(table, [entry])


def test_thinning_keeps_the_best_and_counts_the_others():
    group, order = np.array([1, 1, 2, 1]), np.array([3.0, 1.0, 9.0, 1.0])
    assert first_of_each(group, order, 1).tolist() == [False, True, True, False]
    rng = np.random.default_rng(3)
    count = 4000
    l, b, parallax = rng.uniform(0, 360, count), rng.uniform(-2, 2, count), np.full(count, 2.0)
    beside = rng.random(count) < 0.1
    kept = voxels(l, b, parallax, beside, keep=10.0)
    assert not kept[beside].any()
    np.testing.assert_array_equal(kept, voxels(l, b, parallax, beside, keep=10.0))
    x, y = np.cos(np.radians(l)) / 2, np.sin(np.radians(l)) / 2
    cube = np.floor((x + 5) * 10).astype(int) * 1000 + np.floor((y + 5) * 10).astype(int)
    together = np.bincount(np.unique(cube, return_inverse=True)[1], kept | beside)
    before = np.bincount(np.unique(cube, return_inverse=True)[1])
    crowded = before > 40  # half of the disk's thickness is one voxel, so two voxels hold 20
    assert abs(together[crowded].mean() - 20.0) < 3.0


def test_standards_are_thinned_by_pixel():
    entry = carton("ops_std_apogee", plan="0.5.0")
    rows = 8
    table = {
        "ra": np.full(rows, 100.0),
        "dec": np.full(rows, 20.0),
        "h_m": np.full(rows, 9.0),
        "j_m": 9.0 + 0.05 * np.arange(rows),
        "k_m": np.full(rows, 9.0),
        "j_msigcom": np.full(rows, 0.02),
        "h_msigcom": np.full(rows, 0.02),
        "k_msigcom": np.full(rows, 0.02),
        "rd_flg": ["222"] * rows,
        "ph_qual": ["AAA"] * rows,
        "cc_flg": ["000"] * rows,
        "gal_contam": np.zeros(rows, dtype=int),
        "prox": np.full(rows, 30.0),
        "ext_key": MaskedColumn(np.zeros(rows, dtype=int), mask=np.ones(rows, dtype=bool)),
    }
    selection = select(read_table(QTable(table)), [entry])
    assert selection.before_thinning == {"ops_std_apogee_0.5.0": 8}
    assert selection["ops_std_apogee"].tolist() == [True] * 5 + [False] * 3


def test_target_tables_in_sqlite_and_parquet(tmp_path):
    table = snc(ra=np.arange(4.0) * u.deg, dec=np.zeros(4) * u.deg)
    entries = [carton("mwm_snc_100pc_boss", plan="0.5.0")]
    members = assign(select(table, entries), table)
    tables = target_tables(table, members, entries)
    path = write_tables(tables, tmp_path / "targets.sqlite")
    with sqlite3.connect(path) as base:
        rows = base.execute(
            "SELECT t.catalogid, d.label, c.carton, m.gaia_g FROM target t "
            "JOIN carton_to_target l ON l.target_pk = t.pk "
            "JOIN carton c ON c.pk = l.carton_pk LEFT JOIN cadence d ON d.pk = l.cadence_pk "
            "JOIN magnitude m ON m.carton_to_target_pk = l.pk ORDER BY t.pk"
        ).fetchall()
    assert rows[0] == (ID, "bright_2x1", "mwm_snc_100pc_boss", 15.9)
    assert rows[1][1] is None
    assert rows[3][3] is None
    assert tables["target"]["epoch"].tolist() == [2015.5] * 4
    table["ref_epoch"] = np.full(4, 2016.0) * u.yr
    assert target_tables(table, members, entries)["target"]["epoch"].tolist() == [2016.0] * 4
    folder = write_tables(tables, tmp_path / "folder")
    assert read_table(folder / "target.parquet")["catalogid"].tolist() == [ID + k for k in range(4)]


def test_cross_match_moves_positions_to_one_epoch():
    gaia = QTable(
        {
            "ra": [10.0, 20.0] * u.deg,
            "dec": [0.0, 80.0] * u.deg,
            "pmra": [1000.0, 0.0] * u.mas / u.yr,
            "pmdec": [0.0, 0.0] * u.mas / u.yr,
        }
    )
    old = QTable({"ra": [10.0 - 15.5 / 3600.0, 50.0, 20.0] * u.deg, "dec": [0.0, 5.0, 80.0] * u.deg})
    found = cross_match({"gaia": gaia, "twomass": old}, epochs={"gaia": 2015.5, "twomass": 2015.5}, epoch=2000.0)
    assert found["row_gaia"].tolist()[:2] == [0, 1]
    assert len(found) == 3
    assert found["row_twomass"].tolist() == [0, 2, 1]
    assert len(set(found["catalogid"].tolist())) == 3
    assert found["catalogid"].dtype == np.int64
    with pytest.raises(CatalogError, match="no rows"):
        cross_match({"gaia": gaia[:0]})
