"""Tables, maps and figures of study seismic-ages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from starloom.errors import CatalogError, FitError
from starloom.results.figures import Figure, Image, Line, Panel, Points
from starloom.results.record import Results
from starloom.stars import seismic_power as power
from starloom.stars import seismic_spectra as spectra

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.studies.seismic_scene import Scene, Tested

    Floats = NDArray[np.float64]

WINDOW = (15560.0, 15720.0)
RADII, HEIGHTS = np.linspace(4.0, 13.0, 19), np.linspace(0.0, 2.0, 11)
AGES, METALS = np.linspace(0.5, 12.5, 25), np.linspace(-0.7, 0.4, 23)
SHOWN = 1500


def catalog(scene: Scene) -> QTable:
    """The test stars with what the model says of them."""
    from astropy import units as u

    entry = scene.tested["same Galaxy"]
    table = entry.table.copy()
    table.rename_columns(["nu_max", "delta_nu", "age", "age_error"],
                         ["true_nu_max", "true_delta_nu", "seismic_age", "seismic_age_error"])  # fmt: skip
    for name, values in entry.seismology.items():
        table[name] = values * u.uHz
    for name, values in entry.ages.items():
        table[name] = values * u.Gyr
    for place in np.flatnonzero(scene.model.used):
        table[f"latent_{place}"] = entry.latents.mean[:, place]
        table[f"latent_{place}_error"] = entry.latents.error[:, place]
    table["misfit"] = entry.latents.misfit
    return table


def _places(edges: tuple[Floats, Floats]) -> Floats:
    centers = [0.5 * (part[1:] + part[:-1]) for part in edges]
    return np.stack(np.meshgrid(*centers, indexing="ij"), axis=-1).reshape(-1, 2)


def _map(entry: Tested, age: Floats, kind: str) -> Floats:
    """A map of predicted or true ages: the median age over (R, |z|), or [alpha/M] over (age, [Fe/H])."""
    from starloom.dependence.conditional import ConditionalMap
    from starloom.disk.age_metallicity import column, median_alpha

    table = entry.table.copy()
    table["age"] = age * table["age"].unit
    if kind == "alpha":
        fitted = median_alpha(table, least_count=10.0)
        return fitted.predict(_places((AGES, METALS))).reshape(len(AGES) - 1, len(METALS) - 1)
    where = np.stack([column(table, "galactic_radius"), column(table, "absolute_height")], axis=1)
    inside = (where[:, 0] < RADII[-1] + 1) & (where[:, 1] < HEIGHTS[-1] + 0.5)
    fitted = ConditionalMap("quantile", 0.5, least_count=10.0).fit(where[inside], np.asarray(age)[inside])
    return fitted.predict(_places((RADII, HEIGHTS))).reshape(len(RADII) - 1, len(HEIGHTS) - 1)


def age_maps(results: Results, scene: Scene) -> None:
    """Maps over the Galaxy made of predicted ages, beside the same maps made of true ages: stars at all heights."""
    from starloom.disk.age_metallicity import AgeMetallicity

    entry = scene.surveyed
    drawn: dict[str, Floats] = {}
    for kind, title, unit in (
        ("age", "median age over R and |z|", "Gyr"),
        ("alpha", "[alpha/M] over age and [Fe/H]", "dex"),
    ):
        try:
            drawn[kind] = _map(entry, entry.ages["age"], kind)
            drawn[f"true {kind}"] = _map(entry, entry.true_age, kind)
        except (CatalogError, FitError) as error:
            results.warn(f"no map of {title}: {error}")
            continue
        away = drawn[kind] - drawn[f"true {kind}"]
        known = np.isfinite(away)
        results.number(
            f"map of {title}: predicted against true ages",
            float(np.median(np.abs(away[known]))) if known.any() else np.nan,
            unit, meaning=f"median difference of {int(known.sum())} cells",
        )  # fmt: skip
    found = {}
    for name, age in (("predicted", entry.ages["age"]), ("true", entry.true_age)):
        table = entry.table.copy()
        table["age"] = age * table["age"].unit
        try:
            fitted = AgeMetallicity(("absolute_height",), least_count=15.0).fit(table, seed=scene.config.seed)
            found[name] = float(np.nanmedian(fitted.predict(np.array([[0.3], [0.6]]))))
        except (CatalogError, FitError) as error:
            results.warn(f"no correlation of age and [Fe/H] with {name} ages: {error}")
    if len(found) == 2:
        results.number(
            "correlation of age and [Fe/H] at |z| = 0.3 to 0.6 kpc, predicted ages", found["predicted"], "",
            meaning=f"with true ages {found['true']:.3f}",
        )  # fmt: skip
    scene.extension["maps"] = drawn


def _one_to_one(low: float, high: float) -> Line:
    return Line([low, high], [low, high], "equal", role="reference")


def _spectrum_figure(scene: Scene) -> Figure:
    light = spectra.wavelengths()
    near = (light > WINDOW[0]) & (light < WINDOW[1])
    made = scene.train.spectra
    panels = [
        Panel(
            [Line(light[near], made.flux[0][near], "made"),
             Line(light[near], scene.model.basis.mean[near], "mean", "reference")],
            "wavelength [Angstrom]", "flux over continuum", title="a simulated giant", y_range=(0.3, 1.15),
        )
    ]  # fmt: skip
    for name, ready in scene.real_spectra.items():
        values = np.where(ready.good[0], ready.flux[0], np.nan)
        panels.append(
            Panel([Line(light[near], values[near], name)], "wavelength [Angstrom]", "flux over continuum",
                  title=f"real: {name}", y_range=(0.3, 1.15))
        )  # fmt: skip
    caption = "Spectra after the preprocessing, a stretch of the blue chip; masked pixels are left out."
    return Figure("spectra", caption, panels, panel_size=(9.0, 2.2))


def _power_figure(scene: Scene) -> Figure:
    nu = power.centers()
    shown = int(np.argmin(np.abs(scene.train.stars["nu_max"].value - 80.0)))
    decoded = scene.model.decode(scene.train_latents.mean[[shown]])[0]
    panels = [
        Panel(
            [Line(nu, scene.train.log_power[shown], "simulated", "reference"),
             Line(nu, decoded, "decoded from its spectrum")],
            "frequency [uHz]", "ln(power over background)",
            title=f"simulated, nu_max {scene.train.stars['nu_max'].value[shown]:.0f} uHz",
        )
    ]  # fmt: skip
    for name, found in scene.real_power.items():
        if found.note:
            continue
        layers = [Line(nu, found.log_power, "real", "reference")]
        if "decoded" in scene.extension:
            layers.append(Line(nu, scene.extension["decoded"], "nearest that the decoder makes"))
        panels.append(Panel(layers, "frequency [uHz]", "ln(power over background)", title=f"real: {name}"))
    caption = (
        "Power over background in the 2,092 bins. The decoder gives what a spectrum can tell: where the modes are and "
        "how high, not the phase of their comb."
    )
    return Figure("power_spectra", caption, panels, panel_size=(9.0, 2.4))


def _seismic_figure(scene: Scene) -> Figure:
    panels = []
    for galaxy, entry in scene.tested.items():
        for name, low, high in (("nu_max", 4.0, 250.0), ("delta_nu", 0.8, 20.0)):
            truth, found = entry.table[name].value[:SHOWN], entry.seismology[name][:SHOWN]
            panels.append(
                Panel(
                    [Points(np.log10(truth), np.log10(found), galaxy), _one_to_one(np.log10(low), np.log10(high))],
                    f"log10 true {name} [uHz]", f"log10 {name} from latents [uHz]", title=galaxy, equal=True,
                )
            )  # fmt: skip
    return Figure(
        "seismology", "nu_max and delta_nu read off the latents of spectra.", panels, columns=2, panel_size=(4.2, 4.0)
    )


def _age_figure(scene: Scene) -> Figure:
    panels = []
    for galaxy, entry in scene.tested.items():
        for stage, rows in (("giant branch", ~entry.clump), ("red clump", entry.clump)):
            chosen = np.flatnonzero(rows)[:SHOWN]
            panels.append(
                Panel(
                    [
                        Points(entry.true_age[chosen], entry.ages["age"][chosen], stage, color=entry.true_alpha[chosen],
                               color_label="[alpha/M]", color_range=(-0.05, 0.3)),
                        _one_to_one(0.0, 13.0),
                    ],
                    "true age [Gyr]", "age from the spectrum [Gyr]", title=f"{stage}, {galaxy}",
                    x_range=(0, 13.5), y_range=(0, 13.5),
                )
            )  # fmt: skip
    caption = (
        "Ages from latents, Teff and [Fe/H] against the truth. In the lower rows age and [alpha/M] go together in "
        "another way than in the training."
    )
    return Figure("ages", caption, panels, columns=2, panel_size=(4.4, 3.8))


def _alpha_figure(scene: Scene) -> Figure:
    panels = [
        Panel(
            [Points(entry.true_alpha[:SHOWN], entry.residual()[:SHOWN], galaxy),
             Line([-0.1, 0.35], [0.0, 0.0], "no difference", "reference")],
            "true [alpha/M]", "ln(age over true age)", title=galaxy, y_range=(-1.5, 1.5),
        )
        for galaxy, entry in scene.tested.items()
    ]  # fmt: skip
    return Figure("residuals", "Age residuals against [alpha/M], which no step of the model reads.", panels, columns=2,
                  panel_size=(4.4, 3.4))  # fmt: skip


def _map_figure(scene: Scene) -> Figure | None:
    drawn = scene.extension.get("maps", {})
    panels = []
    for kind, x, y, x_label, y_label, color, limits in (
        ("age", RADII, HEIGHTS, "R [kpc]", "|z| [kpc]", "median age [Gyr]", (2.0, 10.0)),
        ("alpha", AGES, METALS, "age [Gyr]", "[Fe/H]", "median [alpha/M]", (0.0, 0.25)),
    ):
        for name, title in ((kind, "predicted ages"), (f"true {kind}", "true ages")):
            if name in drawn:
                image = Image(x, y, drawn[name].T, color, color_range=limits)
                panels.append(Panel([image], x_label, y_label, title=title))
    if not panels:
        return None
    caption = "Maps of the test stars made with predicted and with true ages; gray where there are too few stars."
    return Figure("age_maps", caption, panels, columns=2, panel_size=(4.6, 3.2))


def _extension_figure(scene: Scene) -> Figure | None:
    found = scene.extension
    if "nu_max" not in found:
        return None
    branch = found["branch"]
    names: tuple[tuple[str, Any, Literal["data", "highlight"]], ...] = (
        ("giant branch", branch, "data"), ("red clump", ~branch, "highlight"),
    )  # fmt: skip
    half = 0.5 * (found["age"][:, 2] - found["age"][:, 0])
    nu = [
        Points(np.log10(found["true_nu"][rows]), np.log10(found["nu_max"][rows]), name, role=role)
        for name, rows, role in names
    ]
    age = [
        Points(found["true_age"][rows], found["age"][rows, 1], name, role=role, y_error=half[rows])
        for name, rows, role in names
    ]
    panels = [
        Panel(
            [*nu, _one_to_one(0.6, 2.4)], "log10 seismic nu_max [uHz]", "log10 nu_max from XP [uHz]",
            title=f"{found['kind']} XP spectra",
        ),
        Panel(
            [*age, _one_to_one(0.0, 14.0)], "seismic age [Gyr]", "age from XP [Gyr]", x_range=(0, 15), y_range=(0, 15)
        ),
    ]  # fmt: skip
    caption = "The extension to Gaia XP: giants with seismology, none of which was trained with."
    return Figure("xp", caption, panels, columns=2, panel_size=(4.4, 3.8))


def figures(scene: Scene) -> list[Figure]:
    """All figures of the page."""
    found = [
        _spectrum_figure(scene), _power_figure(scene), _seismic_figure(scene), _age_figure(scene), _alpha_figure(scene),
        _map_figure(scene), _extension_figure(scene),
    ]  # fmt: skip
    return [figure for figure in found if figure is not None]
