"""Tables of galaxies with photometry and redshifts: each function is one conversion from what its authors published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from starloom.errors import DatasetError

FAINTEST = 40.0  # mag: 99, 99.99 and the like are fill values

_ZCOSMOS_BANDS = ("fuv", "nuv", "u", "B", "V", "g", "r", "i", "z", "J", "K", "ic")
_MGS_COLUMNS = ("zspec", "u", "g", "r", "i", "z", *(f"color_{k}" for k in range(4)),
                "u_err", "g_err", "r_err", "i_err", "z_err", *(f"color_err_{k}" for k in range(4)))  # fmt: skip


def _frame(path: Path, columns: Mapping[str, str], **options: Any) -> dict[str, Any]:
    """The wanted columns of a CSV file under their new names."""
    import pandas as pd

    frame = pd.read_csv(path, **options)
    if lost := [name for name in columns if name not in frame.columns]:
        raise DatasetError(f"{path} lacks the columns {', '.join(lost)}")
    return {new: frame[old].to_numpy() for old, new in columns.items()}


def _measured(values: Any, low: float = 0.0, high: float = FAINTEST) -> np.ndarray[Any, np.dtype[np.float32]]:
    found = np.asarray(values, dtype=np.float32)
    return np.where((found > low) & (found < high), found, np.float32(np.nan))


def _write(columns: Mapping[str, Any], output: Path) -> None:
    from starloom.catalog.tables import write_table

    write_table(dict(columns), output)


def zcosmos_bright(files: Sequence[Path], output: Path) -> None:
    """zCOSMOS-bright with COSMOS photometry; fill values (-99, -99.9) and their errors become missing."""
    source = {band: f"{band.lower()}_photzi25" for band in _ZCOSMOS_BANDS}
    columns = {"id_zcosmos": "id_zcosmos", "id_photzi25": "id_phot", "alpha": "ra", "delta": "dec", "zpec": "zspec"}
    columns |= {"cc": "z_class", "mag_sel": "i_sel"}
    for band, name in source.items():
        columns |= {name: band, f"e{name}": f"{band}_err"}
    masks = {f"flag_mask{band.lower()}_photzi25": f"mask_{band}" for band in "BVizd"}
    table = _frame(files[0], columns | masks)
    for band in _ZCOSMOS_BANDS:
        magnitude, error = _measured(table[band], 10.0), _measured(table[f"{band}_err"], 0.0, 20.0)
        good = np.isfinite(magnitude) & np.isfinite(error)
        table[band], table[f"{band}_err"] = np.where(good, magnitude, np.nan), np.where(good, error, np.nan)
    for name in ("zspec", "z_class", "i_sel"):
        table[name] = np.asarray(table[name], dtype=np.float32)
    for name in masks.values():
        table[name] = np.where(np.isfinite(table[name]), table[name], -1).astype(np.int8)
    for name in ("id_zcosmos", "id_phot"):
        table[name] = np.asarray(table[name], dtype=np.int64)
    _write(table, output)


def vvds_wide(files: Sequence[Path], output: Path) -> None:
    """VVDS-Wide, very reliable redshifts; fill values (-99.9, -99, 99.99) become missing."""
    names = {"NUM": "num", "ID_IAU": "iau", "ALPHA": "ra", "DELTA": "dec", "Z": "zspec", "ZFLAGS": "z_flag"}
    columns = {f"ds_spectra.{old}": new for old, new in names.items()}
    for band in "UBVRI":
        columns[f"ds_cfh12k.MAG_AUTO_{band}"] = f"cfh12k_{band}"
        columns[f"ds_cfh12k.MAGERR_AUTO_{band}"] = f"cfh12k_{band}_err"
    table = _frame(files[0], columns)
    for band in "UBVRI":
        name = f"cfh12k_{band}"
        magnitude, error = _measured(table[name], 5.0), _measured(table[f"{name}_err"], 0.0, 1.1)
        good = np.isfinite(magnitude) & np.isfinite(error)
        table[name], table[f"{name}_err"] = np.where(good, magnitude, np.nan), np.where(good, error, np.nan)
    table["iau"] = table["iau"].astype(str)
    table["zspec"], table["z_flag"] = table["zspec"].astype(np.float32), table["z_flag"].astype(np.int16)
    _write(table, output)


def sdss_main_galaxies(files: Sequence[Path], output: Path) -> None:
    """SDSS main galaxies: magnitudes and errors; the file's own colors, which are differences, are left out."""
    rows = np.loadtxt(files[0], comments="#", dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != len(_MGS_COLUMNS):
        raise DatasetError(f"{files[0]} has {rows.shape[-1]} columns, and {len(_MGS_COLUMNS)} were expected")
    table = dict(zip(_MGS_COLUMNS, rows.T.astype(np.float32), strict=True))
    _write({name: values for name, values in table.items() if not name.startswith("color")}, output)


def dc2_galaxies(files: Sequence[Path], output: Path) -> None:
    """Simulated DC2 galaxies out of an HDF5 file; the band's survey suffix is left out of the names."""
    import h5py

    with h5py.File(files[0]) as opened:
        group = opened["photometry"]
        table = {"id": group["id"][:].astype(np.int64), "redshift": group["redshift"][:].astype(np.float32)}
        for band in "ugrizy":
            for kind in ("mag", "mag_err"):
                table[f"{kind}_{band}"] = group[f"{kind}_{band}_lsst"][:].astype(np.float32)
    _write(table, output)


def hubble_deep_field(files: Sequence[Path], output: Path) -> None:
    """Fluxes of the Hubble Deep Field North as EAZY's example has them."""
    with open(files[0], encoding="ascii") as stream:
        names = stream.readline().lstrip("#").split()
    rows = np.loadtxt(files[0], comments="#")
    if rows.ndim != 2 or rows.shape[1] != len(names):
        raise DatasetError(f"{files[0]} has {rows.shape[-1]} columns, and its first line names {len(names)}")
    table = dict(zip(names, rows.T, strict=True))
    table["id"] = table["id"].astype(np.int32)
    _write(table, output)
