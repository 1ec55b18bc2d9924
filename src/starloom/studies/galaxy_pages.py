"""The figures of galaxy-scaling, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from starloom.results.figures import Band, Figure, Line, Panel, Picture, Points, Steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from starloom.galaxies.scaling import Law

Pictures = Sequence["NDArray[np.uint8]"]
ROLES: tuple[Literal["data", "highlight", "reference", "faint"], ...] = ("data", "highlight", "reference", "faint")
GAP = 2  # dark pixels between the pictures of a mosaic


def mosaic(pictures: Pictures, columns: int) -> NDArray[np.uint8]:
    """Pictures of one size side by side, row by row."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, dtype=np.uint8)
    for k, picture in enumerate(pictures):
        top, left = (k // columns) * (height + GAP), (k % columns) * (width + GAP)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def _sheet(pictures: Pictures, title: str, columns: int = 8) -> Panel:
    return Panel([Picture(mosaic(pictures, columns))], "", "", title=title)


def gallery(seed: int) -> Figure:
    """Made galaxies as they come, and some of each made question."""
    from starloom.galaxies.mock_images import render
    from starloom.galaxies.mock_population import draw
    from starloom.galaxies.mock_tasks import TASKS, draw_task

    panels = [_sheet(list(render(draw(16, seed=seed), 64)), "as they come", 16)]
    for place, (name, task) in enumerate(TASKS.items()):
        galaxies, labels = draw_task(name, 16, seed=np.random.default_rng([seed, 60, place]))
        order = np.argsort(labels, kind="stable")
        title = f"{name}: {', '.join(task.classes)}" if len(task.classes) < 6 else f"{name}: {len(task.classes)} types"
        panels.append(_sheet(list(render(galaxies[order], 64)), title, 16))
    caption = (
        "Made galaxies, 64 pixels across: a random draw of the population that encoders are pretrained on, and "
        "examples of each made question, sorted by class."
    )
    return Figure("made_galaxies", caption, panels, panel_size=(9.5, 0.85))


def vote_shares(made: NDArray[np.float64], real: NDArray[np.float64]) -> Figure:
    """Shares of votes for "featured" of made and real galaxies."""
    edges = np.linspace(0.0, 1.0, 41)
    steps = [
        Steps(edges, np.histogram(values, edges, density=True)[0], label)
        for values, label in ((real, "Galaxy Zoo 2"), (made, "made galaxies, true probability"))
    ]
    caption = (
        'Distribution of the share of votes for "featured or disk": the first question of Galaxy Zoo 2, and the made '
        "galaxies."
    )
    return Figure(
        "vote_shares", caption, [Panel(steps, "share of votes for featured", "density")], panel_size=(6.0, 3.0)
    )


def law_figures(found: Sequence[Law], cells: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """The loss of all questions with labels and with parameters; and the exponents of each question."""
    from starloom.galaxies.scaling import TOTAL

    oracle = float(np.mean([cell["oracle"] for cell in cells])) if cells else np.nan
    panels = []
    for along, label in (("labels", "labels (log10)"), ("parameters", "parameters (log10)")):
        laws = [law for law in found if law.along == along and law.question == TOTAL and len(law.points)]
        layers: list[Any] = []
        for law in laws[:6]:
            if law.law is None:
                continue
            x = np.geomspace(*law.law.sizes, 60)
            layers.append(Band(np.log10(x), *law.law.band(x)))
            layers.append(Line(np.log10(x), law.law(x), law.held))
        for law in laws:
            layers.append(Points(np.log10(law.points[:, 0]), law.points[:, 1], role="highlight"))
        if not layers or len(np.unique(np.concatenate([law.points[:, 0] for law in laws]))) < 2:
            continue
        spread = np.concatenate([law.points[:, 0] for law in laws])
        layers.append(Line(np.log10([spread.min(), spread.max()]), [oracle, oracle], "oracle", role="reference"))
        panels.append(Panel(layers, label, "loss of all questions"))
    figures = []
    if panels:
        caption = (
            "Loss on made galaxies that no training saw, all questions together. Lines: L = L_inf + a N^-b with the "
            "90 % band of the bootstrap; dashed: the concentrations that the votes were drawn with."
        )
        figures.append(Figure("scaling_laws", caption, panels, columns=len(panels), panel_size=(5.5, 3.8)))
    return figures + _gain_figure(found)


def _gain_figure(found: Sequence[Law]) -> list[Figure]:
    from starloom.galaxies.scaling import TOTAL

    panels = []
    for along in ("labels", "parameters"):
        fitted = [law for law in found if law.along == along and law.law is not None and law.question != TOTAL]
        questions = list(dict.fromkeys(law.question for law in fitted))
        if not fitted:
            continue
        layers: list[Any] = []
        for held in dict.fromkeys(law.held for law in fitted):
            mine = [law for law in fitted if law.held == held]
            gains = np.array([law.law.gain for law in mine if law.law is not None])
            place = np.array([questions.index(law.question) for law in mine], dtype=float)
            place += 0.12 * (len(layers) - 1)
            error = 0.5 * (gains[:, 2] - gains[:, 1])
            layers.append(Points(100.0 * gains[:, 0], place, held, x_error=100.0 * error, role=ROLES[len(layers) % 4]))
        names = [name.rsplit("-", 1)[0] for name in questions]
        label = f"fall of the loss over the {along} tried [%]"
        panels.append(Panel(layers, label, "", y_range=(len(names) - 0.3, -0.7), y_ticks=names))
    if not panels:
        return []
    caption = (
        "How much the loss of each question falls over the range of labels, and of parameters at the most labels; bars "
        "are half of the 90 % interval."
    )
    return [Figure("gains", caption, panels, columns=len(panels), panel_size=(5.5, 3.8))]


def transfer_figure(errors: Mapping[str, Mapping[str, Mapping[int, Sequence[float]]]], labels: Sequence[int]) -> Figure:
    """Error of each method on each made question with labels."""
    panels = []
    for task, methods in errors.items():
        layers: list[Any] = []
        for name, curve in methods.items():
            n = np.array(sorted(curve), dtype=float)
            mean = np.array([np.mean(curve[int(count)]) for count in n])
            if len(n) > 1:
                layers.append(Line(n, mean, name))
            else:
                layers.append(Points(n, mean, name, role="reference" if name == "scratch" else "highlight"))
        panels.append(Panel(layers, "labels", "error", title=task))
    caption = (
        "Share of wrong answers on made galaxies that were not used for pretraining, with the labels given: linear "
        "probes on frozen features (lines), and networks trained end to end (points)."
    )
    return Figure("transfer", caption, panels, columns=min(len(panels), 3), panel_size=(4.2, 3.6))


def real_figures(
    what: str, pictures: NDArray[np.uint8], labels: NDArray[np.int64], answers: Mapping[str, NDArray[np.float64]],
    best: str, features: NDArray[np.float64],
) -> list[Figure]:  # fmt: skip
    """ROC curves; pictures it is most sure of, most wrong about, and the nearest neighbors of some."""
    from starloom.galaxies.transfer import neighbors, roc_area

    curves: list[Any] = []
    for name, found in answers.items():
        order = np.argsort(-found[:, 1], kind="stable")
        hit = np.concatenate([[0.0], np.cumsum(labels[order] == 1) / max((labels == 1).sum(), 1)])
        false = np.concatenate([[0.0], np.cumsum(labels[order] == 0) / max((labels == 0).sum(), 1)])
        curves.append(Line(false, hit, f"{name} ({roc_area(found[:, 1], labels == 1):.3f})"))
    curves.append(Line([0.0, 1.0], [0.0, 1.0], role="reference"))
    roc = Figure(
        "odd_spirals_roc", f"ROC curves on the {what}, the same folds for every method; the area in brackets.",
        [Panel(curves, "share of the others called odd", "share of the odd ones found", equal=True)],
        panel_size=(6.5, 6.0),
    )  # fmt: skip
    p = answers[best][:, 1]
    sure = [np.argsort(-np.where(labels == 1, p, -1))[:8], np.argsort(np.where(labels == 0, p, 2))[:8]]
    wrong = [np.argsort(np.where(labels == 1, p, 2))[:8], np.argsort(-np.where(labels == 0, p, -1))[:8]]
    titles = (
        "odd, and surely called odd",
        "others, and surely called so",
        "odd, called ordinary",
        "others, called odd",
    )
    panels = [
        _sheet([pictures[row] for row in rows], title) for rows, title in zip([*sure, *wrong], titles, strict=True)
    ]
    confidence = Figure(
        "odd_spirals_pictures",
        f"The {what}: what a linear probe on {best} is most sure of and right about, and most wrong about, each "
        "picture answered by a model that did not see it.",
        panels, columns=2, panel_size=(6.0, 1.0),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    chosen = [*rng.permutation(np.flatnonzero(labels == 1))[:4], *rng.permutation(np.flatnonzero(labels == 0))[:4]]
    rows = [[row, *neighbors(features, int(row), 7)] for row in chosen]
    near = Figure(
        "nearest_neighbors",
        f"The {what}: on the left of each row a picture, then the seven nearest to it in the features of {best}.",
        [Panel([Picture(mosaic([pictures[row] for line in rows for row in line], 8))], "", "")],
        panel_size=(7.0, 7.0),
    )  # fmt: skip
    return [roc, confidence, near]
