"""Where work in pieces is done: in this process, or by the workers of a Dask cluster (``--scheduler tcp://...``).

Pieces are cut the same way wherever they run, and carry their own seeds, so the result is the same. A piece that was on
a worker that died is done again by another; one that finished is not done twice for the result.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from importlib import import_module, metadata
from typing import Any, TypeVar

from starloom.errors import ConfigError, FitError

Item = TypeVar("Item")
Result = TypeVar("Result")

_client: ContextVar[Any] = ContextVar("cluster_client", default=None)
AHEAD = 4  # pieces handed out for each thread of the cluster
CONNECT_SECONDS = 20


@contextlib.contextmanager
def on(scheduler: str | None) -> Iterator[None]:
    """Give pieces of work to a cluster for the length of a block; None for this process.

    Parameters
    ----------
    scheduler : address of a Dask scheduler, such as ``tcp://node1:8786``. Its workers need the same Starloom, and the
        same files under the same paths.

    Raises
    ------
    ConfigError
        When Dask is not installed, nothing answers, or the workers have another Starloom.
    """
    if scheduler is None:
        yield
        return
    client = _connect(scheduler)
    token = _client.set(client)
    try:
        yield
    finally:
        _client.reset(token)
        client.close()


def _connect(scheduler: str) -> Any:
    try:
        distributed: Any = import_module("distributed")
    except ImportError as error:
        raise ConfigError(
            "a scheduler needs Dask, which is not installed here; pip install 'starloom[cluster]'"
        ) from error
    try:
        client = distributed.Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ConfigError(
            f"no Dask scheduler answers at {scheduler!r}: {error}; start one with `dask scheduler`"
        ) from error
    here = metadata.version("starloom")
    try:
        versions = client.run(_version)
    except Exception as error:  # whatever the workers cannot do
        client.close()
        raise ConfigError(f"the workers of {scheduler} cannot import starloom: {error}") from error
    other = {name: found for name, found in versions.items() if found != here}
    if other or not versions:
        client.close()
        name, found = next(iter(other.items()), ("", ""))
        problem = f"worker {name} has starloom {found}, and this is {here}" if other else "it has no workers"
        raise ConfigError(f"{scheduler}: {problem}")
    return client


def _version() -> str:
    return metadata.version("starloom")


def active() -> bool:
    """Whether pieces of work go to a cluster here."""
    return _client.get() is not None


def each(
    function: Callable[[Item], Result], items: Sequence[Item], *, what: str = "piece"
) -> Iterator[tuple[int, Result]]:
    """Apply a function to items, here in their order, on a cluster side by side.

    Parameters
    ----------
    function : of one item; on a cluster it has to be importable there.
    items : the pieces.
    what : one of them, in messages.

    Yields
    ------
    int, object
        Place of an item and its result, each once; in the order of their ends.

    Raises
    ------
    FitError
        When workers died again and again over the same piece.
    """
    client = _client.get()
    if client is None:
        for place, item in enumerate(items):
            yield place, function(item)
        return
    distributed: Any = import_module("distributed")

    ahead = max(AHEAD * sum(client.nthreads().values()), 1)
    places = {}

    def submit(place: int) -> Any:
        task = client.submit(function, items[place], pure=False)
        places[task.key] = place
        return task

    waiting = iter(range(len(items)))
    first = [submit(place) for _, place in zip(range(ahead), waiting, strict=False)]
    running = distributed.as_completed(first, loop=client.loop)
    try:
        for task in running:
            place = places.pop(task.key)
            try:
                result = task.result()
            except distributed.KilledWorker as error:
                raise FitError(f"workers died again and again over {what} {place}: {error}") from error
            yield place, result
            if (later := next(waiting, None)) is not None:
                running.add(submit(later))
    finally:
        client.cancel(list(running.futures), force=True)
