"""Bits with names, and flags in rows of bytes of any shape."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.catalog.bitmasks import ASPCAPFLAG, STARFLAG, as_unsigned, bit_set, pack_bits, packed, set_bits
from starloom.errors import CatalogError, ConfigError


@pytest.mark.parametrize("names", [STARFLAG, ASPCAPFLAG])
def test_every_named_bit_comes_back(names):
    for bit, name in names.names.items():
        assert names.decode([int(names.encode([name]))]) == [(name,)]
        assert names.bit(name) == bit
    whole = names.encode(names.names.values())
    assert set(names.decode([whole])[0]) == set(names.names.values())


def test_names_that_are_not_there():
    with pytest.raises(ConfigError, match="'LOW_SNR'"):
        STARFLAG.bit("LOW_SN")
    assert STARFLAG.decode([1 << 30]) == [("bit 30",)]
    assert STARFLAG.is_set([[4, 0], [16, 20]], "BRIGHT_NEIGHBOR", "LOW_SNR").tolist() == [[True, False], [True, True]]


def test_signed_flags_keep_their_bits():
    assert ASPCAPFLAG.decode(np.array([-(2**31)], dtype=np.int32)) == [("NO_ASPCAP_RESULT",)]
    assert int(as_unsigned(np.array([-1], dtype=">i8"))[0]) == 2**64 - 1
    with pytest.raises(CatalogError, match="integers"):
        as_unsigned([1.0])


def test_real_stars_flags_have_the_names_their_table_says():
    pandas = pytest.importorskip("pandas")
    from starloom.datasets import places

    paths = [folder / "apogee_dr17_sample" / "montalban2021_dr17.parquet" for folder in places.data_folders()]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        pytest.skip("the sample of APOGEE DR17 is not here")
    table = pandas.read_parquet(path)
    for names, flag, text in ((STARFLAG, "STARFLAG", "STARFLAGS"), (ASPCAPFLAG, "ASPCAPFLAG", "ASPCAPFLAGS")):
        known = table[text].notna() & (table[text].astype(str) != "")
        decoded = names.decode(table.loc[known, flag].to_numpy())
        assert [",".join(found) for found in decoded] == table.loc[known, text].tolist()


SHAPES = {
    "rows of bytes": np.array([[2, 128], [0, 0], [3, 0]], dtype=np.uint8),
    "wide integers": np.array([[2, 128], [0, 0], [3, 0]], dtype=np.int64),
    "big-endian": np.array([[2, 128], [0, 0], [3, 0]], dtype=">i2"),
    "signed bytes": np.array([[2, -128], [0, 0], [3, 0]], dtype=np.int8),
    "byte strings": [b"\x02\x80", b"", b"\x03"],
    "fixed byte strings": np.array([b"\x02\x80", b"", b"\x03"], dtype="S2"),
    "hexadecimal": ["0280", "", "03"],
    "mixed": [np.array([2, 128]), None, "03"],
    "masked": np.ma.MaskedArray([[2, 128], [9, 9], [3, 0]], mask=[[0, 0], [1, 1], [0, 0]], dtype=np.uint8),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_read(shape):
    flags = packed(SHAPES[shape])
    rows, bits = set_bits(flags)
    assert rows.tolist() == [0, 0, 2, 2]
    assert bits.tolist() == [1, 15, 0, 1]
    assert bit_set(flags, [0, 15]).tolist() == [True, False, True]
    assert bit_set(flags, 400).tolist() == [False, False, False]


def test_empty_and_single():
    assert packed([]).shape == (0, 0)
    assert set_bits(packed([]))[0].size == 0
    assert packed(np.array([1, 2], dtype=np.uint8)).shape == (1, 2)
    assert packed(b"\x01").tolist() == [[1]]
    assert set_bits(np.zeros((4, 9), dtype=np.uint8))[0].size == 0
    fortran = np.asfortranarray(np.array([[1, 0], [0, 2]], dtype=np.uint8))
    assert [part.tolist() for part in set_bits(fortran)] == [[0, 1], [0, 9]]


@pytest.mark.parametrize(
    ("flags", "word"),
    [(["0x"], "hexadecimal"), (np.array([[300]]), "0 to 255"), (np.array([1.5]), "rows of bytes"),
     (np.zeros((2, 2, 2), dtype=np.uint8), "shape"), ([3.5], "no row of bytes")],
)  # fmt: skip
def test_what_is_no_flag(flags, word):
    with pytest.raises(CatalogError, match=word):
        packed(flags)


def test_round_trip_of_random_flags():
    rng = np.random.default_rng(5)
    flags = rng.integers(0, 256, (200, 73), dtype=np.uint8) * (rng.random((200, 73)) < 0.1).astype(np.uint8)
    rows, bits = set_bits(flags)
    np.testing.assert_array_equal(pack_bits(rows, bits, 200, 73), flags)
    expected = np.nonzero(np.unpackbits(flags, axis=1, bitorder="little"))
    np.testing.assert_array_equal(rows, expected[0])
    np.testing.assert_array_equal(bits, expected[1])
    with pytest.raises(CatalogError, match="inside"):
        pack_bits([0], [16], 1, 2)
