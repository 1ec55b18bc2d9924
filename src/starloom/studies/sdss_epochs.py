"""A section of the study sdss-targets: one quasar in 78 epochs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.results.figures import Band, Figure, Line, Panel, Points
from starloom.results.record import Bar, InputRecord, Results
from starloom.seeds import generator

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.spectra.coadd import Coadd
    from starloom.spectra.spectrum import Spectrum

Floats = NDArray[np.float64]
# rest wavelengths in vacuum, Angstrom: the continuum that reverberation studies follow, and the narrow line beside it
CONTINUUM_5100 = (5085.0, 5125.0)
OIII_LINE = (4990.0, 5026.0)
OIII_SIDES = ((4978.0, 4990.0), (5026.0, 5040.0))
QUIET = (6000.0, 7000.0)  # observed: pixels where S/N is followed
EPOCHS_FILE = ("sdss_spectra", "sdss_spectra.parquet")
EPOCHS_CITATION = "2015ApJS..216....4S Shen et al. 2015, The SDSS Reverberation Mapping Project: Technical Overview"
GROWTH = (1, 2, 4, 8, 16, 32, 64)


def add_epochs(
    results: Results,
    source: str | Path | Sequence[str | Path] | Sequence[Spectrum] | Any | None = None,
    *,
    group: str = "rm017",
    simulated: bool = False,
    seed: int | np.random.Generator = 1,
) -> None:
    """Add the epochs of one quasar: the coadd, its light, and how S/N grows with epochs.

    Parameters
    ----------
    results : gets numbers, the tables ``epochs`` and ``quasar_coadd``, and three figures.
    source : the path of a table of spectra as rows, such a table, a list of spec files, or of spectra; by default
        ``sdss_spectra/sdss_spectra.parquet`` in a data folder, and where that is not nothing is added but a warning.
    group : value of the column ``group`` of the rows that belong to the quasar, where there is that column.
    simulated : whether these spectra are made ones.
    seed : of the random orders in which epochs are added.
    """
    from starloom.files import sha256
    from starloom.spectra.coadd import coadd

    origin, digest, license_ = "spectra given to the study", "", ""
    if source is None:
        source = _kept_epochs()
        if source is None:
            results.warn(
                f"the epochs of a quasar cannot be had here: put {'/'.join(EPOCHS_FILE)} into a folder of STARLOOM_DATA"
            )
            return
        origin, license_ = f"{'/'.join(EPOCHS_FILE)} in a data folder", "SDSS data, public with acknowledgement"
        digest = sha256(source)
        results.citations.append(EPOCHS_CITATION)
    epochs = sorted(_epochs(source, group), key=_mjd)
    results.inputs.append(
        InputRecord("quasar epochs", "simulated" if simulated else "real", origin, len(epochs), digest, license_)
    )
    redshift = float(np.median([float(one.meta.get("z", one.meta.get("redshift", np.nan))) for one in epochs]))
    together = coadd(epochs, scale="median")
    light = _light(epochs, redshift)
    results.table("epochs", light, "a row an epoch: continuum at 5100 A and [O III], rest frame of the quasar")
    results.table("quasar_coadd", together.spectrum.table(), "all epochs added, each scaled to the median brightness")
    _epoch_numbers(results, epochs, together, light)
    growth = _growth(epochs, generator(seed))
    slope = float(np.polyfit(np.log10(growth["epochs"]), np.log10(growth["measured"]), 1)[0])
    results.number(
        "S/N grows with the number of epochs to the power", slope, "", bar=Bar("in", (0.4, 0.6)),
        meaning=f"S/N from the noise of the pixels at {QUIET[0]:g} to {QUIET[1]:g} A; 0.5 for independent noise",
    )  # fmt: skip
    results.figures += _epoch_figures(epochs, together, light, growth, redshift)


def _kept_epochs() -> Path | None:
    """The table of real epochs, in a data folder; no address serves it, so it is no dataset of the registry."""
    from starloom.datasets.places import data_folders

    places = [Path(folder).joinpath(*EPOCHS_FILE) for folder in data_folders()]
    return next((path for path in places if path.is_file()), None)


def _mjd(spectrum: Spectrum) -> float:
    return float(spectrum.meta.get("mjd") or np.nan)


def _epochs(source: Any, group: str) -> list[Spectrum]:
    from starloom.errors import CatalogError
    from starloom.spectra.reading import read_spectra
    from starloom.spectra.sdss import spectra_of_table
    from starloom.spectra.spectrum import Spectrum

    if isinstance(source, (list, tuple)):
        found = [one if isinstance(one, Spectrum) else read_spectra(one).main for one in source]
    else:
        found = spectra_of_table(source)
        if any("group" in one.meta for one in found):
            found = [one for one in found if one.meta.get("group") == group]
    if len(found) < 10:
        raise CatalogError(f"a light curve needs ten epochs or more, and {len(found)} belong to {group!r}")
    return found


def _light(epochs: Sequence[Spectrum], redshift: float) -> QTable:
    from astropy.table import QTable

    from starloom.spectra.light_curves import continuum, line, measured

    table = QTable({"mjd": np.array([_mjd(one) for one in epochs])})
    table["signal_to_noise"] = [one.signal_to_noise for one in epochs]
    flux, error = measured([continuum(one, CONTINUUM_5100, redshift) for one in epochs])
    lines, line_error = measured([line(one, OIII_LINE, OIII_SIDES, redshift) for one in epochs])
    table["flux_5100"], table["flux_5100_error"] = flux, error
    table["flux_oiii"], table["flux_oiii_error"] = lines, line_error
    # [O III] comes from a region so large that it cannot change in years: it carries each epoch's flux calibration
    scale = np.nanmedian(lines) / lines
    table["flux_5100_calibrated"] = flux * scale
    table["flux_5100_calibrated_error"] = np.hypot(error * scale, flux * scale * line_error / lines)
    return table


def _epoch_numbers(results: Results, epochs: Sequence[Spectrum], together: Coadd, light: QTable) -> None:
    from starloom.spectra.coadd import noise
    from starloom.spectra.light_curves import variability

    ideal = float(np.sqrt(sum(one.signal_to_noise**2 for one in epochs)))
    reached = together.spectrum.signal_to_noise
    results.number("epochs of the quasar", float(together.used.sum()), "spectra")
    results.number(
        "S/N a pixel of the coadd over that of independent epochs", reached / ideal, "", bar=Bar("in", (0.9, 1.1)),
        meaning=f"stated errors; median {reached:.0f} a pixel of 69 km/s, single epochs have "
        f"{np.median([one.signal_to_noise for one in epochs]):.0f}",
    )  # fmt: skip
    results.number(
        "scatter of the epochs over their stated errors", together.error_ratio, "",
        meaning="median pixel, each epoch scaled by one number; above 1: the shape changes, or errors are too small",
    )  # fmt: skip
    measured_noise = noise(together.spectrum)
    results.number(
        "noise between pixels of the coadd over its stated error",
        measured_noise / float(np.nanmedian(together.spectrum.error)), "",
        meaning="above 1: faint lines, sky residuals and calibration that all epochs share",
    )  # fmt: skip
    for name, words in (
        ("flux_5100", "as calibrated by the survey"),
        ("flux_5100_calibrated", "scaled to one [O III]"),
    ):
        found = variability(light[name], light[f"{name}_error"])
        results.number(
            f"variation at 5100 A, {words}", 100 * found.fractional, "%", low=100 * (found.fractional - found.error),
            high=100 * (found.fractional + found.error),
            meaning=f"F_var over {found.epochs} epochs; brightest over faintest {found.ratio:.2f}",
        )  # fmt: skip
    found = variability(light["flux_oiii"], light["flux_oiii_error"])
    results.number(
        "variation of [O III] 5008", 100 * found.fractional, "%",
        meaning="beyond the errors; the line itself is constant, so this is the spread of the flux calibration",
    )  # fmt: skip


def _growth(epochs: Sequence[Spectrum], rng: np.random.Generator, tries: int = 5) -> dict[str, Floats]:
    """S/N of coadds of more and more epochs in random orders: stated, and from the pixels' own noise."""
    from dataclasses import replace

    from starloom.spectra.coadd import coadd, noise

    sizes = [size for size in (*GROWTH, len(epochs)) if size <= len(epochs)]
    stated, measured = np.zeros((2, tries, len(sizes)))
    for attempt in range(tries):
        order = rng.permutation(len(epochs))
        for k, size in enumerate(sizes):
            chosen = [epochs[place] for place in order[:size]]
            one = chosen[0] if size == 1 else coadd(chosen, scale="median").spectrum
            inside = (one.wavelength > QUIET[0]) & (one.wavelength < QUIET[1]) & one.good
            part = replace(one, mask=np.where(inside, 0, 1), bad_bits=1)
            stated[attempt, k] = part.signal_to_noise
            measured[attempt, k] = float(np.median(one.flux[inside])) / noise(part)
    return {
        "epochs": np.array(sizes, dtype=np.float64),
        "stated": np.median(stated, axis=0),
        "measured": np.median(measured, axis=0),
        "low": measured.min(axis=0),
        "high": measured.max(axis=0),
    }


def _epoch_figures(
    epochs: Sequence[Spectrum], together: Coadd, light: QTable, growth: dict[str, Floats], redshift: float
) -> list[Figure]:
    spectrum = together.spectrum
    single = epochs[int(np.argsort([one.signal_to_noise for one in epochs])[len(epochs) // 2])]
    known = spectrum.good
    top = float(np.nanquantile(spectrum.flux[known], 0.999)) * 1.15
    unit = r"flux density [1e-17 erg / (s cm2 A)]"
    scaled = single.flux * together.scale[[one is single for one in epochs].index(True)]
    shape = [
        Line(single.wavelength, np.where(single.good, scaled, np.nan), "one epoch (median S/N)", role="reference"),
        Line(spectrum.wavelength, np.where(known, spectrum.flux, np.nan), f"coadd of {int(together.used.sum())}"),
    ]
    near = (4920.0 * (1 + redshift), 5080.0 * (1 + redshift))
    inside = (spectrum.wavelength > near[0]) & (spectrum.wavelength < near[1])
    near_top = float(np.nanmax(spectrum.flux[inside])) * 1.1
    days = light["mjd"]
    curves = [
        Points(days, light["flux_5100"], "as calibrated by the survey", y_error=light["flux_5100_error"], role="faint"),
        Points(
            days, light["flux_5100_calibrated"], "scaled to one [O III]", y_error=light["flux_5100_calibrated_error"],
            role="highlight",
        ),
    ]  # fmt: skip
    oiii = [Points(days, light["flux_oiii"], "[O III] 5008", y_error=light["flux_oiii_error"], role="data")]
    count = np.log10(growth["epochs"])
    ideal = np.log10(growth["measured"][0]) + 0.5 * count
    grows = [
        Band(count, np.log10(growth["low"]), np.log10(growth["high"]), "five random orders"),
        Line(count, np.log10(growth["measured"]), "from the noise of the pixels"),
        Line(count, np.log10(growth["stated"]), "from the stated errors"),
        Line(count, ideal, "root of the number", role="reference"),
    ]
    return [
        Figure(
            "quasar_coadd",
            f"One quasar at redshift {redshift:.3f} in {len(epochs)} spectra: all added, and one of them. Below, the "
            "region of H-beta and [O III].",
            [
                Panel(shape, "wavelength in vacuum [A]", unit, y_range=(0.0, top)),
                Panel(shape, "wavelength in vacuum [A]", unit, x_range=near, y_range=(0.0, near_top)),
            ],
        ),
        Figure(
            "quasar_light",
            "Light of the quasar at 5100 A (rest) by epoch, and the flux of [O III] 5008, which does not change and so "
            "shows the spread of the flux calibration. Scaling every epoch to one [O III] takes that out.",
            [
                Panel(curves, "MJD [days]", "flux density at 5100 A", y_range=(0.0, None)),  # type: ignore[arg-type]
                Panel(oiii, "MJD [days]", "[O III] [1e-17 erg / (s cm2)]", y_range=(0.0, None)),  # type: ignore[arg-type]
            ],
            share_x=True,
        ),
        Figure(
            "quasar_growth",
            "S/N a pixel of coadds of more and more epochs, from the errors that are stated and from the noise that "
            "the pixels show. Where they part, all epochs share something that does not average out.",
            [Panel(grows, "log10 of the number of epochs", "log10 of S/N a pixel")],
            panel_size=(6.0, 3.6),
        ),
    ]


def mock_epochs(count: int = 30, seed: int | np.random.Generator = 1) -> list[Spectrum]:
    """Made epochs of a quasar for where no real ones are: broad and narrow lines on a continuum that varies."""
    from starloom.spectra.sdss import BAD_BITS
    from starloom.spectra.spectrum import LogGrid, Spectrum

    rng = generator(seed)
    redshift, found = 0.4564, []
    walk = np.exp(np.cumsum(rng.normal(0.0, 0.06, count)))
    for k in range(count):
        grid = LogGrid(3.557 + 1e-4 * int(rng.integers(-6, 7)), 1e-4, 4500)
        rest = grid.wavelength / (1 + redshift)
        power = 8.0 * walk[k] * (rest / 5100.0) ** -1.2
        lines = 12.0 * np.exp(-0.5 * ((rest - 5008.24) / 4.0) ** 2) + 4.0 * np.exp(-0.5 * ((rest - 4960.3) / 4.0) ** 2)
        broad = 5.0 * np.exp(-0.5 * ((rest - 4862.7) / 35.0) ** 2) + 8.0 * np.exp(-0.5 * ((rest - 2800.0) / 25.0) ** 2)
        error = 0.5 * (1 + ((grid.wavelength - 6500.0) / 3500.0) ** 2)
        calibration = np.exp(rng.normal(0.0, 0.05))
        flux = (power + lines + broad) * calibration + rng.normal(0.0, 1.0, grid.count) * error
        zero = np.zeros(grid.count, dtype=np.int64)
        meta = {"mjd": 56660 + 12 * k, "z": redshift, "group": "mock"}
        found.append(
            Spectrum(grid.wavelength, flux, error**-2.0, zero, f"epoch {k}", bad_bits=BAD_BITS, grid=grid, meta=meta)
        )
    return found
