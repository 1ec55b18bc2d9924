"""Figures and tables of the study star-foundation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from starloom.results.figures import Band, Figure, Layer, Line, Panel, Points, Span, Steps
from starloom.spectra.xp import SAMPLED_NM, g_flux

if TYPE_CHECKING:
    from starloom.stars.evaluation import Scored
    from starloom.studies.star_scene import Scene

Floats = NDArray[np.float64]
AXES = {
    "teff": "effective temperature [K]",
    "logg": "log g [dex(cgs)]",
    "fe_h": "[Fe/H] [dex]",
    "alpha_m": "[alpha/M] [dex]",
    "a_k": "A_K [mag]",
}
WAVELENGTH = "wavelength [nm]"


def answer_table(scene: Scene, full: Scored) -> QTable:
    """Truth, answer and error of each label of each test star."""
    words, places = scene.model.vocabulary, scene.model.vocabulary.places(list(full.answers.names))
    mean = words.restore(full.answers.mean, places)
    error = words.restore_errors(full.answers.mean, full.answers.sigma, places)
    from starloom.stars.evaluation import complete

    rows = complete(scene.test, scene.model, (*scene.labels, *scene.colors))
    table = QTable({"source_id": np.asarray(scene.stars["source_id"])[rows]})
    for k, name in enumerate(full.answers.names):
        table[name], table[f"predicted_{name}"] = full.truth[:, k], mean[:, k]
        table[f"predicted_{name}_error"] = error[:, k]
    return table


def figures(
    scene: Scene, full: Scored, forward: Scored, arms: Mapping[str, Floats], shares: Mapping[str, Floats],
    extinction: Figure,
) -> list[Figure]:  # fmt: skip
    """All figures, in the order of the page; that of extinction has numbers of its own and is made before."""
    table = answer_table(scene, full)
    made = [_labels(table, full), _kiel(table), _calibration(full), _arms(scene, arms), _inpainted(scene, arms)]
    made += [_series(scene), _forward(scene, forward), extinction, _locus(scene), _attention(scene)]
    if shares:
        made.append(_domain(shares))
    return made


def _labels(table: QTable, full: Scored) -> Figure:
    panels = []
    for name in full.answers.names:
        x, y = np.asarray(table[name]), np.asarray(table[f"predicted_{name}"])
        low, high = np.nanpercentile(x, [0.3, 99.7])
        both = [low, high]
        panels.append(
            Panel(
                [Points(x, y, role="data"), Line(both, both, "equal", role="reference")],
                f"APOGEE: {AXES[name]}",
                f"model: {AXES[name]}",
                x_range=(low, high),
                y_range=(low, high),
            )
        )
    return Figure(
        "labels",
        "Labels of the test stars from their spectra and colors against APOGEE's; the axes hold the central 99.4 %.",
        panels,
        columns=2,
        panel_size=(4.6, 4.2),
    )


def _kiel(table: QTable) -> Figure:
    panels = []
    for title, start in (("APOGEE", ""), ("model, from spectra and colors", "predicted_")):
        teff, logg, fe_h = (np.asarray(table[f"{start}{name}"]) for name in ("teff", "logg", "fe_h"))
        panels.append(
            Panel(
                [Points(teff, logg, color=fe_h, color_label="[Fe/H] [dex]", color_range=(-1.5, 0.4))],
                AXES["teff"],
                AXES["logg"],
                title=title,
                x_range=(3000.0, 7500.0),
                y_range=(-0.5, 5.3),
                invert_x=True,
                invert_y=True,
            )
        )
    return Figure(
        "kiel",
        "Kiel diagram of the test stars, colored by [Fe/H]: APOGEE's labels, and the model's.",
        panels,
        columns=2,
        panel_size=(5.0, 4.4),
    )


def _calibration(full: Scored) -> Figure:
    from scipy.special import ndtr

    edges = np.linspace(0.0, 1.0, 21)
    panels = []
    for k, name in enumerate(full.answers.names):
        z = full.z[np.isfinite(full.z[:, k]), k]
        share = np.histogram(ndtr(z), bins=edges)[0] / max(len(z), 1) * 20
        panels.append(
            Panel(
                [Steps(edges, share, "test stars"), Line([0, 1], [1, 1], "calibrated", role="reference")],
                f"PIT of {name}",
                "density",
                y_range=(0.0, 2.2),
            )
        )
    return Figure(
        "calibration",
        "Probability integral transform of each label under the model's normal, widened by the "
        "error of the label: flat where the stated errors hold.",
        panels,
        columns=2,
        panel_size=(4.6, 2.6),
    )


def _chosen(scene: Scene) -> list[int]:
    """Four test stars of ordinary signal to noise, from cool to hot."""
    teff = np.asarray(scene.stars["teff"].value, dtype=float)
    flux, error = (np.asarray(scene.stars[n].value, dtype=float) for n in ("flux", "flux_error"))
    noise = np.median(error / np.median(flux, axis=1, keepdims=True), axis=1)
    good = np.flatnonzero(noise < np.median(noise))
    return [int(good[np.argmin(np.abs(teff[good] - want))]) for want in (3900.0, 4800.0, 5800.0, 6500.0)]


def _arms(scene: Scene, arms: Mapping[str, Floats]) -> Figure:
    panels = []
    for row in _chosen(scene):
        level = arms["level"][row, 0]
        red, blue = SAMPLED_NM >= 643.0, SAMPLED_NM <= 635.0
        layers: list[Layer] = [
            Line(SAMPLED_NM[red], arms["rp"][row, red] / level, "RP from BP"),
            Line(SAMPLED_NM[blue], arms["bp"][row, blue] / level, "BP from RP"),
            Line(SAMPLED_NM, arms["flux"][row] / level, "observed", role="reference"),
        ]
        title = f"Teff {float(scene.stars['teff'][row].value):.0f} K, [Fe/H] {float(scene.stars['fe_h'][row]):.2f}"
        panels.append(Panel(layers, WAVELENGTH, "flux / median", title=title, x_range=(380.0, 1000.0)))
    return Figure(
        "arms",
        "One arm made from the other alone, for four test stars of good signal to noise, over the observed spectrum.",
        panels,
        columns=2,
        panel_size=(5.6, 3.0),
    )


def _inpainted(scene: Scene, arms: Mapping[str, Floats]) -> Figure:
    panels = []
    for row in _chosen(scene)[1:3]:
        level = arms["level"][row, 0]
        value, error = arms["inpainted"][row] / level, arms["inpainted_error"][row] / level
        panels.append(
            Panel(
                [
                    Band(SAMPLED_NM, value - error, value + error, "model, 1 sigma"),
                    Line(SAMPLED_NM, value, "model"),
                    Line(SAMPLED_NM, arms["flux"][row] / level, "observed", role="reference"),
                ],
                WAVELENGTH,
                "flux / median",
                x_range=(380.0, 1000.0),
            )
        )
    return Figure(
        "inpainting",
        "Spectra of two test stars with every second coefficient withheld and filled in. The band "
        "takes the coefficients as independent, which they are not.",
        panels,
        columns=2,
        panel_size=(5.6, 3.0),
    )


def _series(scene: Scene) -> Figure:
    """Spectra along metallicity and temperature, with real stars of those labels."""
    flux = (
        np.asarray(scene.stars["flux"].value, dtype=float)
        / g_flux(np.asarray(scene.stars["phot_g_mean_mag"].value))[:, None]
    )
    real = {name: np.asarray(getattr(scene.stars[name], "value", scene.stars[name]), dtype=float) for name in AXES}
    panels = []
    temperatures = np.array([4200.0, 5000.0, 6000.0])
    steps = {
        "giants of 4800 K, log g 2.5": [(4800.0, 2.5, fe_h) for fe_h in (0.2, -0.5, -1.5)],
        "[Fe/H] = -0.2": [(t, 2.0 if t < 4500 else 2.7 if t < 5500 else 4.2, -0.2) for t in temperatures],
    }
    for title, points in steps.items():
        layers: list[Layer] = []
        columns = {name: np.array([p[k] for p in points]) for k, name in enumerate(("teff", "logg", "fe_h"))}
        close = []
        for teff, logg, fe_h in points:
            near = (np.abs(real["teff"] - teff) < 150) & (np.abs(real["logg"] - logg) < 0.4) & (real["a_k"] < 0.15)
            near &= np.abs(real["fe_h"] - fe_h) < 0.25
            close.append(near if near.sum() >= 3 else near & False)
        dust = np.array([np.median(real["a_k"][near]) if near.any() else 0.05 for near in close])
        made = scene.made({**columns, "a_k": dust})
        labels = [f"{fe_h:+.1f}" if title.startswith("giants") else f"{teff:.0f} K" for teff, _, fe_h in points]
        for label, spectrum in zip(labels, made, strict=True):
            layers.append(Line(SAMPLED_NM, spectrum / np.median(spectrum), label))
        for near, label in zip(close, labels, strict=True):
            if near.any():
                middle = np.median(flux[near] / np.median(flux[near], axis=1, keepdims=True), axis=0)
                layers.append(Line(SAMPLED_NM, middle, "", role="reference", of=label))
        panels.append(Panel(layers, WAVELENGTH, "flux / median", title=title, x_range=(380.0, 1000.0)))
    return Figure(
        "series",
        "Spectra made from Teff, log g, [Fe/H] and A_K alone (lines), and medians of the test stars near those labels "
        "(dashed, where there are three). A_K is the median of those stars, 0.05 mag where there are none.",
        panels,
        panel_size=(9.0, 3.4),
    )


def _forward(scene: Scene, forward: Scored) -> Figure:
    scale = scene.model.vocabulary.scale[scene.model.vocabulary.places(list(forward.answers.names))]
    values = np.array(list(forward.scatter().values())) / scale
    noise = (
        np.nanmedian(scene.test.errors[:, scene.model.vocabulary.places(list(forward.answers.names))], axis=0) / scale
    )
    half = len(values) // 2
    layers: list[Layer] = [
        Points(np.arange(half), values[:half], "BP", role="highlight"),
        Points(np.arange(half) + 0.1, values[half:], "RP", role="reference"),
        Line(np.arange(half), noise[:half], "noise of BP"),
        Line(np.arange(half), noise[half:], "noise of RP"),
    ]
    return Figure(
        "coefficients",
        "Error of the first coefficients made from four labels and two colors, over each "
        "coefficient's scale, and the measurement's noise.",
        [Panel(layers, "order", "robust scatter / scale", y_range=(0.0, 0.8))],
        panel_size=(6.5, 3.2),
    )


def _locus(scene: Scene) -> Figure:
    """Temperature along log g for a few metallicities, asked of two labels."""
    logg = np.linspace(0.6, 4.7, 60)
    layers: list[Layer] = []
    teff = np.asarray(scene.stars["teff"].value, dtype=float)
    layers.append(Points(teff, np.asarray(scene.stars["logg"], dtype=float), "test stars (APOGEE)", role="faint"))
    for fe_h in (-1.0, -0.5, 0.0):
        answer = scene.model.predict({"logg": logg, "fe_h": np.full(60, fe_h)}, ["teff"])
        middle, label = answer["predicted_teff"].value, f"[Fe/H] = {fe_h:+.1f}"
        layers.append(Line(middle, logg, label))
        if fe_h == 0.0:
            error = answer["predicted_teff_error"].value
            layers += [Line(middle + way * error, logg, "", role="reference", of=label) for way in (-1.0, 1.0)]
    return Figure(
        "locus",
        "Stellar loci: the temperature asked of log g and [Fe/H] alone, over the test stars. Dashed: one standard "
        "deviation for solar metallicity. Dwarfs of 3,500 to 5,500 K have one log g within its errors: of it alone "
        "the model answers their mean, with a wide error.",
        [
            Panel(
                layers,
                AXES["teff"],
                AXES["logg"],
                x_range=(3000.0, 7500.0),
                y_range=(0.0, 5.2),
                invert_x=True,
                invert_y=True,
            )
        ],
        panel_size=(6.5, 4.6),
    )


def _attention(scene: Scene) -> Figure:
    """Mean attention of the label requests over the orders of both arms."""
    from starloom.stars.evaluation import usual_kinds

    given = usual_kinds(scene.model)
    spectra = scene.stars[: min(300, len(scene.stars))]
    weights, names = scene.model.attention(spectra, list(scene.labels), given=given)
    mean = weights.mean(axis=0)[-1]
    panels = []
    for arm in ("bp", "rp"):
        places = [
            k for k, name in enumerate(names) if name.startswith(f"{arm}_") and name != "bp_rp" and name in set(given)
        ]
        orders = [scene.model.vocabulary[names[k]].order for k in places]
        layers: list[Layer] = [Line(orders, mean[row, places], name) for row, name in enumerate(scene.labels)]
        panels.append(Panel(layers, f"order of the {arm.upper()} coefficient", "attention"))
    return Figure(
        "attention",
        "Where the requests for labels look: attention of the last decoder block, heads and 300 test "
        "stars averaged. The rest goes to colors, registers and the learned key.",
        panels,
        columns=2,
        panel_size=(5.6, 3.0),
    )


def _domain(shares: Mapping[str, Floats]) -> Figure:
    from starloom.stars.domain import LIMIT

    edges = np.linspace(-3.4, 0.0, 35)
    panels = []
    ordinary = np.histogram(np.log10(shares["ordinary stars"]), bins=edges)[0] / len(shares["ordinary stars"])
    for name, values in shares.items():
        if name.startswith("ordinary"):
            continue
        known = values[np.isfinite(values)]
        layers: list[Layer] = [
            Steps(edges, ordinary, "ordinary stars"),
            Steps(edges, np.histogram(np.log10(known), bins=edges)[0] / max(len(known), 1), name),
            Span(edges[0], float(np.log10(LIMIT)), "flagged"),
        ]
        panels.append(Panel(layers, "log10 domain_share", "share", y_range=(0.0, 1.0)))
    return Figure(
        "domain",
        "How unusual spectra look to the model: the share of training stars that are at least as unusual, "
        "for ordinary test stars and for strangers; below 0.005 (shaded) a star is flagged.",
        panels,
        columns=2,
        panel_size=(5.6, 2.4),
    )
