"""Conversions of tables with photometric redshifts, on made files in the layout of the published ones."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from starloom.catalog.tables import read_table
from starloom.datasets import photometric_redshift_tables as tables
from starloom.errors import DatasetError


def test_zcosmos_fill_values_become_missing(tmp_path):
    bands = ("fuv", "nuv", "u", "b", "v", "g", "r", "i", "z", "j", "k", "ic")
    row = {"id_zcosmos": 700137, "zpec": 0.8792, "cc": 1.5, "alpha": 150.5, "delta": 1.9, "mag_sel": 22.3,
           "id_photzi25": 507130}  # fmt: skip
    row |= {f"{b}_photzi25": 22.0 + k for k, b in enumerate(bands)} | {f"e{b}_photzi25": 0.1 for b in bands}
    row |= {f"flag_mask{b}_photzi25": 0 for b in "bvizd"}
    second = row | {"g_photzi25": -99.9, "eg_photzi25": -99.9, "fuv_photzi25": -99, "efuv_photzi25": -99}
    second |= dict.fromkeys((f"flag_mask{b}_photzi25" for b in "bvizd"), "")
    (tmp_path / "raw.csv").write_text(
        "\n".join([",".join(row), *(",".join(str(v) for v in r.values()) for r in (row, second))]) + "\n"
    )
    tables.zcosmos_bright([tmp_path / "raw.csv"], tmp_path / "out.parquet")
    found = read_table(tmp_path / "out.parquet")
    assert found["B"].tolist() == [25.0, 25.0]
    assert np.isnan(found["g"]).tolist() == np.isnan(found["g_err"]).tolist() == [False, True]
    assert np.isnan(found["fuv"]).tolist() == [False, True]
    assert found["mask_B"].tolist() == [0, -1]
    assert found["id_phot"].dtype == np.int64
    (tmp_path / "raw.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DatasetError, match="id_zcosmos"):
        tables.zcosmos_bright([tmp_path / "raw.csv"], tmp_path / "out.parquet")


def test_sdss_errors_are_told_from_colors(tmp_path):
    magnitudes, errors = [19.6, 18.1, 17.3, 16.9, 16.6], [0.06, 0.01, 0.02, 0.03, 0.04]
    row = [0.083, *magnitudes, 1.5, 0.8, 0.4, 0.3, *errors, 0.07, 0.08, 0.09, 0.10]
    lines = "#zs u g r i z u-g g-r r-i i-z eg er ei ez eu-g eg-r er-i ei-z\n" + 2 * (" ".join(map(str, row)) + "\n")
    (tmp_path / "raw.train").write_text(lines)
    tables.sdss_main_galaxies([tmp_path / "raw.train"], tmp_path / "out.parquet")
    found = read_table(tmp_path / "out.parquet")
    assert found.colnames == ["zspec", *"ugriz", *(f"{b}_err" for b in "ugriz")]
    np.testing.assert_allclose([found[f"{b}_err"][0] for b in "ugriz"], errors, rtol=1e-6)
    (tmp_path / "raw.train").write_text("1 2 3\n4 5 6\n")
    with pytest.raises(DatasetError, match="3 columns"):
        tables.sdss_main_galaxies([tmp_path / "raw.train"], tmp_path / "out.parquet")


def test_vvds_dc2_and_the_deep_field(tmp_path):
    names = ["ds_spectra.NUM", "ds_spectra.ID_IAU", "ds_spectra.ALPHA", "ds_spectra.DELTA", "ds_spectra.Z",
             "ds_spectra.ZFLAGS"]  # fmt: skip
    values = ["100", "VVDS-J1", "151.6", "1.0", "0.5", "4"]
    for band, magnitude in zip("UBVRI", ("-99.9", "99.99", "22.1", "21.5", "21.0"), strict=True):
        names += [f"ds_cfh12k.MAG_AUTO_{band}", f"ds_cfh12k.MAGERR_AUTO_{band}"]
        values += [magnitude, magnitude if float(magnitude) < 0 or float(magnitude) > 90 else "0.02"]
    (tmp_path / "vvds.csv").write_text(",".join(names) + "\n" + ",".join(values) + "\n")
    tables.vvds_wide([tmp_path / "vvds.csv"], tmp_path / "vvds.parquet")
    found = read_table(tmp_path / "vvds.parquet")
    assert [bool(np.isnan(found[f"cfh12k_{b}"][0])) for b in "UBVRI"] == [True, True, False, False, False]
    with h5py.File(tmp_path / "dc2.hdf5", "w") as opened:
        group = opened.create_group("photometry")
        group["id"], group["redshift"] = np.arange(3), np.array([0.1, 0.2, 0.3])
        for band in "ugrizy":
            group[f"mag_{band}_lsst"], group[f"mag_err_{band}_lsst"] = np.full(3, 25.0), np.full(3, 0.1)
    tables.dc2_galaxies([tmp_path / "dc2.hdf5"], tmp_path / "dc2.parquet")
    assert read_table(tmp_path / "dc2.parquet")["mag_y"].tolist() == [25.0, 25.0, 25.0]
    (tmp_path / "deep.cat").write_text("# id f_a e_a z_spec\n# id F1 E1 z_spec\n 1 -0.5 0.1 -1.0\n 2 3.0 0.1 0.9\n")
    tables.hubble_deep_field([tmp_path / "deep.cat"], tmp_path / "deep.parquet")
    assert read_table(tmp_path / "deep.parquet")["f_a"].tolist() == [-0.5, 3.0]
