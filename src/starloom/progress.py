"""Progress of long work: a bar on a terminal, a line now and then in a log, nothing inside a library call.

The command line turns it on with ``shown(True)``; code that works long calls ``steps`` or ``bar`` and need not know.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")
Advance = Callable[..., None]

_shown: ContextVar[bool] = ContextVar("progress_shown", default=False)
LOG_SECONDS = 10.0


@contextlib.contextmanager
def shown(on: bool = True) -> Iterator[None]:
    """Show progress for the length of a block."""
    token = _shown.set(on)
    try:
        yield
    finally:
        _shown.reset(token)


def say(message: str) -> None:
    """Print one line to standard error when progress is shown."""
    if _shown.get():
        print(message, file=sys.stderr, flush=True)


@contextlib.contextmanager
def bar(label: str, total: int, unit: str = "steps") -> Iterator[Advance]:
    """A progress bar; the block calls ``advance(count=1, note="")``.

    On a terminal it is drawn with rich; in a log a line is printed every ten seconds.
    """
    if not _shown.get():
        yield lambda count=1, note="": None
        return
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
        notes = (TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
        with Progress(*columns, *notes, console=Console(stderr=True)) as drawn:
            task = drawn.add_task(label, total=total, note="")
            yield lambda count=1, note="": drawn.update(task, advance=count, note=note)
        return
    done, started, printed = 0, time.monotonic(), time.monotonic()

    def advance(count: int = 1, note: str = "") -> None:
        nonlocal done, printed
        done += count
        if time.monotonic() - printed > LOG_SECONDS:
            printed = time.monotonic()
            say(f"{label}: {done} of {total} {unit}, {printed - started:.0f} s {note}".rstrip())

    yield advance
    say(f"{label}: {done} {unit} in {time.monotonic() - started:.0f} s")


def steps(items: Iterable[Item], label: str, total: int, unit: str = "steps") -> Iterator[Item]:
    """Iterate with a progress bar."""
    with bar(label, total, unit) as advance:
        for item in items:
            yield item
            advance()
