"""Copula densities, ranks and a conditional correlation, against scipy, pyvinecopulib and the paper's networks."""

from __future__ import annotations

from importlib import util

import numpy as np
from accuracy_disk import CORE, GRID, disk, true_rho
from scipy.special import ndtri
from scipy.stats import gaussian_kde, kendalltau, rankdata
from side_by_side import Comparison, cpu_seconds, table

from starloom import progress
from starloom.dependence.association import associations
from starloom.dependence.conditional import ConditionalMap
from starloom.dependence.copula import fit_copula
from starloom.seeds import generator
from starloom.stats.ranks import ranks

ROWS = 200_000
RHO = -0.6


def section() -> tuple[str, bool]:
    """The section of the page, and whether all results agree."""
    comparisons = [_ranks(), _kendall(), _plain_kernel()]
    if util.find_spec("pyvinecopulib"):
        comparisons.append(_vine())
    comparisons.append(_networks())
    note = "" if util.find_spec("pyvinecopulib") else "pyvinecopulib is not installed here: its line is left out.\n"
    return f"## dependence\n\n{table(comparisons)}{note}", all(c.agrees for c in comparisons)


def _pair(rows: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = generator(1).normal(size=(2, rows))
    return first, RHO * first + np.sqrt(1 - RHO**2) * second


def _true(u: np.ndarray) -> np.ndarray:
    x, y = ndtri(u)[:, None], ndtri(u)[None, :]
    return np.exp(-(RHO**2 * (x**2 + y**2) - 2 * RHO * x * y) / (2 * (1 - RHO**2))) / np.sqrt(1 - RHO**2)


def _ranks() -> Comparison:
    progress.say("dependence: ranks")
    x = np.round(_pair(ROWS)[0], 3)
    return Comparison(
        name=f"ranks of {ROWS} rows with ties", peer="scipy rankdata", seconds=cpu_seconds(lambda: ranks(x)),
        peer_seconds=cpu_seconds(lambda: rankdata(x) / (ROWS + 1)),
        difference=float(np.abs(ranks(x) - rankdata(x) / (ROWS + 1)).max()), tolerance=1e-15, unit="", work=ROWS,
        work_unit="rows", note="ours looks for missing values and knows weights.",
    )  # fmt: skip


def _kendall() -> Comparison:
    progress.say("dependence: Kendall")
    x, y = _pair(ROWS)
    return Comparison(
        name=f"Spearman, Kendall, normal scores and tails of {ROWS} pairs", peer="scipy kendalltau alone",
        seconds=cpu_seconds(lambda: associations(x, y)), peer_seconds=cpu_seconds(lambda: kendalltau(x, y)),
        difference=abs(associations(x, y).kendall - kendalltau(x, y).statistic), tolerance=1e-12, unit="", work=ROWS,
        work_unit="rows",
    )  # fmt: skip


def _plain_kernel() -> Comparison:
    progress.say("dependence: plain kernel")
    rows, u = 20_000, np.linspace(0.05, 0.95, 51)
    x, y = _pair(rows)
    phi = np.exp(-0.5 * ndtri(u) ** 2) / np.sqrt(2 * np.pi)

    def ours() -> np.ndarray:
        return fit_copula(x, y).density(u[:, None], u[None, :])

    def peer() -> np.ndarray:
        scores = ndtri(np.stack([rankdata(x), rankdata(y)]) / (rows + 1))
        places = np.stack(np.meshgrid(ndtri(u), ndtri(u), indexing="ij")).reshape(2, -1)
        return gaussian_kde(scores)(places).reshape(51, 51) / (phi[:, None] * phi[None, :])

    return Comparison(
        name=f"copula density of {rows} pairs on 51 x 51", peer="scipy gaussian_kde of the normal scores",
        seconds=cpu_seconds(ours), peer_seconds=cpu_seconds(peer, 1),
        difference=float(np.abs(ours() - peer()).mean()), tolerance=0.1, unit="", work=rows, work_unit="rows",
        note=f"mean error against the Gaussian copula: {np.abs(ours() - _true(u)).mean():.3f}, of the plain kernel "
        f"{np.abs(peer() - _true(u)).mean():.3f}. {ROWS} pairs take {cpu_seconds(lambda: _large(u)):.2f} CPU s.",
    )  # fmt: skip


def _large(u: np.ndarray) -> np.ndarray:
    return fit_copula(*_pair(ROWS)).density(u[:, None], u[None, :])


def _vine() -> Comparison:
    import pyvinecopulib as vine

    progress.say("dependence: pyvinecopulib")
    rows, u = 50_000, np.linspace(0.05, 0.95, 51)
    x, y = _pair(rows)
    places = np.stack(np.meshgrid(u, u, indexing="ij"), axis=-1).reshape(-1, 2)

    def ours() -> np.ndarray:
        return fit_copula(x, y).density(u[:, None], u[None, :])

    def peer() -> np.ndarray:
        pair = np.stack([rankdata(x), rankdata(y)], axis=1) / (rows + 1)
        controls = vine.FitControlsBicop(family_set=[vine.BicopFamily.tll], num_threads=1)
        return np.asarray(vine.Bicop.from_data(pair, controls=controls).pdf(places)).reshape(51, 51)

    families = []
    for family in (vine.BicopFamily.gaussian, vine.BicopFamily.student):
        controls = vine.FitControlsBicop(family_set=[family], num_threads=1)
        pair = np.stack([rankdata(x), rankdata(y)], axis=1) / (rows + 1)
        found = np.asarray(vine.Bicop.from_data(pair, controls=controls).pdf(places)).reshape(51, 51)
        families.append(f"{family.name} {np.abs(found - _true(u)).mean():.3f}")
    return Comparison(
        name=f"copula density of {rows} pairs on 51 x 51", peer="pyvinecopulib, local likelihood (tll)",
        seconds=cpu_seconds(ours), peer_seconds=cpu_seconds(peer, 3),
        difference=float(np.abs(ours() - peer()).mean()), tolerance=0.1, unit="", work=rows, work_unit="rows",
        note=f"mean error against the Gaussian copula: {np.abs(ours() - _true(u)).mean():.3f}, of tll "
        f"{np.abs(peer() - _true(u)).mean():.3f}; with the family known: {', '.join(families)}.",
    )  # fmt: skip


def _networks() -> Comparison:
    progress.say("dependence: networks")
    z, x, y = disk(60_000, 7)
    splines = ConditionalMap("correlation")
    networks = ConditionalMap("correlation", engine="networks")

    def found(model: ConditionalMap) -> np.ndarray:
        return model.fit(z, x, y, seed=1).predict(GRID, masked=False)[CORE]

    a, b, true = found(splines), found(networks), true_rho(GRID)[CORE]
    return Comparison(
        name="correlation of 60,000 pairs over two covariates", peer="networks of arXiv:2306.09319",
        seconds=cpu_seconds(lambda: splines.fit(z, x, y), 3), peer_seconds=cpu_seconds(lambda: found(networks), 1),
        difference=float(np.sqrt(np.mean((a - b) ** 2))), tolerance=0.1, unit="rms", work=60_000, work_unit="rows",
        note=f"rms error in the core: splines {np.sqrt(np.mean((a - true) ** 2)):.4f}, networks "
        f"{np.sqrt(np.mean((b - true) ** 2)):.4f}.",
    )  # fmt: skip
