"""The definitions: complete, as the dossier of DR18 states them at every boundary, and the same in SQLite."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from starloom.catalog.expressions import And, Compare, Name, Not, Or, children
from starloom.catalog.tables import read_table
from starloom.errors import CatalogError, ConfigError, MissingColumnError
from starloom.sdss.cartons import carton, cartons, coverage, generation, read_definitions
from starloom.sdss.columns import columns, read_parent
from starloom.sdss.targets import evaluate, select

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
import sdss_oracle

DR18_TABLE = [
    "aqmes_med",
    "aqmes_med_faint",
    "aqmes_wide2",
    "aqmes_wide2_faint",
    "aqmes_bonus_core",
    "aqmes_bonus_faint",
    "aqmes_bonus_bright",
    "rm_ancillary",
    "rm_core",
    "rm_var",
    "rm_known_spec",
    "csc_apogee",
    "csc_boss",
    "gua_bright",
    "gua_dark",
    "colr_galaxies_lsdr8",
    "spiders_agn_lsdr8",
    "spiders_agn_ps1dr2",
    "spiders_agn_gaiadr2",
    "spiders_agn_skymapperdr2",
    "spiders_agn_supercosmos",
    "spiders_agn_efeds_stragglers",
    "spiders_agn_sep",
    "spiders_clusters_lsdr8",
    "spiders_clusters_ps1dr2",
    "spiders_clusters_efeds_stragglers",
    "spiders_agn-efeds",
    "spiders_clusters-efeds-ls-redmapper",
    "spiders_clusters-efeds-sdss-redmapper",
    "spiders_clusters-efeds-hsc-redmapper",
    "spiders_clusters-efeds-erosita",
]


def members(entry, **values):
    """Whether one row is selected."""
    return entry.explain(values).selected


def test_the_black_hole_mapper_table_of_dr18_is_complete():
    defined = {entry.name for entry in cartons()}
    assert [name for name in DR18_TABLE if f"bhm_{name}" not in defined] == []
    assert len(DR18_TABLE) == 31


def test_names_plans_and_columns_are_sound():
    labels = [entry.label for entry in cartons()]
    assert len(set(labels)) == len(labels)
    assert len(generation("v0.5.3")) == 82
    used = {name for entry in cartons() for name in (*entry.columns, *entry.rule_columns)}
    assert used <= set(columns())
    for entry in cartons():
        assert entry.where
        assert entry.category == "science" or entry.mapper == "ops"


def test_sqlite_agrees_on_every_clause_and_every_carton():
    rows = sdss_oracle.random_parent(cartons(), 3000, 11)
    base = sdss_oracle.Database(rows)
    parent = read_parent(read_table(rows), list(rows))
    from starloom.catalog.expression_values import Block

    block, seen = Block(parent.raws, slice(None), 3000), 0
    for text, clause in {c.text: c for entry in cartons() for c in entry.clauses}.items():
        here = np.where(block.true(clause.node), 1, np.where(block.false(clause.node), 0, -1))
        np.testing.assert_array_equal(here, base.truth(text), err_msg=clause.short)
        seen += 1
    assert seen > 300
    for entry, row in zip(cartons(), evaluate(parent, cartons()), strict=True):
        np.testing.assert_array_equal(row, base.members(entry), err_msg=entry.label)


def boundaries(node):
    """The comparisons of a column with a number."""
    if isinstance(node, Compare):
        number = [side for side in children(node) if hasattr(side, "value") and isinstance(side.value, int | float)]
        column = [side for side in children(node) if isinstance(side, Name)]
        if number and column and children(node)[0] is column[0]:
            yield column[0].name, node.operator, float(number[0].value)
    elif isinstance(node, And | Or | Not):
        for child in children(node):
            yield from boundaries(child)


def test_every_single_boundary_is_open_or_closed_as_written():
    expected = {
        "<": (True, False, False),
        "<=": (True, True, False),
        ">": (False, False, True),
        ">=": (False, True, True),
        "=": (False, True, False),
        "<>": (True, False, True),
    }
    seen = 0
    from starloom.catalog.expression_values import Block, Raw

    for entry in cartons():
        for clause in entry.clauses:
            if not isinstance(clause.node, Compare):
                continue
            for name, operator, value in boundaries(clause.node):
                low, high = np.nextafter(value, -np.inf), np.nextafter(value, np.inf)
                block = Block({name: Raw(np.array([low, value, high, np.nan]))}, slice(None), 4)
                assert block.true(clause.node).tolist() == [*expected[operator], False], clause.text
                assert block.false(clause.node).tolist() == [*(not x for x in expected[operator]), False]
                seen += 1
    assert seen > 200


Q = {"ph_qual": "AAA", "gal_contam": 0, "cc_flg": "000", "rd_flg": "222"}


@pytest.mark.parametrize(
    ("name", "plan", "good", "changes"),
    [
        # a row that is selected, then single changes that keep (True) or lose (False) it: from the dossier, by hand
        (
            "mwm_galactic_core",
            "0.5.0",
            {"h_m": 10.9, "phot_g_mean_mag": 15.0, **Q},
            [
                ({"h_m": 11.0}, False),
                ({"phot_g_mean_mag": None}, True),
                ({"phot_g_mean_mag": 14.39}, False),
                ({"ph_qual": "ABA"}, True),
                ({"ph_qual": "ACA"}, False),
                ({"ph_qual": "CAC"}, True),
                ({"gal_contam": 1}, False),
                ({"cc_flg": "0c0"}, False),
                ({"cc_flg": "c0c"}, True),
                ({"rd_flg": "203"}, False),
                ({"rd_flg": "032"}, True),
                ({"rd_flg": "242"}, False),
                ({"h_m": None}, False),
                ({"ph_qual": None}, False),
            ],
        ),
        (
            "mwm_wd_core",
            "0.5.0",
            {"pwd": 0.51, "g_gaia_mag": 20.0},
            [({"pwd": 0.5}, False), ({"g_gaia_mag": 20.01}, False)],
        ),
        (
            "mwm_tessrgb_core",
            "0.5.0",
            {"j_m": 10.6, "k_m": 10.0, "h_m": 10.1, "tmag": 11.0, "b": 21.0, "parallax": 1.0},
            [
                ({"parallax": 0.0}, False),
                ({"parallax": -1.0}, True),
                ({"parallax": None}, False),
                ({"b": 20.0}, False),
                ({"b": -21.0}, True),
                ({"parallax": 2.0}, False),
                ({"j_m": 10.5}, False),
                ({"tmag": 13.0}, False),
            ],
        ),
        (
            "mwm_yso_disk_apogee",
            "0.5.17",
            {"h_m": 12.9, "w1mpro": 10.0, "w2mpro": 9.7, "w3mpro": 9.1, "w4mpro": 7.5, "parallax": 0.31},
            [({"parallax": 0.3}, False), ({"w4mpro": None}, False), ({"h_m": 13.0}, False), ({"w4mpro": 7.61}, False)],
        ),
        (
            "mwm_yso_embedded_apogee",
            "0.5.17",
            {
                "h_m": 12.0,
                "j_m": 13.5,
                "k_m": 11.0,
                "phot_g_mean_mag": 18.6,
                "w1mpro": 10.0,
                "w2mpro": 9.0,
                "w3mpro": 7.5,
                "w4mpro": 5.0,
            },
            [
                ({"phot_g_mean_mag": None}, True),
                ({"phot_g_mean_mag": 18.5}, False),
                ({"w4mpro": 5.7}, False),
                ({"j_m": 13.0}, False),
            ],
        ),
        (
            "mwm_yso_nebula_apogee",
            "0.5.17",
            {
                "h_m": 12.0,
                "j_m": 13.2,
                "w1mpro": 9.0,
                "w2mpro": 9.0,
                "w3mpro": None,
                "w4mpro": None,
                "b": 0.0,
                "l": 10.0,
            },
            [
                ({"b": None, "l": None}, True),
                ({"b": -5.0}, False),
                ({"b": -6.0, "l": 181.0}, True),
                ({"b": -6.0}, False),
                ({"w3mpro": 4.9, "j_m": 12.1}, True),
                ({"w4mpro": 3.0}, False),
                ({"w1mpro": None, "w2mpro": None}, False),
            ],
        ),
        (
            "mwm_snc_100pc_boss",
            "0.5.0",
            {"parallax": 10.5, "parallax_error": 0.4, "l": 90.0, "b": 60.0, "astrometric_excess_noise": 5.0},
            [
                ({"parallax_error": 0.5}, False),
                ({"b": 0.0}, False),
                ({"b": 0.0, "astrometric_excess_noise": 1.9}, True),
                ({"b": 0.0, "astrometric_excess_noise": 2.0}, False),
                ({"l": None, "b": None}, False),
                ({"parallax": None}, False),
                ({"l": 280.3, "b": -33.0}, False),
                ({"l": 303.2, "b": -44.4}, False),
            ],
        ),
        (
            "mwm_snc_250pc_boss",
            "0.5.0",
            {
                "parallax": 5.0,
                "parallax_error": 0.5,
                "l": 90.0,
                "b": 60.0,
                "phot_g_mean_mag": 12.0,
                "astrometric_excess_noise": 5.0,
            },
            [({"phot_g_mean_mag": 12.6}, False), ({"parallax_error": 1.0}, False), ({"parallax": -5.0}, False)],
        ),
        (
            "mwm_legacy_ir2opt",
            "0.5.0",
            {"in_apogee_dr16": 1, "phot_g_mean_mag": 13.0, "phot_bp_mean_mag": 13.1, "phot_rp_mean_mag": 13.1},
            [
                ({"phot_g_mean_mag": 18.0}, True),
                ({"phot_g_mean_mag": 18.01}, False),
                ({"phot_bp_mean_mag": 13.0}, False),
                ({"in_apogee_dr16": None}, False),
            ],
        ),
        (
            "bhm_gua_dark",
            "0.5.0",
            {"prob_rf": 0.8, "gua_g": 16.5, "gua_rp": 16.5, "has_good_spectrum": None},
            [
                ({"prob_rf": 0.79}, False),
                ({"gua_g": 16.49}, False),
                ({"gua_g": 21.3, "gua_rp": 20.9}, True),
                ({"gua_g": 21.2, "gua_rp": 21.0}, False),
                ({"has_good_spectrum": 1}, False),
                ({"has_good_spectrum": 0}, True),
            ],
        ),
        (
            "bhm_aqmes_bonus_core",
            "0.5.4",
            {"qso_psfmag_i": 16.0},
            [({"qso_psfmag_i": 19.1}, False), ({"qso_psfmag_i": 15.9}, False)],
        ),
        ("bhm_csc_apogee", "0.5.15", {"csc_hmag": 7.0}, [({"csc_hmag": 14.0}, False), ({"csc_hmag": None}, False)]),
        (
            "mwm_cb_300pc_boss",
            "0.5.19",
            {"r_est": 100.0, "fuv_mag": 15.0, "nuv_mag": 14.0},
            [({"fuv_mag": -999.0}, False), ({"r_est": 300.0}, False), ({"fuv_mag": None}, False)],
        ),
    ],
)
def test_rows_of_the_dossier(name, plan, good, changes):
    entry = carton(name, plan=plan)
    assert members(entry, **good)
    for change, kept in changes:
        assert members(entry, **{**good, **change}) is kept, change


def test_plans_of_one_name_differ():
    row = {
        "parallax": 0.4,
        "j_m": 8.0,
        "h_m": 7.98,
        "k_m": 8.0,
        "phot_g_mean_mag": 8.1,
        "twomass_angular_distance": 0.1,
        "ruwe": 1.0,
    }
    assert members(carton("mwm_ob_core", plan="0.5.1"), **row)
    assert not members(carton("mwm_ob_core", plan="0.5.0"), **row)  # G > 12 there
    assert carton("mwm_ob_core", plan="v0.5.3").plan == "0.5.1"
    assert [carton("mwm_yso_disk_apogee", plan=p).priority for p in ("0.5.0", "0.5.17")] == ["2700", "2705"]
    assert carton("mwm_cb_300pc_boss", plan="0.5.0").where[-1].text.count("<") == 1


def test_the_ruwe_cut_is_an_option():
    row = {
        "parallax": 0.4,
        "j_m": 8.0,
        "h_m": 7.98,
        "k_m": 8.0,
        "phot_g_mean_mag": 8.1,
        "twomass_angular_distance": 0.1,
        "ruwe": 1.4,
    }
    assert not members(carton("mwm_ob_core", plan="0.5.1"), **row)
    assert members(carton("mwm_ob_core", plan="0.5.1", ruwe_cut=False), **row)
    with pytest.raises(ConfigError, match="no option"):
        carton("mwm_ob_core", plan="0.5.1", ruwe=False)


def test_unknown_names_and_plans():
    with pytest.raises(ConfigError, match="'mwm_ob_core'"):
        carton("mwm_ob_cor", plan="0.5.1")
    with pytest.raises(ConfigError, match=r"0\.5\.1, 0\.5\.0"):
        carton("mwm_ob_core", plan="0.9.9")
    with pytest.raises(ConfigError, match="plan or generation"):
        generation("v9")


def test_explanations_name_what_failed_and_what_is_missing():
    told = carton("mwm_wd_core", plan="0.5.0").explain({"pwd": 0.2, "g_gaia_mag": float("nan")})
    assert not told.selected
    assert [(entry.verdict, entry.missing) for entry in told.failed] == [("false", ()), ("unknown", ("g_gaia_mag",))]
    assert "g_gaia_mag = missing" in str(told)
    with pytest.raises(MissingColumnError, match="g_gaia_mag"):
        carton("mwm_wd_core", plan="0.5.0").explain({"pwd": 0.2})


BROKEN = {
    "lacks where": 'name = "a"\nplan = "1"\nprogram = "p"',
    "unknown keys: prio": 'name = "a"\nplan = "1"\nprogram = "p"\nwhere = ["h_m < 1"]\nprio = 3',
    "no condition": 'name = "a"\nplan = "1"\nprogram = "p"\nwhere = ["h_m + 1"]',
    "there is no '@x'": 'name = "a"\nplan = "1"\nprogram = "p"\nwhere = ["@x"]',
    "shared expression 'y'": 'name = "a"\nplan = "1"\nprogram = "p"\nwhere = ["${y} < 1"]',
}


@pytest.mark.parametrize("message", BROKEN)
def test_broken_definitions(message):
    with pytest.raises(CatalogError, match=message.replace("$", r"\$")):
        read_definitions(f"[[carton]]\n{BROKEN[message]}\n")


def test_a_definition_with_an_unknown_column_or_a_mistake():
    with pytest.raises(ConfigError, match="'h_m'"):
        read_definitions('[[carton]]\nname = "a"\nplan = "1"\nprogram = "p"\nwhere = ["h_mm < 1"]\n')
    with pytest.raises(CatalogError, match="TOML"):
        read_definitions("[[carton]\n")


def test_coverage_counts_everything():
    table = read_table(
        {
            "carton_pk": [1, 2, 3, 4],
            "label": np.ma.MaskedArray(
                ["mwm_ob_core_0.5.1", "openfibertargets_nov2020_10_0.5.3", "bhm_spiders_agn_sep_0.5.0", ""],
                mask=[0, 0, 0, 1],
            ),
        }
    )
    found = coverage(table)
    assert found["status"].tolist() == ["done", "needs a private list", "needs a private list", "not specified"]


def test_two_versions_of_one_carton_are_not_the_same_carton_twice():
    rows = {"pwd": [0.9], "g_gaia_mag": [15.0]}
    both = [carton("mwm_wd_core", plan="0.5.0")] * 2
    with pytest.raises(CatalogError, match="twice"):
        select(rows, both)
