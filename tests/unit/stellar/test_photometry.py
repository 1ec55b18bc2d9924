import h5py
import numpy as np
import pytest

from starloom.errors import CatalogError, ConfigError
from starloom.stellar.isochrone_grids import IsochroneGrid
from starloom.stellar.photometry import BolometricCorrections, band_name, with_photometry


def test_linear_corrections_come_back_exactly(corrections_path, made):
    rng = np.random.default_rng(5)
    teff, logg = rng.uniform(3000, 9000, 200), rng.uniform(0, 5.5, 200)
    fe_h, a_v = rng.uniform(-2.5, 0.5, 200), rng.uniform(0, 2, 200)
    table = BolometricCorrections.open(corrections_path)
    found = table.corrections(teff, logg, fe_h, ["ps1_i", "gaia_g", "ps1_g"], a_v)
    wanted = [made.correction(teff, logg, fe_h, a_v, band) for band in (2, 0, 0)]
    np.testing.assert_allclose(found, np.stack(wanted, axis=1), atol=2e-6)


def test_the_edges_belong_to_the_table_and_outside_is_nan(corrections_path, made):
    table = BolometricCorrections.open(corrections_path)
    inside = table.corrections([3000, 9000], [0.0, 5.5], [-2.5, 0.5], ["ps1_g"], [0.0, 2.0])[:, 0]
    np.testing.assert_allclose(
        inside,
        made.correction(np.array([3000, 9000]), np.array([0, 5.5]), np.array([-2.5, 0.5]), np.array([0, 2.0]), 0),
        atol=2e-6,
    )
    teff = np.array([2999, 9001, 5000, 5000, 5000, 5000, np.nan, np.inf, -1])
    logg = np.array([4, 4, -0.1, 5.6, 4, 4, 4, 4, 4])
    fe_h = np.array([0, 0, 0, 0, 0.6, -2.6, 0, 0, 0])
    assert np.isnan(table.corrections(teff, logg, fe_h, ["ps1_g"])).all()
    assert np.isnan(table.corrections([5000], [4], [0], ["ps1_g"], [2.1])).all()
    assert table.corrections([], [], [], ["ps1_g"]).shape == (0, 1)


def test_a_missing_correction_spoils_only_its_neighbors(corrections_path):
    with h5py.File(corrections_path, "r+") as file:
        data = file["PanSTARRS/data"]
        rows = data[:]
        hole = (rows[..., 0] == 4000) & (rows[..., 1] == 4.0)
        rows[hole, 5:] = np.nan
        data[...] = rows
    found = BolometricCorrections.open(corrections_path).corrections(
        [4500, 5000, 4000, 3500], [4, 4, 2, 5], 0.0, ["ps1_g"]
    )
    assert np.isnan(found[:, 0]).tolist() == [True, False, False, True]


def test_bands_have_one_name_each(corrections_path):
    table = BolometricCorrections.open(corrections_path)
    assert table.list_bands() == ["ps1_g", "ps1_r", "ps1_i", "gaia_g", "2mass_ks", "gaia_dr2_g"]
    assert [band_name(name) for name in ("SDSS_u", "WISE_W1", "GALEX_FUV", "Bessell_V", "TESS", "PS_open")] == [
        "sdss_u",
        "wise_w1",
        "galex_fuv",
        "bessell_v",
        "tess",
        "ps1_open",
    ]
    with pytest.raises(ConfigError, match=r"unknown bands \['PS_g'\]; there are: ps1_g"):
        table.corrections([5000], [4], 0.0, ["PS_g"])
    with pytest.raises(ConfigError, match="as a list, not 'ps1_g'"):
        table.corrections([5000], [4], 0.0, "ps1_g")


def test_magnitudes_of_an_isochrone(grid_path, corrections_path, made):
    isochrone = IsochroneGrid.open(grid_path).isochrone(9.0, -1.35)
    table = BolometricCorrections.open(corrections_path)
    bright = with_photometry(isochrone, table, ["ps1_g", "ps1_r"])
    teff = 10**isochrone.log_teff
    wanted = 4.74 - 2.5 * isochrone.log_l - made.correction(teff, isochrone.logg, -1.35, 0.0, 1)
    np.testing.assert_allclose(bright.bands["ps1_r"], wanted, atol=5e-6)
    dimmed = with_photometry(isochrone, table, ["ps1_r"], a_v=1.0)
    np.testing.assert_allclose(dimmed.bands["ps1_r"] - bright.bands["ps1_r"], 1.0, atol=5e-6)
    assert (bright.a_v, dimmed.a_v) == (0.0, 1.0)
    assert list(dimmed.bands) == ["ps1_r"]
    for wrong in (-0.1, 2.1, np.nan):
        with pytest.raises(ConfigError, match="A_V must be 0 to 2 for ps1_r"):
            with_photometry(isochrone, table, ["ps1_r"], a_v=wrong)


def test_points_outside_are_nan_and_counted(grid_path, corrections_path):
    isochrone = IsochroneGrid.open(grid_path).isochrone(9.0, -1.35)
    with h5py.File(corrections_path, "r+") as file:
        rows = file["PanSTARRS/data"][:]
        rows[..., 1] = rows[..., 1] + np.float32(2.0)  # the table now begins at log g = 2
        file["PanSTARRS/data"][...] = rows
    found = with_photometry(isochrone, BolometricCorrections.open(corrections_path), ["ps1_g"])
    outside = isochrone.logg < 2.0
    assert 0 < outside.sum() < len(isochrone)
    np.testing.assert_array_equal(np.isnan(found.bands["ps1_g"]), outside)
    assert found.without_photometry() == outside.sum()
    assert len(found.cut(finite=True)) == (~outside).sum()


def test_bad_files_are_refused(tmp_path, corrections_path, made):
    with pytest.raises(CatalogError, match="there is no table"):
        BolometricCorrections.open(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(CatalogError, match="is not a table of bolometric corrections"):
        BolometricCorrections.open(tmp_path / "text.h5")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(CatalogError, match="holds no bolometric corrections"):
        BolometricCorrections.open(tmp_path / "empty.h5")
    other = BolometricCorrections.open(made.write_corrections(tmp_path / "rv.h5", r_v=4.0))
    with pytest.raises(CatalogError, match=r"not for R_V = 3.1"):
        other.corrections([5000], [4], 0.0, ["ps1_g"])
    with h5py.File(corrections_path, "r+") as file:
        file["PanSTARRS/data"][0, 0, 0] = 1234.0
    with pytest.raises(CatalogError, match="not a regular grid"):
        BolometricCorrections.open(corrections_path).corrections([5000], [4], 0.0, ["ps1_g"])
