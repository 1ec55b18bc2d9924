"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="tcp://HOST:PORT",
        help="A Dask scheduler whose workers do it, in parts; the result is the same. They must see the same files.",
    ),
]
