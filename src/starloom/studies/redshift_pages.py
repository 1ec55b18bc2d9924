"""What the page of redshift-som shows: maps as pictures, redshifts, biases, plans, and the explorer of the cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from starloom.results.figures import Band, Explorer, Figure, Image, Line, Panel, Points, View

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.galaxies.self_organizing_map import FittedSOM


def map_figures(fitted: FittedSOM, cells: QTable) -> list[Figure]:
    """The map colored by redshift, spectra, galaxies and scatter."""
    grid = fitted.grid
    galaxies, spectra = np.asarray(cells["galaxies"]), np.asarray(cells["spectra"], dtype=float)
    redshift = np.asarray(cells["median_z"])
    pictures: tuple[tuple[str, Any, str, dict[str, Any]], ...] = (
        ("Median redshift of the spectra", redshift, "redshift", {}),
        ("Galaxies in a cell", np.where(galaxies > 0, galaxies, np.nan), "galaxies", {}),
        ("Spectra in a cell", np.where(galaxies > 0, spectra, np.nan), "spectra", {}),
        ("Scatter of the redshifts", np.where(spectra > 1, cells["scatter"] / (1 + redshift), np.nan), "1 + z",
         {"log": True}),
    )  # fmt: skip
    panels = []
    for title, values, label, more in pictures:
        image = Image(
            np.arange(grid.columns + 1) - 0.5, np.arange(grid.rows + 1) - 0.5, fitted.picture(values),
            color_label=label, color_range=_limits(values), **more,
        )  # fmt: skip
        panels.append(Panel([image], "column of the map", "row of the map", title))
    caption = (
        "The map of the field. Neighboring cells stand for like colors; gray cells have no galaxies, or no spectra to "
        "give a redshift. Scatter is shown where a cell has at least two spectra."
    )
    return [Figure("maps", caption, panels, columns=2, panel_size=(6.2, 4.2))]


def _limits(values: NDArray[Any]) -> tuple[float, float] | None:
    """From the lowest to nearly the highest, so that a few cells do not take all the colors."""
    finite = values[np.isfinite(values) & (values > 0)]
    if not len(finite):
        return None
    low, high = float(finite.min()), float(np.quantile(finite, 0.99))
    return (low, high) if high > low else (low, low + 1.0)


def redshift_figure(found: QTable, truth: NDArray[np.float64]) -> Figure:
    """Redshift from the map against the spectroscopic one."""
    estimate = np.asarray(found["z_map"])
    top = float(np.nanquantile(np.concatenate([estimate, truth]), 0.999)) * 1.05
    ends = np.array([0.0, top])
    color = np.asarray(found["z_map_high"] - found["z_map_low"]) / 2.0
    low, high = float(np.nanquantile(color, 0.02)), float(np.nanquantile(color, 0.95))
    points = Points(truth, estimate, color=color, color_label="half of the 68 % interval", color_range=(low, high))
    layers = [
        Band(ends, ends - 0.15 * (1 + ends), ends + 0.15 * (1 + ends), "|dz| < 0.15 (1 + z)"),
        points,
        Line(ends, ends, "equal", role="reference"),
    ]
    panel = Panel(layers, "spectroscopic redshift", "redshift from the map", x_range=(0, top), y_range=(0, top))
    caption = "Held-out galaxies of the field: redshift from the map, trained on the other spectra, against their own."
    return Figure("redshifts", caption, [panel], panel_size=(6.4, 5.4))


def bias_figure(bins: QTable, requirement: float) -> Figure:
    """Bias of the calibrated mean of each bin of simulated galaxies, where the truth is known."""
    true = np.asarray(bins["true_mean_z"])
    off, naive = ((np.asarray(bins[name]) - true) / (1 + true) for name in ("mean_z", "naive_mean_z"))
    error = np.asarray(bins["total"]) / (1 + true)
    ends = np.array([0.0, float(np.nanmax(true)) * 1.1])
    size = np.full(2, requirement)
    layers = [
        Band(ends, -size, size, f"required: {requirement:g} (1 + z)"),
        Line(ends, np.zeros(2), role="reference"),
        Points(true, naive, "spectra as they come", role="reference"),
        Points(true, off, "weighted by the map", y_error=error, role="highlight"),
    ]
    panel = Panel(layers, "true mean redshift of the bin", "bias of the mean [1 + z]", x_range=(0.0, ends[1]))
    caption = (
        "Simulated galaxies (DC2): calibrated minus true mean redshift of each tomographic bin, with its error. The "
        "spectra here are a fair sample of the galaxies, so that also their plain mean is close."
    )
    return Figure("dc2_bias", caption, [panel], panel_size=(7.0, 4.0))


def plan_figure(plans: QTable, requirement: float) -> Figure:
    """Shot noise of each bin against the number of spectra, by strategy."""
    layers = []
    for name in dict.fromkeys(np.asarray(plans["strategy"]).tolist()):
        part = plans[np.asarray(plans["strategy"]) == name]
        order = np.argsort(np.asarray(part["bin"]))
        layers.append(Line(np.asarray(part["bin"])[order], np.asarray(part["error_over_1_plus_z"])[order],
                           name.replace("_", " ")))  # fmt: skip
    count = int(np.max(plans["bin"])) + 1
    ends = np.array([-0.3, count - 0.7])
    layers.append(Line(ends, np.full(2, requirement), f"{requirement:g} (1 + z)", role="reference"))
    panel = Panel(layers, "tomographic bin", "shot noise of the mean [1 + z]", x_range=(-0.3, count - 0.7), y_log=True)
    caption = (
        "Shot noise of the mean redshift of each bin with the spectra that each strategy takes; 'existing counted' "
        "adds to the spectra that there are until the requirement is met."
    )
    return Figure("plan", caption, [panel], panel_size=(7.5, 4.0))


def explorer(fitted: FittedSOM, cells: QTable) -> Explorer:
    """Linked panels over the occupied cells: the map, its colors, redshifts; colored by spectra had over wanted."""
    part = np.asarray(cells["galaxies"]) > 0
    chosen = cells[part]
    places, middle = fitted.grid.positions()[part], fitted.in_features[part]
    wanted = np.maximum(np.asarray(chosen["wanted"], dtype=float), 1.0)
    first, last = 0, middle.shape[1] - 1
    columns = {
        "x": places[:, 0], "y": places[:, 1], "first": middle[:, first], "last": middle[:, last],
        "redshift": np.asarray(chosen["mean_z"]), "spectra": np.asarray(chosen["spectra"], dtype=float),
        "galaxies": np.asarray(chosen["galaxies"]), "wanted": np.asarray(chosen["wanted"], dtype=float),
        "cell": np.asarray(chosen["cell"]), "done": np.minimum(np.asarray(chosen["spectra"]) / wanted, 1.0),
    }  # fmt: skip
    names = fitted.features.names
    views = [
        View("x", "y", "column of the map", "row of the map", "map"),
        View("first", "last", f"{names[first]} [mag]", f"{names[last]} [mag]", "colors of the cells"),
        View("redshift", "spectra", "mean redshift of the spectra", "spectra in the cell", "spectra"),
        View("redshift", "galaxies", "mean redshift of the spectra", "galaxies in the cell", "galaxies"),
    ]
    hover = {"cell": "cell", "redshift": "mean z", "spectra": "spectra", "wanted": "wanted", "galaxies": "galaxies"}
    return Explorer(columns, "done", views, probability_label="spectra had over spectra wanted", hover=hover)
