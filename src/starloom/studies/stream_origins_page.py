"""What the study stream-origins shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.results.figures import Band, Figure, Layer, Line, Panel, Points

if TYPE_CHECKING:
    from starloom.streams.association import Associations
    from starloom.streams.motion_integrals import MotionIntegrals
    from starloom.streams.origins import FittedStreams

Array = NDArray[np.float64]
E_LABEL, LZ_LABEL, LPERP_LABEL = "E [1e5 km2/s2]", "L_z [1e3 kpc km/s]", "L_perp [1e3 kpc km/s]"


def figures(
    fitted: FittedStreams,
    streams: MotionIntegrals,
    clusters: MotionIntegrals,
    dwarfs: MotionIntegrals | None,
    found: Associations,
    threshold: float,
    variants: Mapping[str, MotionIntegrals],
) -> list[Figure]:
    """Integrals, orbits on the sky, pericenter and apocenter, associations."""
    made = [
        _integrals(streams, clusters, dwarfs, found, threshold),
        _sky(fitted),
        _shapes(streams, clusters, variants),
        _probabilities(found, threshold),
    ]
    with_velocity = [name for name, points in fitted.points.items() if points.count("radial_velocity") > 4]
    kept = [name for name in with_velocity if name in fitted.orbits]
    return [*made, _velocities(fitted, kept[:4])] if kept else made


def _plane(objects: MotionIntegrals, x: int, y: int, scale: tuple[float, float], **more: object) -> Points:
    centers = objects.centers
    spread = np.array([s[:, :3].std(axis=0) if len(s) else np.zeros(3) for s in objects.samples])
    return Points(
        centers[:, x] / scale[0],
        centers[:, y] / scale[1],
        x_error=spread[:, x] / scale[0] if more.get("role") != "faint" else None,
        y_error=spread[:, y] / scale[1] if more.get("role") != "faint" else None,
        **more,  # type: ignore[arg-type]
    )


def _integrals(
    streams: MotionIntegrals,
    clusters: MotionIntegrals,
    dwarfs: MotionIntegrals | None,
    found: Associations,
    threshold: float,
) -> Figure:
    chosen = found.found(threshold)
    parents = clusters.take(np.unique(found.best[chosen])) if chosen.any() else None
    panels = []
    for x, y, labels, scale in (
        (1, 0, (LZ_LABEL, E_LABEL), (1e3, 1e5)),
        (1, 2, (LZ_LABEL, LPERP_LABEL), (1e3, 1e3)),
    ):
        layers: list[Layer] = [_plane(clusters, x, y, scale, label="globular clusters", role="faint")]
        if dwarfs is not None:
            layers.append(_plane(dwarfs, x, y, scale, label="dwarf galaxies", role="reference"))
        layers.append(_plane(streams, x, y, scale, label="streams", role="data"))
        if parents is not None:
            layers.append(_plane(parents, x, y, scale, label="likely parents", role="highlight"))
        ranges = []
        for k, s in ((x, scale[0]), (y, scale[1])):
            both = np.concatenate([streams.centers[:, k], clusters.centers[:, k]]) / s
            margin = 0.05 * (both.max() - both.min())
            ranges.append((float(both.min() - margin), float(np.quantile(both, 0.99) + 3 * margin)))
        panels.append(Panel(layers, *labels, x_range=ranges[0], y_range=ranges[1]))
    caption = (
        "Energy, L_z and the median of L_perp along the orbit: streams with their errors, globular clusters, dwarf "
        "galaxies. The disk turns with L_z < 0."
    )
    return Figure("integrals", caption, panels, columns=2, panel_size=(6.0, 5.0))


def _sky(fitted: FittedStreams) -> Figure:
    layers: list[Layer] = []
    for number, (name, orbit) in enumerate(fitted.orbits.items()):
        points = fitted.points[name]
        on_sky = np.isfinite(points["sky_error"])
        ra, dec = orbit.stream_frame.to_icrs(points["phi1"][on_sky], points["phi2"][on_sky])
        layers.append(Points(ra, dec, "points of the streams" if number == 0 else "", role="faint"))
    for number, (_, orbit) in enumerate(fitted.orbits.items()):
        low, high = orbit.phi1
        phi1 = np.linspace(low - 10.0, high + 10.0, 300)
        curve = orbit.curves(phi1, orbit.best[None])[0]
        ra, dec = orbit.stream_frame.to_icrs(phi1, np.nan_to_num(curve[:, 1]))
        broken = ~np.isfinite(curve[:, 1]) | (np.abs(np.diff(ra, prepend=ra[0])) > 180.0)
        layers.append(
            Line(np.where(broken, np.nan, ra), np.where(broken, np.nan, dec), "orbits" if number == 0 else "")
        )
    panel = Panel(layers, "ra [deg]", "dec [deg]", x_range=(0.0, 360.0), y_range=(-90.0, 90.0), invert_x=True)
    caption = "Points of the streams and the best orbit of each, ten degrees beyond its ends."
    return Figure("sky", caption, [panel], panel_size=(10.0, 5.0))


def _shapes(streams: MotionIntegrals, clusters: MotionIntegrals, variants: Mapping[str, MotionIntegrals]) -> Figure:
    def medians(objects: MotionIntegrals) -> tuple[Array, Array]:
        values = np.array([np.median(s[:, 3:5], axis=0) if len(s) else [np.nan, np.nan] for s in objects.samples])
        return np.log10(values[:, 0]), np.log10(values[:, 1])

    layers: list[Layer] = [Points(*medians(clusters), "globular clusters", role="faint")]
    for name, integrals in variants.items():
        layers.append(Points(*medians(integrals), f"streams, {name}", role="reference"))
    low, middle, high = np.array([np.quantile(s[:, 3:5], [0.16, 0.5, 0.84], axis=0) for s in streams.samples]).swapaxes(
        0, 1
    )
    error = 0.5 * (high - low) / middle / np.log(10.0)
    layers.append(
        Points(*medians(streams), "streams", x_error=error[:, 0], y_error=error[:, 1], role="highlight"),
    )
    diagonal = np.array([-0.5, 2.0])
    layers.append(Line(diagonal, diagonal, "circular", role="reference"))
    panel = Panel(layers, "log10 pericenter [kpc]", "log10 apocenter [kpc]", x_range=(-0.5, 1.8), y_range=(0.5, 2.2))
    caption = "Pericenter and apocenter of streams and clusters, and of the streams in a lighter and a heavier galaxy."
    return Figure("pericenter_apocenter", caption, [panel], panel_size=(7.0, 5.5))


def _probabilities(found: Associations, threshold: float) -> Figure:
    rows = np.arange(len(found.streams))
    best = found.probability[rows, found.best]
    order = np.argsort(-best)
    place = np.arange(len(order), dtype=float)
    layers: list[Layer] = [
        Points(place, best[order], "the most probable parent", role="highlight"),
        Line([-0.5, len(order) - 0.5], [threshold, threshold], "threshold", role="reference"),
    ]
    names = ", ".join(f"{k}: {found.streams[n]} - {found.parents[found.best[n]]}" for k, n in enumerate(order[:8]))
    panel = Panel(layers, "streams, in the order of probability", "P(most probable parent)", y_range=(-0.02, 1.02))
    return Figure("associations", f"Probability of the most probable parent of each stream. {names}.", [panel])


def _velocities(fitted: FittedStreams, names: list[str]) -> Figure:
    panels = []
    for name in names:
        orbit, points = fitted.orbits[name], fitted.points[name]
        known = np.isfinite(points["radial_velocity_error"])
        phi1 = np.linspace(*orbit.phi1, 100)
        low, middle, high = np.nanquantile(orbit.curves(phi1)[:, :, 5], [0.16, 0.5, 0.84], axis=0)
        observed = points["radial_velocity"][known]
        layers: list[Layer] = [
            Points(
                points["phi1"][known], observed, "stars", y_error=points["radial_velocity_error"][known], role="data"
            ),
            Band(phi1, low, high, "central 68 %"),
            Line(phi1, middle, "orbit"),
        ]
        panels.append(Panel(layers, "phi1 [deg]", "v_r [km/s]", title=name))
    caption = "Radial velocities of the stars of streams that have them, with the fitted orbit."
    return Figure("velocities", caption, panels, columns=2, panel_size=(5.5, 3.2))
