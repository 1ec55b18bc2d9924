"""Cost against rows of every job that takes rows and gives rows: CPU seconds, wall seconds, peak memory.

    python benchmarks/scale.py                 # what is not measured yet; goes on where it stopped
    python benchmarks/scale.py --page          # only writes the table into docs/scale.md

Each point is a process of its own with one thread, which reads a Parquet table made here (its making is not counted),
runs the job through ``starloom.catalog.row_jobs`` as the command line does, and writes the result. A point that would
take more than MOST CPU seconds, by the point before it, is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.table import QTable

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / "docs"
STORE, PAGE = HERE / "scale.json", FOLDER / "scale.md"
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
MOST = 60.0
JOBS = {
    "cartons": "SDSS-V targets (`sdss cartons`, mwm_galactic_core)",
    "som": "cells of a 75 x 150 map, 8 colors (`som assign`)",
    "score": "stream membership, ensemble of 2 (`streams score`)",
    "orbits": "actions and orbits, no errors (`orbits --samples 0`)",
    "orbits_100": "the same with 100 draws a star (`orbits`)",
    "answers": "labels by the star foundation model from 110 XP coefficients (`predict star-foundation`)",
    "forest": "ages by the forest, Teff, log g, [Fe/H], [alpha/M] (`predict ages`)",
    "traceback": "tracebacks with 100 draws a star (`hypervelocity traceback`)",
    "ages": "isochrone ages of turn-off stars, Teff, log g, [Fe/H], parallax (`ages`)",
}
SURVEYS = {"Gaia": 1.8e9, "LSST": 2.0e10}


def make(name: str, rows: int, folder: Path) -> None:
    """The table of a job: one file, in row groups of a million."""
    import pyarrow.parquet as pq

    from starloom.catalog.arrow_tables import to_arrow

    writer = None
    for first in range(0, rows, 1_000_000):
        piece = to_arrow(made(name, min(rows - first, 1_000_000), first))
        writer = writer or pq.ParquetWriter(folder / "table.parquet", piece.schema, compression="zstd")
        writer.write_table(piece)
    writer.close()


def made(name: str, rows: int, first: int) -> QTable:
    """Some rows of it."""
    import numpy as np
    from astropy import units as u
    from astropy.table import QTable

    rng = np.random.default_rng([1, first])
    table = QTable({"source_id": first + np.arange(rows, dtype=np.int64)})
    if name == "cartons":
        for column, low, high in (("phot_g_mean_mag", 9, 18), ("h_m", 6, 14)):
            table[column] = rng.uniform(low, high, rows) * u.mag
        table["ph_qual"], table["cc_flg"], table["rd_flg"] = "AAA", "000", "222"
        table["gal_contam"] = np.zeros(rows, dtype=np.int64)
    elif name == "som":
        for place in range(8):
            table[f"color{place}"] = rng.normal(0.3 * place, 0.5, rows)
    elif name.startswith("orbits") or name == "traceback":
        for column, values, unit in (
            ("ra", rng.uniform(150, 170, rows), u.deg),
            ("dec", rng.uniform(20, 50, rows), u.deg),
            ("parallax", rng.uniform(0.5, 3.0, rows), u.mas),
            ("pmra", rng.normal(0, 5, rows), u.mas / u.yr),
            ("pmdec", rng.normal(0, 5, rows), u.mas / u.yr),
            ("radial_velocity", rng.normal(0, 40, rows), u.km / u.s),
        ):
            table[column] = values * unit
            table[f"{column}_error"] = np.full(rows, 0.05) * (u.mas if column in ("ra", "dec") else unit)
        table["pmra_pmdec_corr"] = np.zeros(rows)
    elif name == "answers":
        from starloom.datasets.access import open_table

        real = open_table("gaia_xp_apogee", "stars")
        pick = rng.integers(len(real), size=rows)
        table = real["source_id", "phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag", "flux", "flux_error"][pick]
    elif name == "forest":
        for column, middle, width, error in (
            ("teff", 4750.0, 200.0, 80.0), ("logg", 2.6, 0.3, 0.05), ("fe_h", -0.1, 0.2, 0.03),
            ("alpha_m", 0.1, 0.08, 0.02),
        ):  # fmt: skip
            unit = u.K if column == "teff" else u.one
            table[column] = rng.normal(middle, width, rows) * unit
            table[f"{column}_error"] = np.full(rows, error) * unit
    elif name == "ages":
        for column, values, error, unit in (
            ("teff", rng.normal(5900, 200, rows), 80.0, u.K),
            ("logg", rng.normal(4.1, 0.1, rows), 0.08, u.one),
            ("fe_h", rng.normal(-0.3, 0.2, rows), 0.08, u.one),
            ("parallax", rng.uniform(0.5, 2.0, rows), 0.05, u.mas),
        ):
            table[column] = values * unit
            table[f"{column}_error"] = np.full(rows, error) * unit
    return table


def models(folder: Path) -> None:
    """The map and the stream, both small fits, kept for all sizes."""
    import numpy as np
    from astropy.table import QTable

    from starloom.galaxies.map_grid import Grid
    from starloom.galaxies.map_schedules import schedule
    from starloom.galaxies.photometric_features import Features
    from starloom.galaxies.self_organizing_map import SelfOrganizingMap

    rng = np.random.default_rng(2)
    colors = QTable({f"color{k}": rng.normal(0.3 * k, 0.5, 20_000) for k in range(8)})
    features = Features(tuple(colors.colnames), (), kind="columns")
    SelfOrganizingMap(features, Grid(75, 150, "planar", "rectangular"), schedule("starloom", passes=1.0)).fit(
        colors, seed=1, workers=1
    ).save(folder / "map")


def job(name: str, folder: Path) -> dict[str, float]:
    """Run one job on its table; what this process needed for it."""
    from starloom.catalog import row_jobs

    table, out = folder / "table.parquet", folder / "out.parquet"
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    if name == "cartons":
        from starloom.sdss.targeting import targets_of_table

        targets_of_table(table, out, plan="0.5.0", names=("mwm_galactic_core",))
    elif name == "som":
        from starloom.galaxies.map_on_tables import assign_file
        from starloom.galaxies.self_organizing_map import FittedSOM

        assign_file(FittedSOM.load(folder.parent / "map"), table, out, workers=1)
    elif name.startswith("orbits"):
        from starloom.dynamics.star_orbits import orbits_of_table

        orbits_of_table(table, out, samples=100 if name == "orbits_100" else 0, workers=1)
    elif name == "answers":
        from starloom.stars.answering import AnswerJob

        row_jobs.run(AnswerJob(None, None, None, "stars"), table, out, rows=10_000)
    elif name == "forest":
        from starloom.stars.age_jobs import forest_ages_of_table

        forest_ages_of_table(table, out)
    elif name == "traceback":
        from starloom.galactic_center.traceback_tables import tracebacks_of_table

        tracebacks_of_table(table, out, workers=1)
    elif name == "ages":
        from starloom.stellar.age_tables import ages_of_table

        ages_of_table(table, out, workers=1)
    elif name == "score":
        from starloom.streams.scoring import ROWS, ScoreJob

        row_jobs.run(ScoreJob(str(folder.parent / "stream")), table, out, rows=ROWS)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "wall": time.perf_counter() - started,
        "memory_mb": _peak_memory(),
    }


def _peak_memory() -> float:
    """MB; ``ru_maxrss`` would begin with that of the process that started this one."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024.0


def stream(folder: Path) -> None:
    """A stream model fitted to its own small mock."""
    from starloom.datasets.access import open_table  # noqa: F401  (the isochrone)
    from starloom.streams import track_mock
    from starloom.streams.populations import from_grid
    from starloom.streams.stream_completion import model_for
    from starloom.streams.stream_file import StreamFile

    file = StreamFile.of(
        {
            "name": "Gjoll", "frame": {"ends": [[64.8789, 2.3507], [112.1856, -34.1283]]}, "phi1": [-25, 25],
            "phi2": [-4, 4], "distance": [2.5, 5], "isochrone": {"age": 12, "fe_h": -1.5},
            "track": "NGC3201-Gjoll ibata2021",
            "training": {"members": 2, "steps": 60, "background_epochs": 6},
        }
    )  # fmt: skip
    reference = file.reference()
    population = from_grid(12, -1.5, ("g_mag", "r_mag"))
    mock = track_mock.TrackMock(file.phi1, file.phi2, stream=250, background=5000, width=0.3, magnitude=(14.0, 20.0))
    stars = track_mock.make(mock, reference, file.stream_frame, population, 3)
    model, _ = model_for(file, stars, reference)
    model.fit(stars, seed=1).save(folder / "stream")
    from starloom import write_table

    write_table(stars, folder / "stream.parquet")


def repeated(path: Path, rows: int, target: Path) -> None:
    """Rows of a table again and again, with numbers of their own."""
    import numpy as np

    from starloom import read_table, write_table

    table = read_table(path)
    table = table[np.arange(rows) % len(table)]
    table["source_id"] = np.arange(rows, dtype=np.int64)
    write_table(table, target)


def measure(names: list[str], most: float) -> None:
    known = json.loads(STORE.read_text()) if STORE.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch)
        if "som" in names:
            models(top)
        if "score" in names:
            stream(top)
        for name in names:
            done = known.setdefault(name, {})
            for rows in SIZES:
                if str(rows) in done:
                    continue
                if done and expected(done, rows) > most:
                    break
                folder = top / name
                folder.mkdir(exist_ok=True)
                if name == "score":
                    repeated(top / "stream.parquet", rows, folder / "table.parquet")
                else:
                    make(name, rows, folder)
                threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
                said = subprocess.run(
                    [sys.executable, __file__, "--one", name, str(folder)], env={**os.environ, **threads}, check=True,
                    capture_output=True, text=True,
                ).stdout  # fmt: skip
                done[str(rows)] = json.loads(said.splitlines()[-1])
                STORE.write_text(json.dumps(known, indent=1) + "\n")
                print(name, rows, done[str(rows)], flush=True)


def expected(points: dict[str, dict[str, float]], rows: int) -> float:
    """CPU seconds that a table will take, by the two points before."""
    last = max(map(int, points))
    return points[str(last)]["cpu"] + rate(points) * (rows - last)


def rate(points: dict[str, dict[str, float]]) -> float:
    """CPU seconds a row: between the two largest tables, so that loading does not count."""
    sizes = sorted(map(int, points))
    if len(sizes) == 1:
        return points[str(sizes[0])]["cpu"] / sizes[0]
    low, high = sizes[-2:]
    return (points[str(high)]["cpu"] - points[str(low)]["cpu"]) / (high - low)


def page() -> None:
    """The table, between its markers in docs/scale.md."""
    known = json.loads(STORE.read_text())
    heads = [f"{size:.0e}".replace("e+0", "e") for size in SIZES]
    lines = [f"| job | {' | '.join(heads)} | peak memory | a row | Gaia | LSST |", "|" + "---|" * (len(heads) + 5)]
    for name, meaning in JOBS.items():
        if not (points := known.get(name)):
            continue
        cells = [f"{points[str(size)]['cpu']:.1f} s" if str(size) in points else "" for size in SIZES]
        memory = [points[key]["memory_mb"] for key in sorted(points, key=int)]
        per_row = rate(points)
        hours = [f"{per_row * count / 3600:,.0f} h" for count in SURVEYS.values()]
        reach = f"{memory[0]:.0f} to {memory[-1]:.0f} MB" if len(memory) > 1 else f"{memory[0]:.0f} MB"
        row = f"{1e6 * per_row:.3g} us" if len(points) > 1 else f"at most {1e6 * per_row:,.0f} us"
        lines.append(f"| {meaning} | {' | '.join(cells)} | {reach} | {row} | {' | '.join(hours)} |")
    text = PAGE.read_text()
    start, end = text.index("<!-- table -->"), text.index("<!-- end -->")
    PAGE.write_text(text[:start] + "<!-- table -->\n" + "\n".join(lines) + "\n" + text[end:])


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("jobs", nargs="*", help=f"of {', '.join(JOBS)}; all by default")
    words.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    words.add_argument("--page", action="store_true", help="only write the table")
    words.add_argument("--most", type=float, default=MOST, help="CPU seconds of a point")
    given = words.parse_args()
    if given.one:
        print(json.dumps(job(given.one[0], Path(given.one[1]))))
    else:
        if not given.page:
            measure(given.jobs or list(JOBS), given.most)
        page()
