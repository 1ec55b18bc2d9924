"""The target bits of SDSS-V (``SDSS5_TARGET_FLAGS``): which cartons, programs and mappers a spectrum was taken for.

Four mappings of bits to cartons exist; each is an object of its own, so that files of several releases can be read side
by side. A file says its mapping in the header keyword ``SDSSC2BV``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from starloom.catalog.bitmasks import Bytes, bit_set, pack_bits, packed, set_bits
from starloom.errors import CatalogError, ConfigError, MissingColumnError

if TYPE_CHECKING:
    from astropy.table import QTable

COLUMN = "sdss5_target_flags"
_NEEDED = ("flag_version", "label", "bit", "carton_pk", "program", "version", "name", "mapper")


@dataclass(frozen=True)
class TargetFlags:
    """One mapping of bits to cartons.

    Parameters
    ----------
    version : number of the mapping.
    bits : the bit of each entry (k,).
    labels : carton and plan, ``mwm_ob_core_0.5.1`` (k,).
    names, plans, programs, mappers : carton, plan, program and mapper of each entry (k,).
    carton_pks : key of the carton in the targeting database (k,); -1 for none.

    Examples
    --------
    >>> flags = TargetFlags.open(version=1)  # doctest: +SKIP
    >>> flags.decode(["02"])  # doctest: +SKIP
    [('mwm_snc_100pc_0.1.0',)]
    """

    version: int
    bits: NDArray[np.int64]
    labels: NDArray[np.str_]
    names: NDArray[np.str_]
    plans: NDArray[np.str_]
    programs: NDArray[np.str_]
    mappers: NDArray[np.str_]
    carton_pks: NDArray[np.int64]

    @classmethod
    def open(cls, version: int | None = None) -> TargetFlags:
        """The mapping of the dataset ``sdssv_targeting``; the newest one by default.

        Raises
        ------
        DatasetError
            When the table of bits cannot be had.
        ConfigError
            For an unknown version.
        """
        from starloom.datasets.access import open_table

        return cls.from_table(open_table("sdssv_targeting", "target_bits"), version)

    @classmethod
    def from_table(cls, table: QTable, version: int | None = None) -> TargetFlags:
        """A mapping from a table with one row a bit and version.

        Raises
        ------
        MissingColumnError
            When a column is missing.
        ConfigError
            When the table does not have that version.
        CatalogError
            When a bit is there twice or below zero.
        """
        if lost := [name for name in _NEEDED if name not in table.colnames]:
            raise MissingColumnError(f"the table of bits lacks the columns {', '.join(lost)}")
        versions = np.asarray(table["flag_version"])
        known = sorted({int(value) for value in versions})
        chosen = known[-1] if version is None and known else version
        if chosen not in known:
            raise ConfigError(f"no mapping of target bits has the version {version}; there are: {known}")
        part = table[versions == chosen]
        part = part[np.argsort(np.asarray(part["bit"]), kind="stable")]
        bits = np.asarray(part["bit"], dtype=np.int64)
        if len(bits) and (bits[0] < 0 or (np.diff(bits) == 0).any()):
            raise CatalogError(f"the bits of version {chosen} are not distinct numbers from 0")
        text = {
            name: np.asarray(part[name]).astype(np.str_) for name in _NEEDED[1:] if name not in ("bit", "carton_pk")
        }
        return cls(
            int(chosen or 0), bits, text["label"], text["name"], text["version"], text["program"], text["mapper"],
            np.asarray(part["carton_pk"], dtype=np.int64),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.bits)

    @property
    def width(self) -> int:
        """Bytes that hold all bits."""
        return int(self.bits.max()) // 8 + 1 if len(self.bits) else 0

    @cached_property
    def _places(self) -> NDArray[np.int64]:
        """Bit -> place of its entry, -1 for a bit without one."""
        places = np.full(self.width * 8, -1, dtype=np.int64)
        places[self.bits] = np.arange(len(self.bits))
        return places

    def bits_of(
        self,
        *,
        carton: str | None = None,
        plan: str | None = None,
        program: str | None = None,
        mapper: str | None = None,
    ) -> NDArray[np.int64]:
        """The bits of a carton (its name or its label), a plan, a program or a mapper, all conditions together.

        Raises
        ------
        ConfigError
            When a name is unknown to this mapping, with the closest known one, or no bit fulfills all conditions.
        """
        keep = np.ones(len(self.bits), dtype=bool)
        for what, wanted, columns in (
            ("carton", carton, (self.names, self.labels)),
            ("plan", plan, (self.plans,)),
            ("program", program, (self.programs,)),
            ("mapper", mapper, (self.mappers,)),
        ):
            if wanted is None:
                continue
            here = np.logical_or.reduce([column == wanted for column in columns])
            if not here.any():
                known = {str(value) for column in columns for value in column}
                close = difflib.get_close_matches(wanted, sorted(known), n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise ConfigError(f"version {self.version} of the target bits has no {what} {wanted!r}{hint}")
            keep &= here
        if not keep.any():
            raise ConfigError(
                f"version {self.version} of the target bits has no bit for all of these conditions together"
            )
        return self.bits[keep]

    def is_target(self, flags: Any, **conditions: str) -> NDArray[np.bool_]:
        """Whether each row was targeted by a carton, plan, program or mapper (see :meth:`bits_of`), shape (n,)."""
        return bit_set(packed(flags), self.bits_of(**conditions))

    def entries(self, flags: Any) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """All that is set: rows, bits, and places in this mapping (-1: a bit that it does not know), each (m,)."""
        rows, bits = set_bits(packed(flags))
        inside = bits < len(self._places)
        places = np.where(inside, self._places[np.where(inside, bits, 0)], -1)
        return rows, bits, places

    def decode(self, flags: Any) -> list[tuple[str, ...]]:
        """The labels of the cartons of each row; an unknown bit is called ``bit N``."""
        rows = packed(flags)
        found, bits, places = self.entries(rows)
        labels = np.where(places >= 0, self.labels[places], "") if len(self.labels) else np.full(len(places), "")
        words = [label or f"bit {bit}" for label, bit in zip(labels.tolist(), bits.tolist(), strict=True)]
        ends = np.searchsorted(found, np.arange(len(rows) + 1))
        return [tuple(words[a:b]) for a, b in pairwise(ends)]

    def table(self, flags: Any) -> QTable:
        """One row a bit that is set: ``row``, ``bit``, ``label``, ``carton``, ``plan``, ``program``, ``mapper``."""
        from astropy.table import QTable

        rows, bits, places = self.entries(flags)
        known = places >= 0
        result = QTable({"row": rows, "bit": bits})
        for name, column in (
            ("label", self.labels), ("carton", self.names), ("plan", self.plans), ("program", self.programs),
            ("mapper", self.mappers),
        ):  # fmt: skip
            result[name] = (
                np.where(known, column[np.where(known, places, 0)], "") if len(column) else np.full(len(rows), "")
            )
        return result

    def counts(self, flags: Any) -> QTable:
        """How many rows each carton of this mapping has: ``bit``, ``label``, ``carton``, ``program``, ``mapper``,
        ``rows``; only those that have any, the most frequent first.
        """
        from astropy.table import QTable

        _, _, places = self.entries(flags)
        number = np.bincount(places[places >= 0], minlength=len(self.bits))
        order = np.argsort(-number, kind="stable")
        order = order[number[order] > 0]
        return QTable(
            {
                "bit": self.bits[order], "label": self.labels[order], "carton": self.names[order],
                "program": self.programs[order], "mapper": self.mappers[order], "rows": number[order],
            }
        )  # fmt: skip

    def encode(self, rows: Sequence[Iterable[str]], width: int | None = None) -> Bytes:
        """Flags from the cartons of each row, by label or by name where the name has one bit only.

        Parameters
        ----------
        rows : for each row the labels of its cartons.
        width : bytes a row; by default as many as this mapping needs.

        Raises
        ------
        ConfigError
            For an unknown label, or a name that has several bits (several plans).
        """
        known: dict[str, int] = {}
        row_of: list[int] = []
        bit_of: list[int] = []
        for place, labels in enumerate(rows):
            if isinstance(labels, str):
                raise ConfigError(f"row {place}: give the cartons of a row as a list, not {labels!r}")
            for label in labels:
                if label not in known:
                    bits = self.bits_of(carton=label)
                    exact = self.bits[self.labels == label]
                    if len(bits) > 1 and len(exact) != 1:
                        plans = ", ".join(self.labels[np.isin(self.bits, bits)])
                        raise ConfigError(f"{label!r} has several bits; say which plan: {plans}")
                    known[label] = int(exact[0] if len(exact) else bits[0])
                row_of.append(place)
                bit_of.append(known[label])
        return pack_bits(row_of, bit_of, len(rows), self.width if width is None else width)


def flag_version(header: Any) -> int | None:
    """The mapping that a FITS header or a table's ``meta`` names (``SDSSC2BV``); None where it names none."""
    for key in ("SDSSC2BV", "sdssc2bv"):
        if key in header:
            return int(header[key])
    return None


def generation_members(members: QTable, generations: QTable, flags: TargetFlags, label: str = "v0.5.3") -> QTable:
    """The cartons of a targeting generation, with their labels where the flag tables name them.

    Parameters
    ----------
    members : ``generation_pk``, ``carton_pk``, one row a carton of a generation.
    generations : ``pk``, ``label``, one row a generation.
    flags : the mapping that names the cartons.
    label : the generation.

    Returns
    -------
    QTable
        ``carton_pk`` and ``label``, masked where the mapping has no bit for a carton.

    Raises
    ------
    ConfigError
        For an unknown generation.
    """
    from astropy.table import MaskedColumn, QTable

    known = np.asarray(generations["label"]).astype(np.str_)
    if label not in known:
        raise ConfigError(f"no targeting generation is called {label!r}; there are: {', '.join(known)}")
    pk = int(np.asarray(generations["pk"])[known == label][0])
    cartons = np.asarray(members["carton_pk"])[np.asarray(members["generation_pk"]) == pk]
    names = dict(zip(flags.carton_pks.tolist(), flags.labels.tolist(), strict=True))
    labels = [names.get(int(carton), "") for carton in cartons]
    mask = [not text for text in labels]
    return QTable({"carton_pk": cartons, "label": MaskedColumn(labels, mask=mask)})
