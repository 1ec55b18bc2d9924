import pickle

import h5py
import numpy as np
import pytest

from starloom.errors import CatalogError, ConfigError
from starloom.stellar.isochrone_grids import IsochroneGrid
from starloom.stellar.isochrones import Phase


def expect(isochrone, made, log_age, fe_h, tolerance=2e-6):
    log_mass, log_teff, logg, log_l, log_r, _ = made.star(isochrone.eep, log_age, fe_h)
    for found, wanted in (
        (np.log10(isochrone.initial_mass), log_mass),
        (np.log10(isochrone.star_mass), log_mass),
        (isochrone.log_teff, log_teff),
        (isochrone.logg, logg),
        (isochrone.log_l, log_l),
        (np.log10(isochrone.radius), log_r),
    ):
        np.testing.assert_allclose(found, wanted, atol=tolerance)


def test_a_native_isochrone_comes_back_with_all_its_points(grid_path, made):
    isochrone = IsochroneGrid.open(grid_path).isochrone(10 ** (9.8 - 9), -1.0)
    expect(isochrone, made, 9.8, -1.0)
    np.testing.assert_array_equal(isochrone.eep, made.rows(1, 1)[:, 0])
    np.testing.assert_array_equal(isochrone.phase, made.rows(1, 1)[:, 8])
    assert (isochrone.age, isochrone.fe_h, isochrone.source) == (pytest.approx(10**0.8), -1.0, "MIST")


@pytest.mark.parametrize(("log_age", "fe_h"), [(9.65, -1.0), (10.0, -0.3), (9.9, -1.7), (10.19, -0.01)])
def test_between_nodes_laws_linear_in_the_axes_are_exact(grid_path, made, log_age, fe_h):
    isochrone = IsochroneGrid.open(grid_path).isochrone(10 ** (log_age - 9), fe_h)
    expect(isochrone, made, log_age, fe_h)


def test_only_eeps_of_all_neighbors_are_given(grid_path, made):
    isochrone = IsochroneGrid.open(grid_path).isochrone(10 ** (9.9 - 9), -1.5)
    neighbors = [made.rows(i, j)[:, 0] for i in (0, 1) for j in (1, 2)]
    assert isochrone.eep[0] == max(eep[0] for eep in neighbors)
    assert isochrone.eep[-1] == min(eep[-1] for eep in neighbors)


def test_rows_left_out_inside_an_isochrone_are_bridged(tmp_path, made):
    def with_a_gap(i, j):
        rows = made.rows(i, j).copy()
        rows[10:14] = np.nan
        return rows

    grid = IsochroneGrid.open(made.write_grid(tmp_path / "gap.h5", with_a_gap))
    isochrone = grid.isochrone(10 ** (9.8 - 9), -1.0)
    assert len(isochrone) == len(made.rows(1, 1))
    expect(isochrone, made, 9.8, -1.0)


def test_rows_missing_at_the_ends_are_not_given(tmp_path, made):
    def without_ends(i, j):
        rows = made.rows(i, j).copy()
        rows[:3] = rows[-2:] = np.nan
        return rows

    grid = IsochroneGrid.open(made.write_grid(tmp_path / "ends.h5", without_ends))
    isochrone = grid.isochrone(10 ** (9.8 - 9), -1.0)
    np.testing.assert_array_equal(isochrone.eep, made.rows(1, 1)[3:-2, 0])
    expect(isochrone, made, 9.8, -1.0)


@pytest.mark.parametrize(
    ("age", "fe_h", "message"),
    [
        (1.0, -1.0, "3.162 to 15.85 Gyr, not 1.0"),
        (20.0, -1.0, "not 20.0"),
        (-1.0, -1.0, "not -1.0"),
        (np.nan, -1.0, "not nan"),
        (np.inf, -1.0, "not inf"),
        (10.0, 0.1, r"-2.00 to 0.00, not 0.1"),
        (10.0, -2.01, "nothing is extrapolated"),
        (10.0, np.nan, "not nan"),
    ],
)
def test_nothing_is_extrapolated(grid_path, age, fe_h, message):
    with pytest.raises(ConfigError, match=message):
        IsochroneGrid.open(grid_path).isochrone(age, fe_h)


def test_a_hole_in_the_grid_is_named(tmp_path, made):
    def hole(i, j):
        rows = made.rows(i, j)
        return rows[:0] if (i, j) == (1, 1) else rows[:5] if j == 2 else rows[-5:] if j == 3 else rows

    grid = IsochroneGrid.open(made.write_grid(tmp_path / "hole.h5", hole))
    with pytest.raises(ConfigError, match=r"no isochrone at \[Fe/H\] -1.00, log age 9.800"):
        grid.isochrone(10**0.8, -1.0)
    with pytest.raises(ConfigError, match="share no EEP"):
        grid.isochrone(10**1.1, 0.0)
    all_missing = made.write_grid(tmp_path / "nan.h5", lambda i, j: np.full_like(made.rows(i, j), np.nan))
    with pytest.raises(ConfigError, match="no usable row"):
        IsochroneGrid.open(all_missing).isochrone(10.0, -1.0)


def test_phases_are_translated(tmp_path, made):
    def labels(values):
        def rows(i, j):
            table = made.rows(i, j).copy()
            table[:, 8] = np.resize(values, len(table))
            return table

        return rows

    parsec = IsochroneGrid.open(
        made.write_grid(tmp_path / "p.h5", labels([0, 1, 2.02, 3, 5, 7, 8]), grid_name="PARSEC")
    )
    phases = parsec.isochrone(10**0.8, -1.0).phase
    assert phases[:7].tolist() == [-1, 0, 2, 2, 3, 4, 5]
    none = IsochroneGrid.open(made.write_grid(tmp_path / "b.h5", labels([np.nan]), grid_name="BaSTI"))
    unlabelled = none.isochrone(10**0.8, -1.0)
    assert set(unlabelled.phase) == {Phase.UNKNOWN}
    with pytest.raises(ConfigError, match="no phases"):
        unlabelled.cut(phase=[Phase.MAIN_SEQUENCE])


def test_opening_reads_no_isochrone_and_a_second_call_reads_nothing(grid_path):
    grid = IsochroneGrid.open(grid_path)
    first = grid.isochrone(10.0, -1.0)
    grid_path.unlink()
    np.testing.assert_array_equal(grid.isochrone(10.0, -1.0).log_l, first.log_l)
    with pytest.raises(CatalogError, match="cannot be read"):
        grid.isochrone(4.0, 0.0)


def test_a_grid_can_be_sent_to_another_process(grid_path):
    grid = pickle.loads(pickle.dumps(IsochroneGrid.open(grid_path)))
    assert len(grid.isochrone(10.0, -1.0)) > 10


def test_an_absent_or_foreign_file_is_refused(tmp_path):
    with pytest.raises(CatalogError, match="there is no isochrone grid at"):
        IsochroneGrid.open(tmp_path / "nothing.h5")
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(CatalogError, match="is not an isochrone grid"):
        IsochroneGrid.open(tmp_path / "text.h5")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(CatalogError, match="is not an isochrone grid"):
        IsochroneGrid.open(tmp_path / "empty.h5")


def test_a_truncated_file_is_refused(tmp_path, grid_path):
    whole = grid_path.read_bytes()
    (tmp_path / "half.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CatalogError, match="is not an isochrone grid"):
        IsochroneGrid.open(tmp_path / "half.h5")


@pytest.mark.parametrize(
    ("break_it", "error", "message"),
    [
        (lambda file: file.attrs.__setitem__("storage", "dense"), CatalogError, "storage is 'dense'"),
        (lambda file: file.attrs.__setitem__("shape", [3, 2, 4, 60, 10]), ConfigError, "has 4 axes"),
        (lambda file: file.attrs.__setitem__("columns", ["mass"] * 10), CatalogError, "lacks the columns"),
        (lambda file: file["lengths"].__setitem__(0, 999), CatalogError, "inconsistent"),
        (lambda file: file["offsets"].__setitem__(0, 59), CatalogError, "inconsistent"),
        (lambda file: file["feh_values"].__setitem__(0, 5.0), CatalogError, "does not grow"),
    ],
)
def test_an_inconsistent_file_is_refused(grid_path, break_it, error, message):
    with h5py.File(grid_path, "r+") as file:
        break_it(file)
    with pytest.raises(error, match=message):
        IsochroneGrid.open(grid_path)
