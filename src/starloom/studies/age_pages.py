"""Figures and tables of the correlation of age and metallicity."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from starloom.results.figures import Band, Figure, Image, Layer, Line, Panel, cell_edges

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from starloom.dependence.bands import Bands

    Floats = NDArray[np.float64]

NAMES = {
    "galactic_radius": "R [kpc]",
    "absolute_height": "|z| [kpc]",
    "action_r": "radial action [kpc km/s]",
    "eccentricity": "eccentricity",
}
RHO = "rho(age, [Fe/H])"


@dataclass
class Drawn:
    """One map, or one run along a covariate, with what stands beside it."""

    name: str
    group: str
    covariates: tuple[str, ...]
    places: Floats
    bands: Bands
    shape: tuple[int, int] | None = None
    temperature: Floats | None = field(default=None)
    truth: Floats | None = field(default=None)

    @property
    def title(self) -> str:
        """The stars in words."""
        kind, comma, sample = self.group.partition(",")
        return f"{kind if kind == 'all' else f'{kind}-alpha'} stars{comma}{sample}"

    @property
    def note(self) -> str:
        """What a row of the table is."""
        return f"rho(age, [Fe/H]) of {self.title} at places, with 68 and 95 % bands; empty: too few stars"

    def table(self) -> QTable:
        """A row a place."""
        from astropy.table import QTable

        table = QTable(dict(zip(self.covariates, self.places.T, strict=True)))
        table["rho"], table["error"] = self.bands.value, self.bands.error
        for index, level in enumerate(self.bands.levels):
            table[f"low_{100 * level:.0f}"] = self.bands.low[index]
            table[f"high_{100 * level:.0f}"] = self.bands.high[index]
        for name, values in (("temperature", self.temperature), ("truth", self.truth)):
            if values is not None:
                table[name] = values
        return table


def figures(
    stars: QTable, usable: NDArray[np.bool_], high: NDArray[np.bool_], drawn: list[Drawn], warmth: str | None,
    least_count: float,
) -> list[Figure]:  # fmt: skip
    """Maps, runs, the median abundance, and the copula of age and metallicity."""
    found = _maps([entry for entry in drawn if entry.shape is not None], warmth)
    for name in dict.fromkeys(entry.covariates[0] for entry in drawn if entry.shape is None):
        entries = [entry for entry in drawn if entry.shape is None and entry.covariates == (name,)]
        entries = [entry for entry in entries if np.isfinite(entry.bands.value).any()]
        if entries:
            found.append(_runs(name, entries))
    return [*found, _abundance(stars, usable), _copulas(stars, usable, high)]


def _image(
    entry: Drawn, values: Floats, label: str, *, range_: tuple[float, float] | None = None, center: float | None = None,
    log: bool = False, contours: tuple[float, ...] = (),
) -> Image:  # fmt: skip
    assert entry.shape is not None  # it is a map
    x, y = (np.unique(column) for column in entry.places.T)
    cells = values.reshape(entry.shape).T
    return Image(cell_edges(x), cell_edges(y), cells, label, range_, center, log, contours)


def _maps(drawn: list[Drawn], warmth: str | None) -> list[Figure]:
    if not drawn:
        return []
    panels = []
    found = [entry.temperature[np.isfinite(entry.temperature)] for entry in drawn if entry.temperature is not None]
    every = np.concatenate(found) if found else np.array([])
    every = every[every > 0]
    heat = (float(every.min()), float(every.max())) if len(every) else None
    for entry in drawn:
        rows = [
            (_image(entry, entry.bands.value, RHO, range_=(-0.7, 0.7), center=0.0, contours=(-0.4, -0.2, 0.0)), "rho"),
            (_image(entry, entry.bands.error, "standard error", range_=(0.0, 0.08)), "error"),
        ]
        if entry.temperature is not None:
            label = f"median {NAMES[warmth or 'action_r']}"
            rows.append((_image(entry, entry.temperature, label, range_=heat, log=True), "temperature"))
        for layer, title in rows:
            panels.append(
                Panel([layer], NAMES[entry.covariates[0]], NAMES[entry.covariates[1]], f"{entry.title}: {title}")
            )
    caption = (
        "The correlation of age and [Fe/H] over the Galaxy (left; contours at -0.4, -0.2 and 0), its standard error "
        "(middle) and the median kinematic temperature (right). Gray: too few stars."
    )
    return [Figure("maps", caption, panels, columns=len(panels) // len(drawn), panel_size=(5.4, 2.9))]


def _runs(name: str, drawn: list[Drawn]) -> Figure:
    panels = []
    for entry in drawn:
        x = entry.places[:, 0]
        layers: list[Layer] = [
            Band(x, entry.bands.low[1], entry.bands.high[1], "95 %"),
            Band(x, entry.bands.low[0], entry.bands.high[0], "68 %"),
            Line(x, entry.bands.value, "rho"),
            Line(x[[0, -1]], [0.0, 0.0], role="reference"),
        ]
        panels.append(Panel(layers, NAMES[name], RHO, entry.title, y_range=(-1.0, 0.6)))
    return Figure(
        f"along_{name}", f"The correlation of age and [Fe/H] given {NAMES[name]}, with 68 and 95 % bands. Lines end "
        "where too few stars are left.", panels, columns=min(2, len(panels)), panel_size=(5.6, 3.2),
    )  # fmt: skip


def _abundance(stars: QTable, usable: NDArray[np.bool_]) -> Figure:
    from starloom.disk.age_metallicity import column, median_alpha

    age, iron = np.linspace(0.5, 13.5, 53), np.linspace(-1.0, 0.5, 46)
    places = np.stack(np.meshgrid(age, iron, indexing="ij"), axis=-1).reshape(-1, 2)
    fitted = median_alpha(stars, chosen=usable, least_count=15.0)
    values = fitted.predict(places).reshape(len(age), len(iron)).T
    image = Image(cell_edges(age), cell_edges(iron), values, "median [alpha/Fe] [dex]", contours=(0.05, 0.1, 0.15, 0.2))
    spread = np.nanquantile(column(stars, "fe_h")[usable], [0.0005, 0.9995])
    panel = Panel(
        [image], "age [Gyr]", "[Fe/H] [dex]", x_range=(0.0, 14.0), y_range=(float(spread[0]), float(spread[1]))
    )
    caption = "The median [alpha/Fe] given age and [Fe/H]; contours every 0.05 dex. Gray: too few stars."
    return Figure("abundance", caption, [panel], panel_size=(7.0, 4.2))


def _copulas(stars: QTable, usable: NDArray[np.bool_], high: NDArray[np.bool_]) -> Figure:
    from starloom.dependence.copula import fit_copula
    from starloom.disk.age_metallicity import column

    panels = []
    u = np.linspace(0.0, 1.0, 61)
    middles = 0.5 * (u[1:] + u[:-1])
    age, iron, alpha = (column(stars, name) for name in ("age", "fe_h", "alpha_m"))
    pairs = [
        ("all stars", "age", age, "[Fe/H]", iron, usable),
        ("low-alpha stars", "age", age, "[Fe/H]", iron, usable & ~high),
        ("high-alpha stars", "age", age, "[Fe/H]", iron, usable & high),
        ("all stars", "[Fe/H]", iron, "[alpha/Fe]", alpha, usable),
    ]
    for title, x_name, x, y_name, y, chosen in pairs:
        if (chosen & np.isfinite(x) & np.isfinite(y)).sum() < 100:
            continue
        copula = fit_copula(np.where(chosen, x, np.nan), y)
        density = copula.density(middles[:, None], middles[None, :]).T
        image = Image(u, u, density, "copula density", color_range=(0.0, 3.0), contours=(1.0,))
        panels.append(Panel([image], f"rank of {x_name}", f"rank of {y_name}", title, equal=True))
    return Figure(
        "copulas", "Copula densities: the dependence of two columns with their margins taken out. The contour is 1, "
        "the density of independence; the colors end at 3.", panels, columns=2, panel_size=(5.0, 4.4),
    )  # fmt: skip
