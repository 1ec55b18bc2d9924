"""SDSS DR18: which cartons stars fall in, how dense their targets are, and what a real configuration was made of.

No public table has the columns of the whole parent catalog for a part of the sky, so the cartons run on a made one,
drawn from stellar models and a smooth Galaxy, unless the user brings a table. The bits, the generation and the
configuration are real.

A section of the page is a function of :data:`SECTIONS`; it is given the results and what was done so far.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pydantic

from starloom.errors import CatalogError, ConfigError, MissingColumnError
from starloom.results.record import Bar, InputRecord, Published, Results
from starloom.studies.inputs import Input, InputSpec, content_sha256
from starloom.studies.study import Study, StudyConfig

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.files import RunFolder
    from starloom.sdss.targets import CartonSelection

CODE = "target_selection code of that plan"
EXPLORED = "mwm_ob_core"


class Config(StudyConfig):
    """Settings.

    Parameters
    ----------
    rows : rows of the made parent catalog.
    nside : HEALPix resolution of the made Galaxy.
    plan : the plan or targeting generation whose cartons are run.
    checked : rows that SQLite evaluates a second time.
    map_nside : HEALPix resolution of the maps of targets.
    mock_stars : stars of the made catalogs whose selection functions are measured; 0 leaves them out.
    """

    rows: int = pydantic.Field(1_000_000, ge=1000)
    nside: int = pydantic.Field(32, ge=4)
    plan: str = "v0.5.3"
    checked: int = pydantic.Field(20_000, ge=100)
    map_nside: int = pydantic.Field(16, ge=2, le=64)
    mock_stars: int = pydantic.Field(200_000, ge=0)


@dataclass
class Targeting:
    """What a section of the page works on.

    Parameters
    ----------
    config, inputs : of the run.
    parent : the catalog that was selected from; ``weight`` is there when it was made.
    selection : who is in which carton.
    memberships, targets : one row a membership; one row an object.
    """

    config: Config
    inputs: Mapping[str, Input]
    parent: QTable
    selection: CartonSelection
    memberships: QTable
    targets: QTable

    @property
    def weight(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """How many stars of the sky each row of the parent stands for; 1 for a user's table."""
        if "weight" in self.parent.colnames:
            return np.asarray(self.parent["weight"], dtype=np.float64)
        return np.ones(len(self.parent))


Section = Callable[[Results, Targeting], None]


def run(config: Config, inputs: Mapping[str, Input], folder: RunFolder) -> Results:
    """Select, combine, compare, and write down what there is to see."""
    from starloom.sdss.targets import assign, combine, select

    results = Results("sdss-targets", STUDY.title, config.preset, config.seed, summary=STUDY.summary)
    results.inputs = [entry.record for entry in inputs.values()]
    if "parent" in inputs:
        parent = inputs["parent"].table
    else:
        parent = made_parent(config)
        origin = "drawn from MIST isochrones and a smooth Galaxy, with the errors of Gaia DR2, 2MASS and AllWISE"
        results.inputs.append(InputRecord("parent", "simulated", origin, len(parent), content_sha256(parent)))
    selection = select(parent, config.plan, workers=1, label="the parent catalog")
    if not selection.member.any():
        raise CatalogError(
            f"no row of the parent catalog is in any of {len(selection.cartons)} cartons of {config.plan}"
        )
    memberships = assign(selection, parent)
    done = Targeting(config, inputs, parent, selection, memberships, combine(memberships))
    for section in SECTIONS:
        section(results, done)
    return results


def made_parent(config: Config) -> QTable:
    """The simulated parent catalog of a run."""
    from starloom.simulation.milky_way import Galaxy
    from starloom.simulation.parent_catalog import parent_catalog

    return parent_catalog(config.rows, seed=config.seed, galaxy=Galaxy(nside=config.nside))


# ------------------------------------------------------------------------------------------------------------ sections


def selection_section(results: Results, done: Targeting) -> None:
    """Cartons, their numbers, and the second evaluation."""
    from starloom.sdss.sqlite_check import differences
    from starloom.seeds import generator
    from starloom.studies import sdss_pages as pages

    selection, config = done.selection, done.config
    rng = generator(config.seed)
    rows = np.sort(rng.choice(len(done.parent), min(config.checked, len(done.parent)), replace=False))
    different = differences(selection.parent, selection.cartons, rows)
    results.number("rows of the parent", len(done.parent), "rows")
    results.number(
        "cartons evaluated", len(selection.cartons), "cartons",
        meaning=f"of {len(selection.cartons) + len(selection.skipped)} of {config.plan} that are defined here; "
        "the others read columns that the table does not have",
    )  # fmt: skip
    results.number(
        "rows on which SQLite differs", sum(different.values()), "rows", bar=Bar("<=", 0.0),
        meaning=f"the same clauses as SQL over {len(rows)} rows, all cartons together",
    )  # fmt: skip
    for label, count in selection.before_thinning.items():
        results.number(f"{label} before thinning", count, "rows")
    objects = len(done.targets)
    results.number("objects with a carton", objects, "objects")
    results.number("memberships per object", len(done.memberships) / max(objects, 1), "")
    lacking = int((np.asarray(done.memberships["cadence"]) == "").sum())
    results.number("memberships without a cadence", lacking, "rows", meaning="calibration targets, and G of exactly 16")
    table = pages.carton_table(selection, done.weight)
    results.table("cartons", table, "one row a carton that was evaluated")
    results.table(
        "skipped", pages.skipped_table(selection), "one row a carton that could not be evaluated, with the reason"
    )
    if results.simulated:
        _expected(results, selection, done.weight)
    if results.simulated and selection.before_thinning:
        results.warn(
            f"{', '.join(selection.before_thinning)} keep so many rows a pixel or cube of this table, which samples "
            "the sky: their numbers of stars on the sky are not the survey's."
        )
    if selection.assumed:
        results.warn(
            f"Columns that the table lacks and that count as missing everywhere: {', '.join(selection.assumed)}."
        )
    results.table("targets", done.targets, "one row an object: what its most important carton asks for")
    results.table("overlap", pages.overlap_table(selection), "objects that two cartons share")


def _expected(results: Results, selection: CartonSelection, weight: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    for name, published in (
        ("mwm_galactic_core", Published(5e6, f"about 5 million stars, {CODE} (its description; reported)")),
        ("mwm_ob_core", None),
        ("mwm_snc_100pc_boss", None),
        ("mwm_tessrgb_core", None),
    ):
        try:
            here = weight[selection[name]]
        except ConfigError as problem:  # the carton was not evaluated
            results.warn(f"{name}: {problem}")
            continue
        error = float(np.sqrt((here**2).sum()))
        results.number(
            f"targets of {name} on the sky",
            float(here.sum()),
            "stars",
            low=float(here.sum()) - error,
            high=float(here.sum()) + error,
            published=published,
            meaning="before fields and fibers; sampling error only",
        )


def map_section(results: Results, done: Targeting) -> None:
    """Where the targets are and what they look like."""
    from starloom.studies import sdss_pages as pages

    results.figures += pages.figures(done.parent, done.selection, done.weight, done.config.map_nside)


def explanation_section(results: Results, done: Targeting) -> None:
    """Why one star that nearly made it into a carton is not in it."""
    from starloom.studies import sdss_pages as pages

    found = pages.nearly_selected(done.selection, done.parent, EXPLORED)
    if found is not None:
        results.table("explained", found, f"the clauses of {EXPLORED} for a star that only one of them keeps out")


def flags_section(results: Results, done: Targeting) -> None:
    """Bits, the cartons of the generation, and the real configuration."""
    from starloom.sdss.cartons import GENERATION, coverage
    from starloom.sdss.target_flags import TargetFlags, generation_members
    from starloom.studies import sdss_pages as pages

    bits = done.inputs["target_bits"].table
    mappings = {int(v): TargetFlags.from_table(bits, int(v)) for v in np.unique(np.asarray(bits["flag_version"]))}
    newest = mappings[max(mappings)]
    wrong = 0
    for mapping in mappings.values():
        packed = mapping.encode([[label] for label in mapping.labels])
        wrong += sum(found != (label,) for found, label in zip(mapping.decode(packed), mapping.labels, strict=True))
    results.number(
        "bits that do not come back",
        wrong,
        "bits",
        bar=Bar("<=", 0.0),
        meaning=f"encoded and decoded in mappings of {', '.join(str(len(m)) for m in mappings.values())} bits",
    )
    members = generation_members(
        done.inputs["generation_cartons"].table, done.inputs["generations"].table, newest, GENERATION
    )
    table = coverage(members)
    results.table("coverage", table, f"one row a carton of the targeting generation {GENERATION}")
    for status in ("done", "needs a private list", "not specified"):
        count = int((np.asarray(table["status"]) == status).sum())
        results.number(f"cartons of {GENERATION}: {status}", count, "cartons", meaning=f"of {len(table)}")
    if "fibers" in done.inputs:
        fibers = done.inputs["fibers"].table
        assigned = pages.assigned(fibers)
        known = np.isin(np.asarray(fibers["firstcarton"]), newest.names)
        results.number("assigned fibers", int(assigned.sum()), "fibers", meaning="of one real configuration")
        results.number(
            "share of them whose carton has a bit", float(known[assigned].mean()) if assigned.any() else np.nan, "",
            bar=Bar(">=", 1.0), meaning="by the name of the first carton, in the newest mapping",
        )  # fmt: skip
        _real_standards(results, done)
        results.table("configuration", pages.configuration_table(fibers, newest), "fibers of each carton")
        results.figures.append(pages.focal_plane(fibers))


def _real_standards(results: Results, done: Targeting) -> None:
    """Does the carton of BOSS standards pick the stars that were really assigned as such?"""
    from starloom.sdss.cartons import carton
    from starloom.sdss.targets import select

    fibers = done.inputs["fibers"].table
    name = "ops_std_boss"
    real = np.asarray(fibers["firstcarton"]) == name
    try:
        picked = select(fibers, [carton(name, plan="0.5.0")], label="the configuration")[name]
    except MissingColumnError:
        return
    if real.any():
        results.number(
            f"real {name} fibers that the carton selects",
            float(picked[real].mean()),
            "",
            meaning=f"{int(picked[real].sum())} of {int(real.sum())}; the configuration has parallaxes of Gaia DR3 and "
            "the carton was run on DR2, so that stars near its limits in absolute magnitude differ",
        )


def selection_function_section(results: Results, done: Targeting) -> None:
    """The selection functions of three made cartons against their known truth."""
    from starloom.studies.sdss_selection import add_selection

    own = "parent" in done.inputs  # on a user's table a section of made stars would only mislead
    if done.config.mock_stars and not own:
        add_selection(results, seed=done.config.seed, stars=done.config.mock_stars)


def epochs_section(results: Results, done: Targeting) -> None:
    """The epochs of one quasar, added; made ones where the inputs are made or no real ones are at hand."""
    from starloom.studies.sdss_epochs import add_epochs, mock_epochs

    if all(entry.record.kind == "simulated" for entry in done.inputs.values()):
        add_epochs(results, mock_epochs(seed=done.config.seed), simulated=True, seed=done.config.seed)
    else:
        add_epochs(results, seed=done.config.seed)


SECTIONS: tuple[Section, ...] = (
    selection_section,
    map_section,
    explanation_section,
    flags_section,
    selection_function_section,
    epochs_section,
)


def mock(config: Config) -> dict[str, QTable]:
    """Made bits, generation and configuration; the parent catalog is made in any case."""
    from astropy.table import QTable

    from starloom.sdss.cartons import GENERATION, generation
    from starloom.seeds import generator

    rng = generator(config.seed)
    cartons = generation(GENERATION)
    bits: dict[str, list[Any]] = {name: [] for name in _BITS}
    for version in (1, 2):
        for bit, carton in enumerate(cartons[: len(cartons) * version // 2], start=1):
            row = (version, carton.label, bit, 500 + bit, carton.program, carton.plan, carton.name, carton.mapper)
            for name, value in zip(_BITS, row, strict=True):
                bits[name].append(value)
    keys = np.arange(501, 501 + len(cartons))
    count = 300
    chosen = rng.integers(len(cartons), size=count)
    angle, radius = rng.uniform(0.0, 2.0 * np.pi, count), 300.0 * np.sqrt(rng.random(count))
    fibers = QTable(
        {
            "fiberType": np.where(rng.random(count) < 0.6, "BOSS", "APOGEE"),
            "assigned": np.ones(count, dtype=np.int64),
            "xFocal": radius * np.cos(angle),
            "yFocal": radius * np.sin(angle),
            "firstcarton": np.array([cartons[k].name for k in chosen]),
            "program": np.array([cartons[k].program for k in chosen]),
            "category": np.array([cartons[k].category for k in chosen]),
            "catalogid": 4_500_000_000_000_000_000 + rng.integers(10**9, size=count),
        }
    )
    return {
        "target_bits": QTable(bits),
        "generation_cartons": QTable({"generation_pk": np.full(len(keys), 4), "carton_pk": keys}),
        "generations": QTable({"pk": [4], "label": [GENERATION]}),
        "fibers": fibers,
    }


_BITS = ("flag_version", "label", "bit", "carton_pk", "program", "version", "name", "mapper")

STUDY = Study(
    name="sdss-targets",
    title="Targets of SDSS DR18",
    arxiv="2301.07688",
    summary="The cartons of the targeting generation of DR18 as data, run over a parent catalog: who is selected, with "
    "which cadence and priority, how targets crowd on the sky, how cartons overlap; the target bits and one real "
    "configuration.",
    citations=(
        "arXiv:2301.07688 Almeida et al., The Eighteenth Data Release of the Sloan Digital Sky Surveys",
        "2016ApJ...823..102C Choi et al., MESA isochrones and stellar tracks (MIST)",
        "2008ApJ...673..864J Juric et al., The Milky Way tomography with SDSS. I. Stellar number density distribution",
    ),
    config=Config,
    presets={
        "tour": {"rows": 120_000, "nside": 16, "checked": 5_000, "mock_stars": 60_000},
        "quick": {},
        "full": {"rows": 4_000_000, "checked": 100_000, "map_nside": 32},
    },
    inputs=(
        InputSpec("parent", "", "", "the catalog to select targets from", primary=True, optional=True),
        InputSpec("target_bits", "sdssv_targeting", "target_bits", "the bits of all mappings"),
        InputSpec(
            "generation_cartons", "sdssv_targeting", "targeting_generation_to_carton", "cartons of the generations"
        ),
        InputSpec("generations", "sdssv_targeting", "targeting_generation", "the targeting generations"),
        InputSpec("fibers", "sdssv_targeting", "fibers", "fibers of a real configuration", optional=True),
    ),
    run=run,
    mock=mock,
)
