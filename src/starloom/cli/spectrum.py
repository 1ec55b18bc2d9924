"""Command ``sdss spectrum``: what a file of spectra holds, as a table or a picture, or several files added.

Joined to a group of commands with ``group.command("spectrum")(spectrum)``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from starloom.cli.listing import print_table
from starloom.errors import ConfigError

if TYPE_CHECKING:
    from starloom.spectra.spectrum import Spectrum, SpectrumFile

SHOWN = ("redshift", "redshift_error", "class", "subclass", "radial_velocity", "ra", "dec", "mjd", "snr", "sn_median")


def spectrum(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="spec, apStar, apVisit, aspcapStar, mwmStar; .gz too.")
    ],
    name: Annotated[str, typer.Option(help="Which spectrum of the file; the coadd by default.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Write the spectrum as a table: .parquet, .fits, .ecsv, .vot or .csv.")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the spectrum into this folder, as PNG and PDF.")] = None,
    coadd: Annotated[bool, typer.Option("--coadd", help="Add the spectra of all files.")] = False,
    scale: Annotated[bool, typer.Option("--scale", help="With --coadd: bring all to one brightness before.")] = False,
) -> None:
    """Open a file of spectra: what is in it, how good it is, and the spectrum as a table or picture."""
    from starloom.catalog.tables import write_table
    from starloom.spectra import coadd as coadds
    from starloom.spectra.reading import read_spectra

    opened = [read_spectra(path) for path in files]
    chosen = [one[name] if name else one.main for one in opened]
    if coadd:
        result = coadds.coadd(chosen, scale="median" if scale else "none")
        wanted = result.spectrum
        typer.echo(f"{wanted.name}: S/N {wanted.signal_to_noise:.1f} a pixel, {_ranges(wanted)}")
        typer.echo(f"scatter over stated errors: {result.error_ratio:.2f}")
        if not result.used.all():
            unused = ", ".join(str(path) for path, used in zip(files, result.used, strict=True) if not used)
            typer.echo(f"without a usable pixel: {unused}")
    else:
        if scale:
            raise ConfigError("--scale goes with --coadd")
        if len(files) > 1 and (out is not None or picture is not None):
            raise ConfigError(
                f"{len(files)} files cannot go into one table or picture; give one, or add them with --coadd"
            )
        for one in opened:
            _describe(one)
        wanted = chosen[0]
    if out is not None:
        typer.echo(f"table: {write_table(wanted.table(), out)}")
    if picture is not None:
        typer.echo(f"picture: {_draw(wanted, opened[0], picture)}")


def _ranges(one: Spectrum) -> str:
    low, high = float(one.wavelength.min()), float(one.wavelength.max())
    return f"{len(one)} pixels from {low:.1f} to {high:.1f} A in vacuum, {one.frame}"


def _describe(file: SpectrumFile) -> None:
    typer.echo(f"{file.path}: {file.kind}, {_ranges(file.main)}")
    facts = {**file.ids, **{key: file.main.meta[key] for key in SHOWN if _known(file.main.meta.get(key))}}
    for key, value in facts.items():
        typer.echo(f"  {key:18s} {value:.9g}" if isinstance(value, float) else f"  {key:18s} {value}")
    heads = ("spectrum", "pixels", "S/N", "usable", "bits set")
    rows = []
    for one in file.spectra:
        usable, bits = 100 * one.good.mean(), _bits(file.kind, one)
        rows.append((one.name, str(len(one)), f"{one.signal_to_noise:.1f}", f"{usable:.1f} %", bits))
    print_table(heads, rows)
    for key, entry in file.tables.items():
        typer.echo(f"table {key}: {len(entry)} rows, {len(entry.colnames)} columns")
    for note in file.notes:
        typer.echo(f"note: {note}")


def _known(value: Any) -> bool:
    if value is None or value == "":
        return False
    return not (isinstance(value, float) and not math.isfinite(value))


def _bits(kind: str, one: Spectrum) -> str:
    """Names of the three bits that most pixels carry, with their share."""
    from starloom.spectra import apogee, sdss

    optical = kind == "spec" or one.bad_bits == sdss.BAD_BITS
    names = sdss.PIXEL_BITS if optical else apogee.PIXEL_BITS
    share = {name: float(((one.mask >> bit) & 1).mean()) for name, bit in names.items()}
    most = sorted((name for name in share if share[name] > 0), key=lambda name: -share[name])[:3]
    return ", ".join(f"{name} {100 * share[name]:.1f} %" for name in most) or "none"


def _draw(one: Spectrum, file: SpectrumFile, folder: Path) -> Path:
    import numpy as np

    from starloom.files import make_folder
    from starloom.report.figures import draw
    from starloom.results.figures import Band, Figure, Line, Panel

    good = one.good
    flux, error = np.where(good, one.flux, np.nan), np.where(good, one.error, np.nan)
    if not good.any():
        raise ConfigError(f"{file.path}: the spectrum {one.name!r} has no usable pixel to draw")
    order = np.argsort(one.wavelength)
    low, high = np.nanquantile(flux, [0.002, 0.998])
    room = 0.15 * (high - low)
    layers: list[Any] = [
        Band(one.wavelength[order], (flux - error)[order], (flux + error)[order], "one sigma"),
        Line(one.wavelength[order], flux[order], one.name),
    ]
    if "model" in one.columns:
        layers.append(Line(one.wavelength[order], np.asarray(one.columns["model"], float)[order], "model", "reference"))
    unit = f" [{one.unit}]" if one.unit else " over continuum"
    panel = Panel(layers, "wavelength in vacuum [A]", f"flux{unit}", y_range=(min(low - room, 0.0), high + room))
    stem = file.path.name.split(".fits")[0].replace("+", "p")
    return draw(Figure(stem, f"{file.path.name}: {one.name}", [panel], panel_size=(10.0, 4.0)), make_folder(folder))[0]
