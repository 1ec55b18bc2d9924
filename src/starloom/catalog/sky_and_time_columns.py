"""Sky coordinates and times of astropy as plain columns, which every file can hold and every model can read."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from astropy.table import Column, MaskedColumn, Table

from starloom.errors import CatalogError

_VOCABULARY = {"pm_ra_cosdec": "pmra", "pm_dec": "pmdec"}  # where astropy's name is another


def with_plain_columns(table: Table) -> Table:
    """The same table with numbers in place of its sky coordinates and text in place of its times; all else stays.

    A coordinate in ICRS becomes ``ra`` and ``dec``, with ``distance``, ``pmra``, ``pmdec`` and ``radial_velocity``
    where it has them, if the table has no position beside it. Otherwise, and in any other frame, the parts are called
    after the column: ``place_l`` and ``place_b``. A time becomes ISO text to the nanosecond, in its own scale. The
    description of a new column says what it was.

    Examples
    --------
    >>> from astropy.coordinates import SkyCoord
    >>> place = SkyCoord([1.0, 2.0], [3.0, 4.0], unit="deg")
    >>> with_plain_columns(Table({"id": [7, 8], "place": place})).colnames
    ['id', 'ra', 'dec']
    >>> with_plain_columns(Table({"id": [7, 8], "place": place.galactic})).colnames
    ['id', 'place_l', 'place_b']
    """
    from astropy.coordinates import BaseCoordinateFrame, SkyCoord
    from astropy.time import Time

    result = Table(meta=dict(table.meta))
    for name in table.colnames:
        column = table[name]
        if isinstance(column, (SkyCoord, BaseCoordinateFrame)):
            taken = {other.lower() for other in (*table.colnames, *result.colnames)} - {name.lower()}
            for part, values in _parts(column, name, taken).items():
                result[part] = values
        elif isinstance(column, Time):
            result[name] = _iso(column, name)
        else:
            result[name] = column
    return result


def _parts(column: Any, name: str, taken: set[str]) -> dict[str, Any]:
    from astropy.coordinates import SphericalRepresentation, UnitSphericalRepresentation
    from astropy.table import represent_mixins_as_columns

    from starloom.catalog.surveys import SURVEYS

    positions = {native.lower() for survey in SURVEYS.values() for native in survey.columns.get("ra", ("ra",))}
    if not issubclass(column.representation_type, (SphericalRepresentation, UnitSphericalRepresentation)):
        column = column.copy()
        column.representation_type = SphericalRepresentation
    apart = represent_mixins_as_columns(Table({name: column}))
    frame = column.replicate_without_data() if not hasattr(column, "frame") else column.frame.replicate_without_data()
    parts = {label.removeprefix(f"{name}."): apart[label] for label in apart.colnames}
    ours = {part: _VOCABULARY.get(part, part) for part in parts}
    if frame.name != "icrs" or taken & {*positions, *ours.values()}:
        ours = {part: f"{name}_{part}" for part in parts}
        while taken & {label.lower() for label in ours.values()}:
            ours = {part: f"{label}_" for part, label in ours.items()}
    told = " ".join(repr(frame)[1:-1].split()).replace(" Frame", "", 1)
    for part, values in parts.items():
        values.info.description = f"{part} of {name}, {told}"
    return {ours[part]: values for part, values in parts.items()}


def _iso(column: Any, name: str) -> Column:
    iso = column.copy(format="isot")
    iso.precision = 9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # years for which leap seconds are not known
        try:
            values = iso.value
        except ValueError as error:
            raise CatalogError(f"column '{name}' has times that are no dates of a calendar: {error}") from error
    gone = np.broadcast_to(np.asarray(column.mask), np.shape(values))
    text = np.asarray(getattr(values, "unmasked", values)).astype(np.str_)
    made = MaskedColumn(text, mask=gone) if gone.any() else Column(text)
    made.description = column.info.description or f"{name}, time scale {column.scale}"
    return made
