"""The star foundation model applied to tables of any size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.stars.foundation import StarFoundation


@dataclass(frozen=True)
class AnswerJob:
    """Answers for some rows of a table.

    Parameters
    ----------
    folder : of a model; None for the one that comes with Starloom.
    request, given : as of ``StarFoundation.predict``; None for its default.
    label : what to call the table in messages.
    """

    folder: str | None
    request: tuple[str, ...] | None
    given: tuple[str, ...] | None
    label: str

    def __call__(self, batch: QTable, first: int) -> QTable:
        """The rows with answers."""
        return _model(self.folder).predict(batch, self.request, given=self.given, label=self.label)


@lru_cache(maxsize=2)
def _model(folder: str | None) -> StarFoundation:
    from starloom.stars.foundation import StarFoundation

    return StarFoundation.shipped() if folder is None else StarFoundation.load(folder)
