"""``starloom tour``: every study in its shortest form, and one page over all of them."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from starloom.errors import ConfigError

if TYPE_CHECKING:
    from starloom.report.gallery import Stop

RECORD = "tour.json"
INTERRUPT_STATUS = 130


def tour(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Only these studies, in this order.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the gallery.", metavar="DIR")] = Path("results/tour"),
    preset: Annotated[str, typer.Option(help="tour (under a minute a study), quick or full.")] = "tour",
    data: Annotated[str, typer.Option(help="auto (real, else simulated and labeled so), real, or mock.")] = "auto",
    seed: Annotated[int | None, typer.Option(help="Every random choice follows from it.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes or threads a study; results are the same.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted tour stopped.")] = False,
) -> None:
    """Run every study in its shortest form and write one page over all of them.

    - `starloom tour` takes about ten minutes on two cores and writes `results/tour/index.html`
    - `starloom tour gd1-stream redshift-som --out my_tour` runs two of them

    Each study runs in a process of its own: one that fails is shown as failed and does not stop the others.
    """
    from starloom.files import lock, make_folder
    from starloom.report import gallery
    from starloom.studies import registry, study

    if data not in ("auto", "real", "mock"):
        raise ConfigError(f"a tour reads 'auto', 'real' or 'mock', not {data!r}; give your own table to starloom run")
    chosen = [*dict.fromkeys(names or registry.STUDIES)]
    for name in chosen:  # a wrong name or preset is told before the first study runs
        study.configure(registry.get(name), preset=preset, seed=seed, workers=workers)
    options = [f"--preset={preset}", f"--data={data}"]
    options += [f"--seed={seed}"] if seed is not None else []
    again = shlex.join(["starloom", "tour", *(names or []), *options, f"--out={out}"])
    run_options = options + ([f"--workers={workers}"] if workers is not None else [])

    make_folder(out)
    with lock(out / ".lock", wait=False):
        stops = {name: gallery.Stop(name) for name in chosen}
        if resume:
            stops |= {stop.study: stop for stop in _finished(out, again) if stop.study in stops}
        for place, name in enumerate(chosen, 1):
            if stops[name].state == "done":
                typer.echo(f"[{place} of {len(chosen)}] {name}: done before", err=True)
                continue
            typer.echo(f"[{place} of {len(chosen)}] {name}", err=True)
            stops[name] = replace(stops[name], state="running")
            gallery.build([*stops.values()], out, command=again)
            try:
                stops[name] = _run(name, run_options, out / name, resume)
            except KeyboardInterrupt:
                stops[name] = gallery.Stop(name)
                gallery.build([*stops.values()], out, command=again)
                typer.echo(f"starloom: interrupted; go on with: {again} --resume", err=True)
                raise typer.Exit(INTERRUPT_STATUS) from None
            _keep(out, again, stops.values())
        page = gallery.build([*stops.values()], out, command=again)
    failed = [stop.study for stop in stops.values() if stop.state == "failed"]
    typer.echo(
        f"{len(stops) - len(failed)} of {len(stops)} studies done"
        + (f"; failed: {', '.join(failed)}" if failed else "")
    )
    typer.echo(f"page: {page}")
    if failed:
        raise typer.Exit(1)


def _run(name: str, options: list[str], folder: Path, resume: bool) -> Stop:
    """One study in a process of its own, so that its memory is its own and a crash is only its own."""
    from starloom.report.gallery import Stop

    words = [
        sys.executable,
        "-m",
        "starloom",
        "run",
        name,
        *options,
        f"--out={folder}",
        *(["--resume"] if resume else []),
    ]
    started = time.monotonic()
    # in a session of its own, so that Ctrl-C reaches it once, from here
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stderr is not None
        last = ""
        try:
            for line in process.stderr:
                sys.stderr.write(line)
                last = line.strip() or last
            status = process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
    seconds = round(time.monotonic() - started, 1)
    if status == 0:
        return Stop(name, "done", seconds)
    if status == INTERRUPT_STATUS:
        raise KeyboardInterrupt
    ended = last or f"ended with status {status}"
    return Stop(name, "failed", seconds, ended if status > 0 else f"killed by signal {-status}; last words: {ended}")


def _keep(out: Path, command: str, stops: Iterable[Stop]) -> None:
    from starloom.files import write_json

    write_json(out / RECORD, {"command": command, "version": _version(), "stops": [asdict(stop) for stop in stops]})


def _finished(out: Path, command: str) -> list[Stop]:
    """The studies that an interrupted tour of the same command had finished; of a whole tour, none."""
    from starloom.report.gallery import Stop

    try:
        record = json.loads((out / RECORD).read_text())
        stops = [Stop(**entry) for entry in record["stops"]]
    except (OSError, ValueError, TypeError, KeyError):
        return []
    same = record.get("command") == command and record.get("version") == _version()
    if not same or all(stop.state == "done" for stop in stops):
        return []
    return [stop for stop in stops if stop.state == "done" and (out / stop.study / "results.json").exists()]


def _version() -> str:
    from importlib import metadata

    return metadata.version("starloom")
