"""Published files to tables, on small files of the same layout."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from astropy.io import fits

from starloom.catalog.tables import read_table
from starloom.datasets import conversions, galpy_objects
from starloom.datasets.pandas_store import read_frame
from starloom.errors import CatalogError, DatasetError


def put_frame(path, key, columns):
    """Write a frame as pandas does: one block a type, the columns of a block side by side."""
    blocks: dict[str, list[str]] = {}
    for name, values in columns.items():
        blocks.setdefault(np.asarray(values).dtype.str, []).append(name)
    with h5py.File(path, "a") as store:
        group = store.create_group(key)
        group.attrs["pandas_type"] = np.bytes_("frame")
        group.attrs["nblocks"] = len(blocks)
        group["axis0"] = np.array(list(columns), dtype="S")
        group["axis1"] = np.arange(len(next(iter(columns.values()))))
        for number, names in enumerate(blocks.values()):
            group[f"block{number}_items"] = np.array(names, dtype="S")
            group[f"block{number}_values"] = np.stack([columns[name] for name in names], axis=1)
    return path


GALPY = """{"_collections": {"MWglobularclusters": ["NGC1"]}, "NGC1": {"ra": 1.0, "dec": 2.0, "distance": 3.0,
"pmra": 0.1, "pmdec": 0.2, "vlos": 5.0, "vlos_e": 0.5}, "Draco": {"ra": 9.0, "dec": 8.0}, "alias": "NGC1"}"""


def test_named_objects_of_galpy_become_a_table(tmp_path):
    (tmp_path / "named.json").write_text(GALPY)
    galpy_objects.named_objects([tmp_path / "named.json"], tmp_path / "out.parquet")
    table = read_table(tmp_path / "out.parquet")
    assert list(table["name"]) == ["NGC1", "Draco"]
    assert list(table["collection"]) == ["cluster", ""]
    assert table["vlos_e"][0] == 0.5
    assert np.isnan(np.asarray(table["distance"])[1])
    (tmp_path / "named.json").write_text("[]")
    with pytest.raises(DatasetError, match="named objects"):
        galpy_objects.named_objects([tmp_path / "named.json"], tmp_path / "out.parquet")


def test_a_frame_comes_back_in_its_order(tmp_path):
    columns = {
        "source_id": np.array([2**62 + 1, 7]),
        "ra": np.array([1.5, np.nan]),
        "flag": np.array([1, 2], dtype=np.int16),
        "dec": np.array([3.0, 4.0]),
    }
    frame = read_frame(put_frame(tmp_path / "a.hdf5", "stars", columns), "stars")
    assert list(frame) == list(columns)
    for name, values in columns.items():
        assert frame[name].dtype == values.dtype
        np.testing.assert_array_equal(frame[name], values)


def test_an_empty_frame(tmp_path):
    frame = read_frame(put_frame(tmp_path / "a.hdf5", "stars", {"ra": np.zeros(0)}), "stars")
    assert frame["ra"].shape == (0,)


def test_what_is_no_frame_is_refused(tmp_path):
    path = put_frame(tmp_path / "a.hdf5", "stars", {"ra": np.array([1.0])})
    with pytest.raises(DatasetError, match="has no frame 'others'; it has stars"):
        read_frame(path, "others")
    with h5py.File(path, "a") as store:
        store["stars"].attrs["pandas_type"] = np.bytes_("frame_table")
    with pytest.raises(DatasetError, match="expected a fixed-format frame, found 'frame_table'"):
        read_frame(path, "stars")


def test_pickles_are_not_read(tmp_path):
    path = put_frame(tmp_path / "a.hdf5", "stars", {"ra": np.array([1.0])})
    with h5py.File(path, "a") as store:
        del store["stars/block0_values"]
        store["stars"].create_dataset("block0_values", (1,), dtype=h5py.vlen_dtype(np.uint8))
    with pytest.raises(DatasetError, match="pickles are not read"):
        read_frame(path, "stars")


@pytest.mark.parametrize("part", ["axis0", "axis1", "block0_items", "block0_values"])
def test_a_frame_with_a_missing_part_is_refused(part, tmp_path):
    path = put_frame(tmp_path / "a.hdf5", "stars", {"ra": np.array([1.0])})
    with h5py.File(path, "a") as store:
        del store[f"stars/{part}"]
    with pytest.raises(DatasetError, match=f"a part of the frame is missing.*{part}"):
        read_frame(path, "stars")


def test_a_frame_whose_parts_disagree_is_refused(tmp_path):
    path = put_frame(tmp_path / "a.hdf5", "stars", {"ra": np.array([1.0])})
    with h5py.File(path, "a") as store:
        del store["stars/axis1"]
        store["stars/axis1"] = np.arange(2)
    with pytest.raises(DatasetError, match="do not agree"):
        read_frame(path, "stars")


def test_truncated_and_foreign_files_are_refused(tmp_path):
    path = put_frame(tmp_path / "a.hdf5", "stars", {"ra": np.arange(1000.0)})
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DatasetError, match=r"a\.hdf5 cannot be read as HDF5"):
        read_frame(path, "stars")
    path.write_bytes(b"not HDF5")
    with pytest.raises(DatasetError, match=r"a\.hdf5 cannot be read as HDF5"):
        read_frame(path, "stars")


def test_gd1_candidates_join_their_magnitudes(tmp_path):
    stars = put_frame(
        tmp_path / "candidates.hdf5",
        "candidate_df",
        {"source_id": np.array([30, 10, 20, 99, 5]), "phi1": np.arange(5.0)},
    )
    merged = put_frame(
        tmp_path / "merged.hdf5",
        "merged",
        {
            "source_id": np.array([20, 10, 10, 30]),
            "g_mean_psf_mag": np.array([1e20, 18.0, 11.0, 17.0]),
            "i_mean_psf_mag": np.array([19.5, -999.0, 11.0, 16.5]),
        },
    )
    conversions.gd1_candidates([stars, merged], tmp_path / "out.parquet")
    table = read_table(tmp_path / "out.parquet")
    assert table.colnames == ["source_id", "phi1", "g_mean_psf_mag", "i_mean_psf_mag"]
    np.testing.assert_array_equal(table["source_id"], [30, 10, 20, 99, 5])
    np.testing.assert_array_equal(table["g_mean_psf_mag"], [17.0, 18.0, np.nan, np.nan, np.nan])
    np.testing.assert_array_equal(table["i_mean_psf_mag"], [16.5, np.nan, 19.5, np.nan, np.nan])


def test_one_frame_as_it_is(tmp_path):
    path = put_frame(tmp_path / "a.hdf5", "loop_df", {"mag_loop": np.array([21.0, 20.0])})
    conversions.pandas_frame("loop_df")([path], tmp_path / "out.parquet")
    np.testing.assert_array_equal(read_table(tmp_path / "out.parquet")["mag_loop"], [21.0, 20.0])


ECSV = """# %ECSV 1.0
# ---
# datatype:
# - {{name: ra, unit: deg, datatype: float64}}
# delimiter: ','
# schema: astropy-2.0
{lines}
"""
POINT = "ra,dec,distance,pm_ra_cosdec,pm_dec,radial_velocity"


def put_track(folder, name, rows, header=POINT):
    path = folder / f"track.{name}.ecsv"
    path.write_text(ECSV.format(lines="\n".join([header, *rows])))
    return path


def test_tracks_are_thinned_and_named(tmp_path):
    long = [f"{number}.0,2.0,3.0,4.0,5.0,6.0" for number in range(1000)]
    files = [
        put_track(tmp_path, "st.GD-1.ibata2021", long),
        put_track(tmp_path, "po.20.0-1.mateu2018", ["1.0,2.0,nan,,x,999.0"]),
        put_track(tmp_path, "st.GD-1.ibata2021.summary", ["1"], header="ra"),
    ]
    (tmp_path / "README").write_text("not a track")
    conversions.galstreams_tracks([*files, tmp_path / "README"], tmp_path / "out.parquet")
    table = read_table(tmp_path / "out.parquet")
    assert len(table) == 151
    short = table[table["stream"] == "20.0-1"]
    assert list(short["reference"]) == ["mateu2018"]
    assert short["radial_velocity"][0] == 999.0
    assert np.isnan([short["distance"][0], short["pm_ra_cosdec"][0], short["pm_dec"][0]]).all()
    ra = np.asarray(table["ra"][table["stream"] == "GD-1"])
    assert (ra[0], ra[-1]) == (0.0, 999.0)
    assert set(np.diff(ra)) <= {6.0, 7.0}


@pytest.mark.parametrize(
    ("name", "rows", "header", "message"),
    [
        ("st.GD-1.ibata2021", [], POINT, "expected rows with the columns"),
        ("st.GD-1.ibata2021", ["1,2"], "ra,dec", "expected rows with the columns"),
        ("GD-1", ["1,2,3,4,5,6"], POINT, "expected a name like"),
    ],
)
def test_a_strange_track_is_named(name, rows, header, message, tmp_path):
    path = put_track(tmp_path, name, rows, header)
    with pytest.raises(DatasetError, match=message):
        conversions.galstreams_tracks([path], tmp_path / "out.parquet")


def test_summaries_keep_their_flags_as_text(tmp_path):
    header = "StreamName,StreamShortName,InfoFlags,mid.ra,width_phi2"
    files = [
        put_track(tmp_path, "st.GD-1.ibata2021.summary", ["GD-1,GD-1-I21,1110,150.5,0.2"], header),
        put_track(tmp_path, "ep.Acheron.grillmair2009.summary", ["Acheron,Ach,0000,,0.0"], header),
    ]
    conversions.galstreams_summary(files, tmp_path / "out.parquet")
    table = read_table(tmp_path / "out.parquet")
    assert list(table["InfoFlags"]) == ["0000", "1110"]
    assert list(table["file"]) == ["track.ep.Acheron.grillmair2009", "track.st.GD-1.ibata2021"]
    np.testing.assert_array_equal(table["mid.ra"], [np.nan, 150.5])


def test_archives_without_tracks_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="no track"):
        conversions.galstreams_tracks([], tmp_path / "out.parquet")
    with pytest.raises(DatasetError, match="no summary"):
        conversions.galstreams_summary([], tmp_path / "out.parquet")
    empty = put_track(tmp_path, "st.GD-1.ibata2021.summary", [], "StreamName")
    with pytest.raises(DatasetError, match="holds no row"):
        conversions.galstreams_summary([empty], tmp_path / "out.parquet")
    empty.write_text("# %ECSV 1.0\n")
    with pytest.raises(DatasetError, match="holds no column names"):
        conversions.galstreams_summary([empty], tmp_path / "out.parquet")


def put_fits(path, columns):
    made = [fits.Column(name=name, format=form, array=values) for name, (form, values) in columns.items()]
    fits.BinTableHDU.from_columns(made).writeto(path)
    return path


def test_streamfinder_velocities_that_are_none(tmp_path):
    floats = ("RAdeg", "DEdeg", "plx", "pmRA", "pmDE", "Gmag", "BP_RP")
    columns = {
        "Gaia": ("K", [2**62 + 1, 2]),
        **{name: ("D", [1.0, 2.0]) for name in floats},
        "VHel": ("D", [0.0, -55.0]),
        "e_VHel": ("D", [300.0, 2.0]),
        "r_VHel": ("K", [0, 5]),
        "Stream": ("K", [1, 2]),
        "name": ("12A", ["C-20", "GD-1   "]),
    }
    conversions.streamfinder_members([put_fits(tmp_path / "a.fits", columns)], tmp_path / "out.parquet")
    table = read_table(tmp_path / "out.parquet")
    assert table.colnames[0] == "source_id"
    assert table["source_id"][0] == 2**62 + 1
    assert list(table["stream_name"]) == ["C-20", "GD-1"]
    np.testing.assert_array_equal(table["VHel"], [np.nan, -55.0])
    np.testing.assert_array_equal(table["e_VHel"], [np.nan, 2.0])


def test_hectochelle_keeps_the_columns_used(tmp_path):
    forms = dict.fromkeys(conversions.HECTOCHELLE_COLUMNS, "D") | {"source_id": "K", "mem": "L"}
    columns = {name: (form, [1, 0]) for name, form in forms.items()} | {"xfocal": ("D", [1.0, 2.0])}
    conversions.hectochelle_catalog([put_fits(tmp_path / "a.fits", columns)], tmp_path / "out.parquet")
    table = read_table(tmp_path / "out.parquet")
    assert table.colnames == list(conversions.HECTOCHELLE_COLUMNS)
    assert len(table.colnames) == 77
    assert table["mem"].dtype == bool
    assert list(table["mem"]) == [True, False]


def test_a_fits_file_without_the_columns_is_refused(tmp_path):
    path = put_fits(tmp_path / "a.fits", {"source_id": ("K", [1])})
    with pytest.raises(CatalogError, match=r"a\.fits"):
        conversions.hectochelle_catalog([path], tmp_path / "out.parquet")
