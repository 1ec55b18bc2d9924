"""The oracle of the mock stream: the membership probability of each star from the densities it was drawn from.

The selection (a polygon in proper motion, a range of color and magnitude) looks at observed values alone, so it is the
same factor in every component and cancels: P(member) = sum of n_q p_q over the members by that over all, with n_q p_q
the density of component q before the selection.
"""

from __future__ import annotations

import math

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from starloom.dynamics.stream_frames import StreamFrame
from starloom.streams import mock

Array = NDArray[np.float64]
NODES = 48
REACH = 6.0  # errors
BRIGHT, FAINT = 13.0, 21.3  # true g of the background
BLOCK = 500


def probability(field: mock.MockField, table: QTable) -> Array:
    """True probability that a star belongs to the stream or its spur, shape (rows,)."""
    density = densities(field, table)
    return (density["stream"] + density["spur"]) / sum(density.values())


def densities(field: mock.MockField, table: QTable) -> dict[str, Array]:
    """Expected stars of each component in a unit of (phi1, phi2, both proper motions, g, i) at each star, (rows,).

    A star without magnitudes has no (g, i) in it.
    """
    frame = StreamFrame.named("GD1Koposov10")
    ra, dec = table["ra"].to_value("deg"), table["dec"].to_value("deg")
    phi1, phi2 = frame.to_frame(ra, dec)
    pm_icrs = np.stack([table["pmra"].to_value("mas/yr"), table["pmdec"].to_value("mas/yr")], axis=1)
    reflex = frame.reflex(phi1, phi2, np.full(len(phi1), mock.REFLEX_DISTANCE))
    pm = np.einsum("nij,nj->ni", frame.turn(ra, dec), pm_icrs) - reflex
    g, i = table["g_mean_psf_mag"].to_value("mag"), table["i_mean_psf_mag"].to_value("mag")
    seen = np.isfinite(g)
    found = {}
    for component in mock.COMPONENTS:
        if component == "background":
            value = field.background * _background_kinematics(field, phi1, phi2, pm)
            photometry = _background_photometry(g[seen], i[seen])
        else:
            value = _stream_kinematics(field, component, phi1, phi2, pm)
            photometry = _stream_photometry(component, phi1[seen], g[seen], i[seen])
        value[seen] *= photometry
        found[component] = value
    return found


def magnitude_error(g: Array) -> Array:
    """The error that the mock gives both magnitudes of a star of true magnitude g (mag)."""
    return np.hypot(0.015, 0.05 * 10 ** (0.3 * (g - 20.5)))


def _normal(x: Array, mean: Array | float, width: Array | float) -> Array:
    return np.exp(-0.5 * ((x - mean) / width) ** 2) / (width * math.sqrt(2.0 * math.pi))


def _stream_kinematics(field: mock.MockField, component: str, phi1: Array, phi2: Array, pm: Array) -> Array:
    low, high = (-45.0, -15.0) if component == "spur" else field.phi1
    low, high = max(low, field.phi1[0]), min(high, field.phi1[1])
    per_degree = (field.spur if component == "spur" else field.stream) / (high - low)
    value = np.where((phi1 >= low) & (phi1 <= high), per_degree, 0.0)
    if component == "stream":
        center, half = field.gap
        value = np.where(np.abs(phi1 - center) > half, value, 0.1 * value)
    mean = mock.track(phi1, component)
    value = value * _normal(phi2, mean["phi2"], mean["width_phi2"])
    value = value * _normal(pm[:, 0], mean["pm_phi1_cosphi2"], mean["width_pm"])
    return value * _normal(pm[:, 1], mean["pm_phi2"], mean["width_pm"])


def _background_kinematics(field: mock.MockField, phi1: Array, phi2: Array, pm: Array) -> Array:
    inside = (phi1 >= field.phi1[0]) & (phi1 <= field.phi1[1])
    value = np.where(inside, 1.0 / (field.phi1[1] - field.phi1[0]), 0.0)
    slope = 0.06
    rise = slope * np.exp(slope * (phi2 - field.phi2[0])) / np.expm1(slope * (field.phi2[1] - field.phi2[0]))
    return value * rise * _normal(pm[:, 0], -6.5, 2.6) * _normal(pm[:, 1], -1.0, 2.4)


def _stream_photometry(component: str, phi1: Array, g: Array, i: Array) -> Array:
    """Sum over the points of the mock's population, each with its errors in both bands."""
    ridge = mock.isochrone()
    ridge_g = np.asarray(ridge["mag_g"])
    ridge_i = ridge_g - np.asarray(ridge["color_g_i"])
    share = 10.0 ** (0.18 * ridge_g) * (ridge_g < FAINT)
    share = share / share.sum()
    value = np.empty(len(g))
    for start in range(0, len(g), BLOCK):
        rows = slice(start, start + BLOCK)
        modulus = mock.track(phi1[rows], component)["distance_modulus"]
        shift = (modulus - 5.0 * np.log10(mock.ISOCHRONE_DISTANCE * 100.0))[:, None]
        error = magnitude_error(ridge_g + shift)
        points = _normal(g[rows, None], ridge_g + shift, error) * _normal(i[rows, None], ridge_i + shift, error)
        value[rows] = points @ share
    return value


def _background_photometry(g: Array, i: Array) -> Array:
    """Integral over the true g, which rises linearly from BRIGHT to FAINT, of its errors and of two populations."""
    node, weight = np.polynomial.legendre.leggauss(NODES)
    reach = REACH * magnitude_error(g)
    low, high = np.clip(g - reach, BRIGHT, FAINT), np.clip(g + reach, BRIGHT, FAINT)
    true = (low + high)[:, None] / 2.0 + (high - low)[:, None] / 2.0 * node
    error = magnitude_error(true)
    density = 2.0 * (true - BRIGHT) / (FAINT - BRIGHT) ** 2 * _normal(g[:, None], true, error)
    old = _normal(i[:, None], true - 0.55, np.hypot(0.2, error))
    young = _normal(i[:, None], true - 1.7, np.hypot(0.45, error))
    return (density * (0.6 * old + 0.4 * young)) @ weight * (high - low) / 2.0
