"""What every study of a stream shows: the same figures and the same explorer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.results.figures import Band, Explorer, Figure, Layer, Line, Panel, Points, Span, Steps, View

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.streams.fitted import FittedStream
    from starloom.streams.tracks import ReferenceTrack

PM_LABELS = ("pm_phi1 cos(phi2) [mas/yr]", "pm_phi2 [mas/yr]")
TRACK_LABELS = {
    "phi2": "phi2\n[deg]",
    "phi2_width": "width in phi2\n[deg]",
    "pm_phi1_cosphi2": "pm_phi1 cos(phi2)\n[mas/yr]",
    "pm_phi2": "pm_phi2\n[mas/yr]",
    "radial_velocity": "velocity\n[km/s]",
    "distance_modulus": "distance modulus\n[mag]",
}


def figures(
    fitted: FittedStream,
    membership: QTable,
    track: QTable,
    densities: Mapping[str, QTable],
    reference: ReferenceTrack | None,
) -> list[Figure]:
    """Sky, proper motion, color and magnitude, track and density of a fitted stream."""
    part = membership[np.asarray(membership["reason"]) == ""]
    part = part[np.argsort(np.asarray(part["p_member"]))]  # the likely members are drawn last, on top
    found = [_sky(fitted, part, track, reference)]
    if fitted.model.proper_motion is not None:
        found.append(_proper_motion(fitted, part))
    if fitted.model.photometry is not None:
        found.append(_color_magnitude(fitted, part))
    unscored = _unscored(track["phi1"].value, np.asarray(track["completeness"]))
    return [*found, _track(fitted, track, reference, unscored), _density(fitted, densities, unscored)]


def _colored(part: QTable) -> dict[str, Any]:
    return {
        "color": np.asarray(part["p_member"]),
        "color_label": "membership probability",
        "color_range": (0.0, 1.0),
    }


def _sky(fitted: FittedStream, part: QTable, track: QTable, reference: ReferenceTrack | None) -> Figure:
    phi1, phi2 = part["phi1"].value, part["phi2"].value
    likely = np.asarray(part["p_member"]) > 0.5
    labels, along = ("phi1 [deg]", "phi2 [deg]"), fitted.model.phi1
    x, mean, width = (track[name].value for name in ("phi1", "phi2", "phi2_width"))
    layers: list[Layer] = [
        Band(x, mean - width, mean + width, "stream, 1 sigma"),
        Points(phi1[likely], phi2[likely], "P > 0.5", role="data"),
    ]
    if reference is not None:
        layers.append(Line(x, reference.at(x, "phi2"), reference.name, role="reference"))
    shown = np.append(mean, phi2[likely])
    return Figure(
        "sky",
        f"Stars of the input in the stream's frame, colored by the probability of {' or '.join(fitted.names[:-1])}; "
        "below, those with P > 0.5 on the fitted stream.",
        [
            Panel([Points(phi1, phi2, **_colored(part))], *labels, x_range=along, y_range=fitted.model.phi2.window),
            Panel(layers, *labels, x_range=along, y_range=(shown.min() - 0.5, shown.max() + 0.5)),
        ],
        panel_size=(8.5, 3.0),
    )


def _proper_motion(fitted: FittedStream, part: QTable) -> Figure:
    motion = fitted.model.proper_motion
    assert motion is not None
    distance = motion.reflex_distance
    note = "" if distance is None else f", the Sun's reflex motion at {distance:g} kpc removed"
    polygon = "" if motion.system == "stream" else (
        " The selection polygon is fixed in (pmra, pmdec) and so turns from place to place."
    )  # fmt: skip
    points = Points(part["pm_phi1_cosphi2"].value, part["pm_phi2"].value, **_colored(part))
    caption = f"Proper motions in the stream's frame{note}.{polygon}"
    return Figure("proper_motion", caption, [Panel([points], *PM_LABELS)], panel_size=(6.0, 4.8))


def _color_magnitude(fitted: FittedStream, part: QTable) -> Figure:
    photometry = fitted.model.photometry
    assert photometry is not None
    first, second = _magnitudes(fitted, part)
    modulus = float(np.median(fitted.curves_at(fitted.names[0], [np.mean(fitted.model.phi1)])[0, :, -2]))
    ridge = np.asarray(photometry.isochrone)
    a, b = (name.removesuffix("_mag") for name in photometry.bands[:2])
    line = Line(ridge[:, 0] - ridge[:, 1], ridge[:, 0] + modulus, f"isochrone at {modulus:.2f} mag")
    panel = Panel(
        [Points(first - second, first, **_colored(part)), line],
        f"{a} - {b} [mag]",
        f"{a} [mag]",
        x_range=photometry.colors[0],
        y_range=photometry.magnitude,
        invert_y=True,
    )
    caption = "Color-magnitude diagram of the stars that have both bands, with the isochrone at the fitted distance."
    return Figure("color_magnitude", caption, [panel], panel_size=(5.5, 5.5))


def _track(
    fitted: FittedStream, track: QTable, reference: ReferenceTrack | None, unscored: list[tuple[float, float]]
) -> Figure:
    x, panels = track["phi1"].value, []
    for name, label in TRACK_LABELS.items():
        if name not in track.colnames:
            continue
        layers: list[Layer] = [Span(low, high, "selection keeps < 50 %, not scored") for low, high in unscored]
        layers.append(Band(x, track[f"{name}_low"].value, track[f"{name}_high"].value, "90 % (ensemble)"))
        layers.append(Line(x, track[name].value, "this fit"))
        if reference is not None and hasattr(reference, name):
            layers.append(Line(x, reference.at(x, name), reference.name, role="reference"))
        panels.append(Panel(layers, "phi1 [deg]", label, x_range=fitted.model.phi1))
    caption = "Track and width of the stream along phi1 with 90 % bands; dashed, the published track in the same frame."
    return Figure("track", caption, panels, share_x=True, panel_size=(8.5, 2.0))


def _density(fitted: FittedStream, densities: Mapping[str, QTable], unscored: list[tuple[float, float]]) -> Figure:
    layers: list[Layer] = [Span(low, high, "selection keeps < 50 %") for low, high in unscored]
    for place, (name, density) in enumerate(densities.items()):
        edges = np.append(density["phi1_low"].value, density["phi1_high"].value[-1])
        half = 0.5 * (density["density_high"].value - density["density_low"].value)
        layers.append(Steps(edges, density["density"].value, f"{name}, as observed", half if place == 0 else None))
        if place == 0:
            corrected = density["corrected_density"].value
            middle = 0.5 * (edges[1:] + edges[:-1])
            layers.append(Line(middle, corrected, f"{name}, corrected for the selection", role="reference"))
    panel = Panel(layers, "phi1 [deg]", "expected stars / deg", x_range=fitted.model.phi1)
    caption = "Linear density: expected members a degree (bars: central 90 %), raw and divided by the completeness."
    return Figure("density", caption, [panel], panel_size=(8.5, 3.5))


def _unscored(phi1: np.ndarray, completeness: np.ndarray) -> list[tuple[float, float]]:
    kept = np.flatnonzero(completeness >= 0.5)
    if len(kept) == 0:
        return [(float(phi1[0]), float(phi1[-1]))]
    ends = [(phi1[0], phi1[kept[0]]), (phi1[kept[-1]], phi1[-1])]
    return [(float(low), float(high)) for low, high in ends if high > low]


def _magnitudes(fitted: FittedStream, table: QTable) -> tuple[np.ndarray, np.ndarray]:
    from starloom.streams.schema import IN_FRAME, SCHEMA
    from starloom.streams.stars import optional

    photometry = fitted.model.photometry
    assert photometry is not None
    applied = (IN_FRAME if fitted.model.stream_frame is None else SCHEMA).apply(table)
    return optional(applied, photometry.bands[0]), optional(applied, photometry.bands[1])


def explorer(fitted: FittedStream, membership: QTable) -> Explorer:
    """Linked panels over sky, proper motion and, where there is photometry, color and magnitude."""
    part = membership[np.asarray(membership["reason"]) == ""]
    columns = {
        "phi1": part["phi1"].value,
        "phi2": part["phi2"].value,
        "p": np.asarray(part["p_member"]),
    }
    views = [View("phi1", "phi2", "phi1 [deg]", "phi2 [deg]", "sky")]
    if fitted.model.proper_motion is not None:
        columns |= {"pm1": part["pm_phi1_cosphi2"].value, "pm2": part["pm_phi2"].value}
        views.append(View("pm1", "pm2", *PM_LABELS, "proper motion"))
    hover = {"phi1": "phi1 [deg]", "phi2": "phi2 [deg]", "p": "P(member)"}
    photometry = fitted.model.photometry
    if photometry is not None:
        a, b = (name.removesuffix("_mag") for name in photometry.bands[:2])
        first, second = _magnitudes(fitted, part)
        columns |= {"color": first - second, "magnitude": first}
        labels = (f"{a} - {b} [mag]", f"{a} [mag]", "color and magnitude")
        views.append(View("color", "magnitude", *labels, invert_y=True))
        hover["magnitude"] = f"{a} [mag]"
    return Explorer(columns, "p", views, hover=hover)
