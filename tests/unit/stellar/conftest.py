"""A small made grid and small made bolometric corrections, in the layouts of the real files.

The made laws are linear in EEP, log age and [Fe/H] (and the corrections in log Teff, log g, [Fe/H] and A_V), so that a
correct interpolation gives them back exactly, up to the single precision of the files.
"""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

FE_H = np.array([-2.0, -1.0, 0.0])
LOG_AGE = np.array([9.5, 9.8, 10.0, 10.2])
EEP = np.arange(200.0, 260.0)
COLUMNS = ["eep", "age", "initial_mass", "star_mass", "log_Teff", "log_g", "log_L", "log_R", "phase", "dm_deep"]
TEFF = np.array([3000.0, 4000.0, 5000.0, 6500.0, 9000.0])
LOGG = np.array([0.0, 2.0, 4.0, 5.5])
BC_FE_H = np.array([-2.5, -1.0, 0.5])
A_V = np.array([0.0, 0.5, 2.0])


def star(eep, log_age, fe_h):
    """The made stars: (log initial mass, log Teff, log g, log L, log R, phase)."""
    log_mass = -0.4 + 0.008 * (eep - 200) - 0.3 * (log_age - 10) + 0.02 * fe_h
    log_teff = 3.70 + 0.001 * (eep - 200) - 0.01 * (log_age - 10) - 0.02 * fe_h
    log_l = -0.8 + 0.06 * (eep - 200) + 0.1 * (log_age - 10) - 0.1 * fe_h
    log_r = 0.5 * log_l - 2 * (log_teff - np.log10(5772.0))
    logg = 4.438 + log_mass - 2 * log_r
    phase = np.where(eep < 230, 0.0, np.where(eep < 250, 2.0, 3.0))
    return log_mass, log_teff, logg, log_l, log_r, phase


def node_rows(i, j):
    """Rows of one native isochrone: it begins and ends at EEPs of its own."""
    eep = EEP[i + 2 * j : len(EEP) - j]
    log_mass, log_teff, logg, log_l, log_r, phase = star(eep, LOG_AGE[j], FE_H[i])
    full = np.full_like(eep, LOG_AGE[j])
    return np.column_stack(
        [eep, full, 10**log_mass, 10**log_mass, log_teff, logg, log_l, log_r, phase, np.zeros_like(eep)]
    )


def _first_eep(block):
    present = np.flatnonzero(np.isfinite(block[:, 0]))
    return block[present[0], 0] - present[0] if len(present) else EEP[0]


def write_grid(path, rows=node_rows, **attributes):
    blocks = [rows(i, j) for i in range(len(FE_H)) for j in range(len(LOG_AGE))]
    with h5py.File(path, "w") as file:
        file.attrs["columns"] = COLUMNS
        file.attrs["grid_name"] = "MIST"
        file.attrs["storage"] = "sparse_v1"
        file.attrs["shape"] = [len(FE_H), len(LOG_AGE), len(EEP), len(COLUMNS)]
        for name, value in attributes.items():
            file.attrs[name] = value
        file["feh_values"], file["age_values"], file["eep_values"] = FE_H, LOG_AGE, EEP
        file["lengths"] = np.array([len(block) for block in blocks], dtype=np.int32)
        starts = [_first_eep(block) - EEP[0] for block in blocks]
        file["offsets"] = np.array(starts, dtype=np.int32)
        file["values"] = np.concatenate(blocks).astype(np.float32)
    return path


def correction(teff, logg, fe_h, a_v, band):
    return -0.3 * band + np.log10(teff / 5772.0) * (1 + band) + 0.02 * logg + 0.05 * fe_h - a_v * (1.2 - 0.2 * band)


def write_corrections(path, r_v=3.1):
    groups = {"PanSTARRS": ["PS_g", "PS_r", "PS_i"], "UBVRIplus": ["Gaia_G_EDR3", "2MASS_Ks", "Gaia_G_DR2Rev"]}
    # Teff varies fastest here: the reader must not rely on an order of the rows
    logg, a_v, teff = (axis.ravel() for axis in np.meshgrid(LOGG, A_V, TEFF, indexing="ij"))
    with h5py.File(path, "w") as file:
        for group, bands in groups.items():
            data = np.stack(
                [
                    np.column_stack(
                        [teff, logg, np.full_like(teff, fe_h), a_v, np.full_like(teff, r_v)]
                        + [correction(teff, logg, fe_h, a_v, band) for band in range(len(bands))]
                    )
                    for fe_h in BC_FE_H
                ]
            )
            file[f"{group}/data"] = data.astype(np.float32)
            file[f"{group}/band_names"] = np.array(bands, dtype="S14")
            file[f"{group}/feh_values"] = BC_FE_H
    return path


@pytest.fixture(scope="session")
def made():
    """The made laws and the functions that write them."""

    class Made:
        star = staticmethod(star)
        rows: Callable = staticmethod(node_rows)
        correction = staticmethod(correction)
        write_grid = staticmethod(write_grid)
        write_corrections = staticmethod(write_corrections)
        fe_h, log_age, eep = FE_H, LOG_AGE, EEP

    return Made


@pytest.fixture
def grid_path(tmp_path) -> Path:
    return write_grid(tmp_path / "grid.h5")


@pytest.fixture
def corrections_path(tmp_path) -> Path:
    return write_corrections(tmp_path / "corrections.h5")
