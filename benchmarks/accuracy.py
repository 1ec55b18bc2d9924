"""Run the long bars, one system at a time, and write what was reached into ACCURACY.md.

    python benchmarks/accuracy.py                 # everything; a run that was interrupted goes on where it stopped
    python benchmarks/accuracy.py --list
    python benchmarks/accuracy.py --only streams --seeds 2

The numbers of each seed are kept in results/accuracy/*.jsonl and hold for as long as the version, the sources that the
bars use, and the settings stay the same.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import machine
import numpy as np
from bars import Experiment, Numbers, Pooled, System
from sections import page

from starloom import __version__, progress
from starloom.errors import ConfigError, StarloomError
from starloom.files import lock, write_text
from starloom.results.record import Bar

PAGE = Path(__file__).resolve().parent / "ACCURACY.md"
CACHE = machine.ROOT / "results" / "accuracy"
TITLE = """# Accuracy

What the long runs reached (`make accuracy`). Each line pools an experiment over seeds that were fixed before the first
run; the interval is the central 90 % over the seeds. Seconds are of wall time, all seeds together. Lines without a bar
are for information.
"""


def systems() -> list[System]:
    """Every system that has long bars."""
    import accuracy_ages
    import accuracy_disk
    import accuracy_forest
    import accuracy_galactic_center
    import accuracy_galaxies
    import accuracy_halo
    import accuracy_origins
    import accuracy_seismic
    import accuracy_snail
    import accuracy_som
    import accuracy_stars
    import accuracy_streams

    return [
        accuracy_streams.TAILORED_SYSTEM,
        accuracy_streams.SYSTEM,
        accuracy_disk.SYSTEM,
        accuracy_forest.SYSTEM,
        accuracy_halo.SYSTEM,
        accuracy_galactic_center.SYSTEM,
        accuracy_origins.SYSTEM,
        accuracy_snail.SYSTEM,
        accuracy_som.SYSTEM,
        accuracy_galaxies.SYSTEM,
        accuracy_stars.SYSTEM,
        accuracy_seismic.SYSTEM,
        accuracy_ages.SYSTEM,
    ]


class Cache:
    """The numbers of the seeds that were run, one line of JSON each."""

    def __init__(self, folder: Path, experiment: Experiment, source: str, quick: bool) -> None:
        self.path = folder / f"{experiment.name.replace(' ', '-')}.jsonl"
        settings = dict(experiment.quick if quick else experiment.settings)
        self.key = {"version": __version__, "source": source, "settings": settings}
        self.records: dict[int, dict[str, Any]] = {}
        for line in self._lines():
            with contextlib.suppress(ValueError):  # a line that cannot be read was not run
                record = json.loads(line)
                if isinstance(record, dict) and {name: record.get(name) for name in self.key} == self.key:
                    self.records[record["seed"]] = record

    def _lines(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []

    def add(self, record: dict[str, Any]) -> None:
        """Append a record; the file is replaced as a whole, so a kill leaves no half line."""
        line = json.dumps(self.key | record, allow_nan=False, default=_plain)
        with lock(self.path.with_suffix(".lock")):
            write_text(self.path, "".join(f"{old}\n" for old in [*self._lines(), line]))
        self.records[record["seed"]] = self.key | record


def _plain(value: Any) -> Any:
    """The value of a numpy scalar: a comparison of two of them is one, and JSON does not know it."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be kept as JSON")


def run(experiment: Experiment, seeds: Sequence[int], cache: Cache) -> None:
    """Run the seeds that the cache does not hold yet. A fit that fails is a result, and counts against every bar."""
    missing = [seed for seed in seeds if seed not in cache.records]
    for seed in progress.steps(missing, experiment.name, len(missing), "seeds"):
        started, numbers, failure = time.monotonic(), {}, None
        try:
            numbers = dict(experiment.measure(seed, **cache.key["settings"]))
        except StarloomError as error:
            failure = f"{type(error).__name__}: {error}"
        cache.add(
            {
                "seed": seed,
                "seconds": round(time.monotonic() - started, 1),
                "commit": machine.commit(),
                "machine": machine.processor(),
                "numbers": numbers,
                "failure": failure,
            }
        )


def section(system: System, caches: dict[str, Cache]) -> str:
    """The system's part of the page, from what its caches hold."""
    lines = [
        f"## {system.name}\n",
        f"{system.text}\n",
        "| bar | asked | reached | 90 % interval | verdict | seeds |",
        "|---|---|---|---|---|---|",
    ]
    for bar in system.bars:
        records = [caches[bar.experiment.name].records.get(seed) for seed in bar.experiment.seeds]
        done = [record for record in records if record is not None]
        numbers: list[Numbers] = [record["numbers"] for record in done if record["failure"] is None]
        pooled = bar.pool(numbers) if numbers else None
        value, interval = _written(pooled, bar.percent)
        seeds = f"{len(done)} of {len(records)}"
        if failed := len(done) - len(numbers):
            seeds += f", {failed} failed"
        verdict = _verdict(bar.bar, pooled, len(done) == len(records), failed)
        meaning = f" ({bar.meaning})" if bar.meaning else ""
        lines.append(
            f"| {bar.name}{meaning} | {_asked(bar.bar, bar.percent)} | {value} | {interval} | {verdict} | {seeds} |"
        )
    return "\n".join([*lines, "", *_provenance(system, caches), ""])


def _verdict(bar: Bar | None, pooled: Pooled | None, complete: bool, failed: int) -> str:
    if pooled is None and not failed:
        return "not run"
    if bar is None:
        return "info"
    verdict = "fail" if failed or pooled is None else bar.verdict(pooled.value)
    return f"**{verdict}**" if complete else f"incomplete ({verdict} so far)"


def _asked(bar: Bar | None, percent: bool) -> str:
    if bar is None:
        return ""
    if isinstance(bar.value, tuple):
        return " to ".join(_number(value, percent) for value in bar.value)
    return f"{bar.op} {_number(bar.value, percent)}"


def _number(value: float, percent: bool) -> str:
    return f"{100 * value:.1f} %" if percent else f"{value:.4g}"


def _written(pooled: Pooled | None, percent: bool) -> tuple[str, str]:
    if pooled is None:
        return "", ""
    interval = f"{_number(pooled.low, percent)} to {_number(pooled.high, percent)}" if pooled.low == pooled.low else ""
    return _number(pooled.value, percent), interval


def _provenance(system: System, caches: dict[str, Cache]) -> list[str]:
    """How long each experiment took, where, and from which sources."""
    lines = []
    for experiment in system.experiments:
        cache = caches[experiment.name]
        records = [cache.records[seed] for seed in experiment.seeds if seed in cache.records]
        if not records:
            continue
        times = sorted(record["seconds"] for record in records)
        settings = ", ".join(f"{name} {value}" for name, value in cache.key["settings"].items())
        commits = ", ".join(sorted({record["commit"] for record in records}))
        machines = "; ".join(sorted({record["machine"] for record in records}))
        done = [seed for seed in experiment.seeds if seed in cache.records]
        seeds = f"seeds {done[0]} to {done[-1]}" if len(done) > 1 else f"seed {done[0]}"
        lines.append(
            f"- {experiment.name}: {settings or 'no settings'}; {seeds}; {sum(times):.0f} s, {times[0]:.0f} to "
            f"{times[-1]:.0f} s a seed; version {cache.key['version']}, commit {commits}; {machines}."
        )
        lines += [f"- seed {record['seed']} failed: {record['failure']}" for record in records if record["failure"]]
    return lines


def select(everything: Sequence[System], only: str | None) -> list[tuple[System, list[Experiment]]]:
    """The systems and experiments that a name means: a system, an experiment or a bar; None: all of them."""
    if only is None:
        return [(system, system.experiments) for system in everything]
    chosen = []
    for system in everything:
        wanted = {bar.experiment.name for bar in system.bars if only in (system.name, bar.experiment.name, bar.name)}
        if wanted:
            chosen.append((system, [e for e in system.experiments if e.name in wanted]))
    if not chosen:
        names = [name for system in everything for name in (system.name, *(bar.name for bar in system.bars))]
        raise ConfigError(f"no system, experiment or bar {only!r}; there are: {', '.join(names)}")
    return chosen


def measure(
    everything: Sequence[System], only: str | None, seeds: int | None, quick: bool, cache: Path, target: Path
) -> str:
    """Run what is missing and write the page; returns the new sections.

    Parameters
    ----------
    everything : all systems.
    only : see ``select``.
    seeds : how many of each experiment's seeds to run, the first ones (None: all).
    quick : with the quick settings; the page then goes beside the cache.
    cache, target : folder of the numbers; the page.
    """
    target = cache / "quick" / target.name if quick else target
    sections = {}
    for system, experiments in select(everything, only):
        source = machine.source_digest(system.source)
        folder = cache / "quick" if quick else cache
        caches = {e.name: Cache(folder, e, source, quick) for e in system.experiments}
        for experiment in experiments:
            run(experiment, experiment.seeds[:seeds], caches[experiment.name])
        sections[system.name] = section(system, caches)
        write_text(target, page(TITLE, target.read_text() if target.exists() else "", sections))
    return "\n".join(sections.values())


def listing(everything: Sequence[System]) -> str:
    """Systems, experiments and bars by name."""
    lines = []
    for system in everything:
        lines.append(system.name)
        for experiment in system.experiments:
            lines.append(f"  {experiment.name} ({len(experiment.seeds)} seeds)")
            lines += [f"    {bar.name}" for bar in system.bars if bar.experiment.name == experiment.name]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run the long bars and write benchmarks/ACCURACY.md.")
    parser.add_argument("--only", metavar="NAME", help="a system, an experiment or a bar; the table keeps the others")
    parser.add_argument("--seeds", type=int, metavar="N", help="the first N seeds of each experiment")
    parser.add_argument("--list", action="store_true", help="print what there is and stop")
    parser.add_argument("--quick", action="store_true", help="small settings, to see that it works; page beside cache")
    options = parser.parse_args(arguments)
    if options.seeds is not None and options.seeds < 1:
        parser.error("--seeds needs a positive number")
    everything = systems()
    if options.list:
        print(listing(everything))
        return 0
    try:
        with progress.shown():
            print(measure(everything, options.only, options.seeds, options.quick, CACHE, PAGE))
    except StarloomError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on with the next seed", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
