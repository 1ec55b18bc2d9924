"""Target bits: all mappings, all shapes, names; the real table and the real configuration where they are here."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.catalog.tables import read_table
from starloom.datasets.access import open_table
from starloom.errors import CatalogError, ConfigError, DatasetError, MissingColumnError
from starloom.sdss.target_flags import TargetFlags, flag_version, generation_members


@pytest.fixture
def table():
    return read_table(
        {
            "flag_version": [1, 1, 2, 2, 2],
            "label": ["a_x_1", "b_y_1", "a_x_1", "b_y_1", "a_x_2"],
            "bit": [1, 9, 1, 9, 20],
            "carton_pk": [11, 12, 11, 12, 13],
            "program": ["p", "q", "p", "q", "p"],
            "version": ["1", "1", "1", "1", "2"],
            "name": ["a_x", "b_y", "a_x", "b_y", "a_x"],
            "mapper": ["mwm", "bhm", "mwm", "bhm", "mwm"],
        }
    )


def test_versions_live_side_by_side(table):
    old, new = TargetFlags.from_table(table, 1), TargetFlags.from_table(table)
    assert (len(old), len(new), old.width, new.width) == (2, 3, 2, 3)
    flags = new.encode([["a_x_2"], ["b_y"], []])
    assert new.decode(flags) == [("a_x_2",), ("b_y_1",), ()]
    assert old.decode(flags) == [("bit 20",), ("b_y_1",), ()]
    assert new.is_target(flags, carton="a_x").tolist() == [True, False, False]
    assert new.is_target(flags, program="q").tolist() == [False, True, False]
    assert new.is_target(flags, mapper="mwm", plan="1").tolist() == [False, False, False]
    assert new.is_target(b"\x02", carton="a_x_2").tolist() == [False]  # beyond a short row
    assert new.table(flags)["label"].tolist() == ["a_x_2", "b_y_1"]
    assert new.counts(flags)["rows"].tolist() == [1, 1]


def test_unknown_and_ambiguous_names(table):
    new = TargetFlags.from_table(table)
    with pytest.raises(ConfigError, match="'a_x'"):
        new.is_target(b"\x00", carton="a_xx")
    with pytest.raises(ConfigError, match="several bits"):
        new.encode([["a_x"]])
    with pytest.raises(ConfigError, match="together"):
        new.bits_of(carton="b_y", mapper="mwm")
    with pytest.raises(ConfigError, match="as a list"):
        new.encode(["a_x_1"])
    with pytest.raises(ConfigError, match="version 7"):
        TargetFlags.from_table(table, 7)
    with pytest.raises(MissingColumnError, match="mapper"):
        TargetFlags.from_table(table["flag_version", "label", "bit", "carton_pk", "program", "version", "name"])
    table["bit"][3] = 1
    with pytest.raises(CatalogError, match="distinct"):
        TargetFlags.from_table(table)


def test_empty_lists_and_header():
    assert flag_version({"SDSSC2BV": "3"}) == 3
    assert flag_version({}) is None


def test_generation_members(table):
    flags = TargetFlags.from_table(table)
    links = read_table({"generation_pk": [4, 4, 5], "carton_pk": [11, 99, 12]})
    found = generation_members(links, read_table({"pk": [4, 5], "label": ["g", "h"]}), flags, "g")
    assert np.ma.filled(np.ma.asarray(found["label"]), "").tolist() == ["a_x_1", ""]
    with pytest.raises(ConfigError, match="g, h"):
        generation_members(links, read_table({"pk": [4, 5], "label": ["g", "h"]}), flags, "x")


@pytest.fixture(scope="module")
def real():
    try:
        return open_table("sdssv_targeting", "target_bits", download=False)
    except DatasetError as error:
        pytest.skip(f"the real bits are not here: {error}")


def test_all_real_bits_of_all_versions_come_back(real):
    bits = {}
    for version, count in ((1, 453), (2, 548), (3, 563), (4, 578)):
        flags = TargetFlags.from_table(real, version)
        assert len(flags) == count
        packed = flags.encode([[label] for label in flags.labels])
        assert flags.decode(packed) == [(label,) for label in flags.labels]
        whole = flags.encode([flags.labels.tolist()])
        assert flags.decode(whole) == [tuple(flags.labels)]
        bits[version] = dict(zip(flags.labels.tolist(), flags.bits.tolist(), strict=True))
        assert all(bits[version][label] == bit for label, bit in bits[1].items())
    for label, bit in (("mwm_snc_100pc_0.1.0", 1), ("mwm_ob_core_0.5.1", 132), ("mwm_galactic_core_0.5.0", 72),
                       ("bhm_csc_boss_0.5.15", 223), ("mwm_wd_core_0.5.0", 93)):  # fmt: skip
        assert bits[4][label] == bit


def test_cartons_defined_here_have_real_bits_and_programs(real):
    from starloom.sdss.cartons import generation

    flags = TargetFlags.from_table(real, 4)
    place = {label: k for k, label in enumerate(flags.labels.tolist())}
    for entry in generation("v0.5.3"):
        k = place[entry.label]
        assert (flags.programs[k], flags.mappers[k]) == (entry.program, entry.mapper), entry.label


def test_the_real_configuration_resolves(real):
    try:
        fibers = open_table("sdssv_targeting", "fibers", download=False)
    except DatasetError as error:
        pytest.skip(f"the real configuration is not here: {error}")
    flags = TargetFlags.from_table(real, 4)
    taken = np.asarray(fibers["assigned"]) == 1
    assert taken.sum() == 500
    cartons = np.asarray(fibers["firstcarton"])[taken]
    assert np.isin(cartons, flags.names).all()
    rows = []
    for name in cartons:
        rows.append([flags.labels[np.flatnonzero(flags.names == name)[-1]]])
    decoded = flags.decode(flags.encode(rows))
    assert [found[0].rpartition("_")[0] for found in decoded] == cartons.tolist()
    ids = np.asarray(fibers["catalogid"])
    assert ids.dtype == np.int64
    assert ids.max() > 2**53
