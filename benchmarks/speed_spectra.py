"""Spectra and selection functions: reading beside specutils, sampling fractions beside gaiaunlimited's rule."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from side_by_side import Comparison, cpu_seconds, table
from specutils import Spectrum as Theirs

from starloom import progress
from starloom.datasets.places import data_folders
from starloom.seeds import generator
from starloom.selection.effective_volume import effective_selection, seen_through
from starloom.selection.footprint import Fields
from starloom.selection.sampling_fractions import SamplingFractions
from starloom.selection.tracers import Tracers
from starloom.spectra.apogee import read_apstar
from starloom.spectra.sdss import read_spec
from starloom.stellar.extinction import ExponentialDust

STARS = 2_000


def section() -> tuple[str, bool]:
    """The section of the page, and whether all results agree."""
    comparisons = [*_readers(), _fractions(), _effective()]
    return f"## spectra and selection\n\n{table(comparisons)}", all(c.agrees for c in comparisons)


def _real(pattern: str) -> list[Path]:
    return [path for folder in data_folders() for path in sorted(Path(folder).glob(pattern))]


def _readers() -> list[Comparison]:
    progress.say("spectra: readers")
    found = []
    jobs = (
        ("sdss_spectra/spec-*.fits", "SDSS-III/IV spec", lambda path: read_spec(path), "spec files (lite)"),
        ("apogee_spectra/apStar*.fits.gz", "APOGEE apStar", lambda path: read_apstar(path), "apStar files, gzipped"),
    )
    for pattern, form, read, words in jobs:
        paths = _real(pattern)
        if not paths:
            progress.say(f"spectra: {pattern} is in no data folder, left out")
            continue

        def ours(paths: list[Path] = paths, read: object = read) -> list[np.ndarray]:
            return [read(path).main.flux for path in paths]  # type: ignore[operator]

        def peer(paths: list[Path] = paths, form: str = form) -> list[np.ndarray]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return [np.asarray(Theirs.read(str(path), format=form).flux.value, dtype=float) for path in paths]

        same = all(np.array_equal(a, b, equal_nan=True) for a, b in zip(ours(), peer(), strict=True))
        found.append(
            Comparison(
                name=f"open {len(paths)} {words}",
                peer="specutils",
                seconds=cpu_seconds(ours),
                peer_seconds=cpu_seconds(peer),
                difference=0.0 if same else np.nan,
                tolerance=0.0,
                unit="",
                work=len(paths),
                work_unit="files",
                note="Starloom reads all visits, exposures, masks, sky and ids as well; specutils one spectrum.",
            )
        )
    return found


def _made_survey(count: int = 495) -> SamplingFractions:
    """Fields of the size, cohorts and number of APOGEE's, at random places off the poles, none overlapping another."""
    rng = generator(1)
    l, b = (np.arange(count) * 137.50776) % 360.0, np.degrees(np.arcsin(np.linspace(-0.95, 0.95, count)))
    fields = Fields([f"{k:03d}" for k in range(count)], l, b, rng.choice([0.8, 1.49], count))
    rows = np.repeat(np.arange(count), 3)
    edges = np.tile([[7.0, 12.2], [12.2, 12.8], [12.8, 13.3]], (count, 1))
    return SamplingFractions(
        fields, rows, edges, np.tile([[0.5, 999.0]], (3 * count, 1)), rng.random(3 * count),
        rng.uniform(0.5, 1.0, 3 * count), np.tile(["short", "medium", "long"], count),
    )  # fmt: skip


def _by_star(survey: SamplingFractions, l: np.ndarray, b: np.ndarray, h: np.ndarray, jk: np.ndarray) -> np.ndarray:
    """Star by star with astropy's separations, as gaiaunlimited 0.3.3 looks its table up."""
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    centers = SkyCoord(survey.fields.l * u.deg, survey.fields.b * u.deg, frame="galactic")
    stars = SkyCoord(l * u.deg, b * u.deg, frame="galactic")
    found = np.zeros(len(l))
    for k in range(len(l)):
        inside = np.flatnonzero(stars[k].separation(centers).deg < survey.fields.radius)
        if len(inside) == 0:
            continue
        rows = np.flatnonzero(survey.field == inside[0])
        for row in rows:
            low, high = survey.magnitude[row]
            if low <= h[k] < high and survey.color[row, 0] <= jk[k] < survey.color[row, 1]:
                found[k] = survey.fraction[row] * survey.availability[row]
    return found


def _fractions() -> Comparison:
    progress.say("selection: fractions of stars")
    survey, rng = _made_survey(), generator(2)
    field = rng.integers(len(survey.fields), size=STARS)
    l = survey.fields.l[field] + rng.normal(0.0, 0.8, STARS)
    b = np.clip(survey.fields.b[field] + rng.normal(0.0, 0.8, STARS), -90.0, 90.0)
    stars = (l % 360.0, b, rng.uniform(6.5, 13.8, STARS), rng.uniform(0.3, 1.3, STARS))
    alone = np.sum(survey.fields.containing(*stars[:2]) >= 0, axis=1) < 2
    stars = tuple(part[alone] for part in stars)
    return Comparison(
        name=f"probability of {alone.sum()} stars in a survey of {len(survey.fields)} fields",
        peer="star by star, astropy",
        seconds=cpu_seconds(lambda: survey.probability(*stars)),
        peer_seconds=cpu_seconds(lambda: _by_star(survey, *stars), repeats=1),
        difference=float(np.abs(survey.probability(*stars) - _by_star(survey, *stars)).max()),
        tolerance=1e-15,
        unit="",
        work=int(alone.sum()),
        work_unit="stars",
        note="The peer is the loop of gaiaunlimited 0.3.3 (`apogee_sf`) written out; stars in one field, where its "
        "rule and the exact one are the same.",
    )


def _effective() -> Comparison:
    progress.say("selection: effective volume")
    t = np.linspace(0.0, 1.0, 1201)
    edges = np.stack([t[:-1], t[1:]], axis=1)
    tracers = Tracers(-5.0 * edges, 0.4 + 0.8 * edges, np.full(1200, 1e-6) * (1.0 + t[:-1]), 0.4)
    survey = _made_survey().only(np.arange(495) < 6)
    moduli, dust = np.linspace(7.0, 19.0, 301), ExponentialDust()
    regions = effective_selection(survey, tracers, dust, moduli, threads=1).regions
    first = regions.pixel_region == 0
    l, b = regions.pixel_l[first][:8], regions.pixel_b[first][:8]
    distance = 10.0 ** (moduli[::30] / 5.0 - 2.0)
    grid = np.broadcast_arrays(l[:, None], b[:, None], distance)

    def slow() -> np.ndarray:
        return seen_through(survey, tracers, dust, *(part.ravel() for part in grid), points=1)

    slow_cells = grid[0].size
    full = effective_selection(survey, tracers, dust, moduli, threads=1)
    cells = len(regions.pixel_l) * len(moduli)
    fine = seen_through(
        survey,
        tracers,
        dust,
        *(np.broadcast_arrays(regions.pixel_l[first], regions.pixel_b[first], distance[4])),
        points=8,
    )
    return Comparison(
        name=f"effective selection, {len(full.regions)} regions x {len(moduli)} distances ({cells} pixels x distances)",
        peer="sum over stars",
        seconds=cpu_seconds(lambda: effective_selection(survey, tracers, dust, moduli, threads=1)),
        peer_seconds=cpu_seconds(slow, repeats=2) * cells / slow_cells,
        difference=float(abs(fine.mean() - full.selection[0, 120])),
        tolerance=1e-3,
        unit="",
        work=cells,
        work_unit="cells",
        note=f"1200 segments of isochrones. The sum over stars is measured on {slow_cells} cells and scaled up.",
    )
