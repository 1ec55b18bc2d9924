"""What the page of the SDSS targets shows: tables of cartons, maps, the overlap, the focal plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.results.figures import Figure, Layer, Panel, Points

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.sdss.target_flags import TargetFlags
    from starloom.sdss.targets import CartonSelection

SQUARE_DEGREES = 41252.96
MAPPED = ("mwm_galactic_core", "mwm_tessrgb_core", "mwm_ob_core", "mwm_snc_100pc_boss")
SHOWN_STARS = 12_000


def carton_table(selection: CartonSelection, weight: NDArray[np.float64]) -> QTable:
    """One row a carton: members, stars of the sky, density, priority span."""
    from astropy.table import QTable

    rows = selection.cartons
    members = selection.member.sum(axis=1)
    sky = np.array([float(weight[row].sum()) for row in selection.member])
    return QTable(
        {
            "number": np.arange(1, len(rows) + 1),
            "carton": np.array([c.name for c in rows]), "plan": np.array([c.plan for c in rows]),
            "tag": np.array([c.tag for c in rows]), "mapper": np.array([c.mapper for c in rows]),
            "program": np.array([c.program for c in rows]), "category": np.array([c.category for c in rows]),
            "clauses": np.array([len(c.clauses) for c in rows]), "rows": members, "stars_on_sky": sky,
            "stars_per_square_degree": sky / SQUARE_DEGREES,
        }
    )  # fmt: skip


def skipped_table(selection: CartonSelection) -> QTable:
    """One row a carton that could not be evaluated."""
    from astropy.table import QTable

    labels = list(selection.skipped) or [""]
    return QTable({"carton": np.array(labels), "reason": np.array([selection.skipped.get(k, "") for k in labels])})


def overlap_table(selection: CartonSelection) -> QTable:
    """One row a pair of cartons with objects in common."""
    from astropy.table import QTable

    shared = selection.overlap()
    first, second = np.nonzero(np.triu(shared, 1))
    names = np.array([carton.name for carton in selection.cartons])
    counts = np.diag(shared)
    order = np.argsort(-shared[first, second], kind="stable")
    first, second = first[order], second[order]
    both = shared[first, second]
    return QTable(
        {
            "carton": names[first], "other": names[second], "objects": both,
            "share_of_carton": both / counts[first], "share_of_other": both / counts[second],
        }
    )  # fmt: skip


def figures(parent: QTable, selection: CartonSelection, weight: NDArray[np.float64], nside: int) -> list[Figure]:
    """Maps of a few cartons, the overlap, and a color-magnitude diagram; what the columns allow."""
    found = []
    if {"l", "b"} <= set(parent.colnames):
        found.append(sky_maps(parent, selection, weight, nside))
    found.append(overlap_figure(selection))
    if {"parallax", "phot_g_mean_mag", "bp_rp"} <= set(parent.colnames):
        found.append(color_magnitude(parent, selection))
    return found


def sky_maps(parent: QTable, selection: CartonSelection, weight: NDArray[np.float64], nside: int) -> Figure:
    """Targets per square degree of a few cartons, in Galactic coordinates."""
    import astropy.units as u
    from astropy_healpix import HEALPix

    from starloom.catalog.schema import plain

    sky = HEALPix(nside, order="nested")
    l, b = plain(parent, "l", "deg"), plain(parent, "b", "deg")
    known = np.isfinite(l) & np.isfinite(b)
    pixel = np.full(len(l), -1, dtype=np.int64)
    pixel[known] = sky.lonlat_to_healpix(l[known] * u.deg, b[known] * u.deg)
    lon, lat = (value.to_value(u.deg) for value in sky.healpix_to_lonlat(np.arange(12 * nside**2)))
    lon = np.where(lon > 180.0, lon - 360.0, lon)
    area = SQUARE_DEGREES / (12 * nside**2)
    panels = []
    here = {carton.name: row for carton, row in zip(selection.cartons, selection.member, strict=True)}
    for name in [name for name in MAPPED if name in here] or list(here)[:1]:
        rows = here[name] & known
        density = np.bincount(pixel[rows], weight[rows], minlength=len(lon)) / area
        some = density > 0
        layers: list[Layer] = [Points(lon[~some], lat[~some], role="faint")] if (~some).any() else []
        if some.any():
            high = float(np.log10(np.quantile(density[some], 0.98)))
            label = "log10 targets per deg2"
            layers.append(Points(lon[some], lat[some], color=np.log10(density[some]), color_label=label,
                                 color_range=(high - 3.0, high)))  # fmt: skip
        panels.append(Panel(layers, "Galactic longitude [deg]", "latitude [deg]", name, (180.0, -180.0), (-90.0, 90.0)))
    caption = (
        f"Targets per square degree of {len(panels)} cartons, a point a HEALPix pixel (nside {nside}); pale where "
        "there are none among the rows. Before fields and fibers are chosen."
    )
    return Figure("sky", caption, panels, columns=2, panel_size=(6.4, 3.2))


def overlap_figure(selection: CartonSelection) -> Figure:
    """Which share of the members of one carton another one has too."""
    shared = selection.overlap().astype(float)
    counts = np.diag(shared)
    used = np.flatnonzero(counts > 0)
    part = shared[np.ix_(used, used)] / counts[used][:, None]
    number = used + 1.0
    y, x = np.meshgrid(number, number, indexing="ij")
    some = part > 0
    layer = Points(
        x[some], y[some], color=100.0 * part[some], color_label="members shared [%]", color_range=(0.0, 100.0)
    )
    panel = Panel([layer], "carton (number in the table)", "of the members of carton", equal=True, invert_y=True)
    caption = (
        "Share of the members of one carton (row) that another one (column) has too; nothing where they share none."
    )
    return Figure("overlap", caption, [panel], panel_size=(7.0, 6.2))


def color_magnitude(parent: QTable, selection: CartonSelection) -> Figure:
    """Where the members of a few cartons are in color and absolute magnitude."""
    from starloom.catalog.schema import plain

    parallax, g = plain(parent, "parallax", "mas"), plain(parent, "phot_g_mean_mag", "mag")
    color = plain(parent, "bp_rp", "mag")
    with np.errstate(divide="ignore", invalid="ignore"):
        absolute = g + 5.0 * np.log10(parallax) - 10.0
    good = np.isfinite(absolute) & np.isfinite(color)
    if "parallax_error" in parent.colnames:
        good &= parallax > 5.0 * plain(parent, "parallax_error", "mas")
    here = {carton.name: row for carton, row in zip(selection.cartons, selection.member, strict=True)}
    back = _some(good)
    panels = []
    for name in (
        "mwm_ob_core",
        "mwm_snc_250pc_boss",
        "mwm_yso_variable_boss",
        "mwm_wd_core",
        "ops_std_boss",
        "mwm_tessrgb_core",
    ):
        if name in here and (mine := good & here[name]).any():
            points = _some(mine)
            panels.append(
                Panel(
                    [
                        Points(color[back], absolute[back], role="faint"),
                        Points(color[points], absolute[points], role="highlight"),
                    ],
                    "BP - RP [mag]", "G + 5 log10(parallax) - 10 [mag]", name, (-0.8, 4.0), (-7.0, 16.0), invert_y=True,
                )
            )  # fmt: skip
    if not panels:
        panels = [
            Panel(
                [Points(color[back], absolute[back], role="faint")], "BP - RP [mag]", "absolute G [mag]", invert_y=True
            )
        ]
    caption = (
        "Members of some cartons (dark) among the stars of the parent catalog with parallaxes better than 20 % (pale)."
    )
    return Figure("color_magnitude", caption, panels, columns=3, panel_size=(4.2, 4.0))


def _some(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    rows = np.flatnonzero(mask)
    return rows[:: max(1, len(rows) // SHOWN_STARS)]


def nearly_selected(selection: CartonSelection, parent: QTable, name: str) -> QTable | None:
    """The clauses of a carton for the first star that exactly one of them keeps out."""
    from astropy.table import QTable

    from starloom.catalog.expression_values import Block

    carton = next((entry for entry in selection.cartons if entry.name == name), None)
    if carton is None:
        return None
    rows = min(len(parent), 200_000)
    block = Block(selection.parent.raws, slice(0, rows), rows)
    untrue = np.zeros(rows, dtype=np.int64)
    for clause in carton.clauses:
        untrue += ~block.true(clause.node)
    ones = np.flatnonzero(untrue == 1)
    if len(ones) == 0:
        return None
    row = {key: raw.values[ones[0]] if raw.missing is None or not raw.missing[ones[0]] else None
           for key, raw in selection.parent.raws.items()}  # fmt: skip
    found = carton.explain(row).clauses
    values = [", ".join(f"{k} = {'missing' if v is None else f'{v:.4g}' if isinstance(v, float) else v}"
                        for k, v in entry.values.items()) for entry in found]  # fmt: skip
    return QTable({"clause": [e.clause for e in found], "verdict": [e.verdict for e in found], "values": values})


# ------------------------------------------------------------------------------------------------------- configuration


def assigned(fibers: QTable) -> NDArray[np.bool_]:
    """Which fibers have a target."""
    return np.asarray(np.asarray(fibers["assigned"]) == 1)


def configuration_table(fibers: QTable, flags: TargetFlags) -> QTable:
    """Fibers of each carton: program, category, instrument, and the bits that carton has."""
    from astropy.table import QTable

    part = fibers[assigned(fibers)]
    names, place, counts = np.unique(np.asarray(part["firstcarton"]), return_index=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    rows: dict[str, list[Any]] = {key: [] for key in ("carton", "program", "category", "instrument", "fibers", "bits")}
    for k in order:
        bits = flags.bits[flags.names == names[k]]
        first = part[int(place[k])]
        values = (names[k], first["program"], first["category"], first["fiberType"], int(counts[k]),
                  " ".join(map(str, bits.tolist())))  # fmt: skip
        for key, value in zip(rows, values, strict=True):
            rows[key].append(value)
    return QTable(rows)


def focal_plane(fibers: QTable) -> Figure:
    """Where the fibers of each kind are in the focal plane."""
    from starloom.catalog.schema import plain

    x, y = plain(fibers, "xFocal"), plain(fibers, "yFocal")
    category, kind = np.asarray(fibers["category"]).astype(str), np.asarray(fibers["fiberType"]).astype(str)
    taken = assigned(fibers)
    panels = []
    for instrument in ("BOSS", "APOGEE"):
        mine = taken & (kind == instrument)
        science = mine & (category == "science")
        layers: list[Layer] = [
            Points(x[mask], y[mask], f"{label} ({int(mask.sum())})", role=role)  # type: ignore[arg-type]
            for label, mask, role in (
                ("science", science, "highlight"),
                ("standards", mine & np.char.startswith(category, "standard"), "reference"),
                ("skies", mine & np.char.startswith(category, "sky"), "data"),
                ("open fibers", mine & np.char.startswith(category, "open"), "faint"),
            )
            if mask.any()
        ]
        panels.append(Panel(layers or [Points([], [])], "x in the focal plane [mm]", "y [mm]", instrument, equal=True))
    caption = "Assigned fibers of one observed configuration, by what they were put on."
    return Figure("focal_plane", caption, panels, columns=2, panel_size=(5.6, 5.4))
