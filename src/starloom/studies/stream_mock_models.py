"""The isochrone and the models of the study stream-mock: what its made streams are drawn from and fitted with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from starloom.results.record import InputRecord

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.streams.configuration import Photometry, Training
    from starloom.streams.membership import StreamModel

AGE, FE_H = 12.0, -1.35  # Gyr, dex: the paper's
EEP = (202, 605)  # from the zero-age main sequence to the tip of the giant branch
POINTS = 60


@dataclass(frozen=True)
class Ridge:
    """An isochrone in (g, r) from faint to bright: initial mass (Msun), absolute magnitudes (n, 2), where from."""

    mass: NDArray[np.float64]
    magnitudes: NDArray[np.float64]
    record: InputRecord


def ridge(kind: str) -> Ridge:
    """The isochrone that the mocks are made of and fitted with."""
    if kind == "made":
        from starloom.streams.mock import ISOCHRONE_DISTANCE, isochrone

        table = isochrone()
        g = np.asarray(table["mag_g"]) - 5.0 * np.log10(ISOCHRONE_DISTANCE * 100.0)
        r = g - 0.72 * np.asarray(table["color_g_i"])
        mass = np.interp(-g, [-9.4, -6.6, -4.1, 1.4], [0.4, 0.62, 0.77, 0.80])
        record = InputRecord("isochrone", "simulated", "made up: main sequence, turn-off, giant branch", len(g), "")
        return Ridge(mass, np.stack([g, r], axis=1), record)
    from starloom import datasets
    from starloom.datasets import registry
    from starloom.files import sha256
    from starloom.stellar.isochrone_grids import IsochroneGrid
    from starloom.stellar.photometry import BolometricCorrections, with_photometry

    grid, corrections = (datasets.locate(*name) for name in (("isochrone_grids", "mist"), ("bolometric_corrections",)))
    old = IsochroneGrid.open(grid.path).isochrone(AGE, FE_H)
    bands = ["ps1_g", "ps1_r"]
    found = with_photometry(old, BolometricCorrections.open(corrections.path), bands).cut(eep=EEP, finite=True)
    rising = np.concatenate([[True], np.diff(np.maximum.accumulate(found.initial_mass)) > 0])
    about = registry.get("isochrone_grids")
    record = InputRecord(
        "isochrone", "real", grid.origin, int(rising.sum()), sha256(grid.path), about.license, about.citation
    )
    return Ridge(found.initial_mass[rising], found.magnitudes(bands)[rising], record)


def photometry(
    line: Ridge, scatter: float, magnitude: tuple[float, float], color: tuple[float, float], shift: float = 0.0
) -> Photometry:
    """The population of a mock: even steps along the isochrone, weighted by its mass function m^-1/2."""
    from starloom.stellar.mass_functions import power_law
    from starloom.streams.configuration import Photometry

    arc = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line.magnitudes, axis=0).T))])
    even = np.linspace(0.0, arc[-1], POINTS)
    mass = np.interp(even, arc, line.mass)
    points = np.stack([np.interp(even, arc, band) for band in line.magnitudes.T], axis=1) + shift
    weights = power_law(0.5, line.mass[0], line.mass[-1]).interval_weights(mass)
    return Photometry(
        bands=("g_mag", "r_mag"),
        isochrone=tuple(map(tuple, points.tolist())),
        magnitude=magnitude,
        colors=(color,),
        scatter=scatter,
        errors=(0.0, 1e-6, 20.0),
        weights=tuple(weights.tolist()),
        bins=1,
    )


def _range(values: NDArray[np.float64], margin: float) -> tuple[float, float]:
    return float(values.min()) - margin, float(values.max()) + margin


def tailored_model(training: Training, table: QTable, line: Ridge | None) -> StreamModel:
    """The model of the first mock: sky, parallax, photometry if a line is given; nothing says where the stream is."""
    from starloom.streams.configuration import Coordinate, Distance
    from starloom.streams.membership import StreamModel
    from starloom.streams.tailored_mock import BACKGROUND_PHI1, BACKGROUND_PHI2, PHOTOMETRIC_SCATTER

    g, r = table["g_mag"].value, table["r_mag"].value
    return StreamModel(
        frame=None,
        phi1=BACKGROUND_PHI1,
        phi2=Coordinate(BACKGROUND_PHI2, (0.09, 2.0), scale=4.0),
        distance=Distance((13.8, 16.2), (0.01, 0.8), scale=1.0),
        parallax=_range(table["parallax"].value, 1e-4),
        photometry=None
        if line is None
        else photometry(line, PHOTOMETRIC_SCATTER, _range(g, 0.01), _range(g - r, 0.01)),
        training=training,
    )


def realistic_model(training: Training, line: Ridge) -> StreamModel:
    """The model of the second mock: sky, parallax, one proper motion and photometry, with the paper's guides."""
    from starloom.streams import spray_mock
    from starloom.streams.configuration import Component, Coordinate, Distance, Guide
    from starloom.streams.membership import StreamModel

    places = (130.0, 150.0, 159.0, 167.0)
    guides = (
        Guide("phi2", places, (36.25, 36.0, 34.75, 33.0), (0.5,)),
        Guide("pm_phi1_cosphi2", places, (-6.0, -8.0, -8.5, -8.5), (1.5,)),
    )
    start = {"phi2": 35.5, "pm_phi1_cosphi2": -8.0}
    return StreamModel(
        frame=None,
        phi1=spray_mock.PHI1,
        phi2=Coordinate(spray_mock.PHI2, (0.03, 1.0)),
        components=(Component("stream", start=start, start_fraction=0.03, guides=guides),),
        others={"pm_phi1_cosphi2": Coordinate(spray_mock.PM, (0.02, 1.0))},
        distance=Distance((13.8, 15.2), (0.01, 0.3)),
        parallax=spray_mock.PARALLAX,
        photometry=photometry(line, spray_mock.SCATTER, spray_mock.MAGNITUDE, spray_mock.COLOR, -spray_mock.BRIGHTER),
        training=training,
    )
