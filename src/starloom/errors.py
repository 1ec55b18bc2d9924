"""The errors Starloom raises: one root, and each also a builtin.

A message says what was wrong, in which file, column and row, and what to do about it. The command line prints it as
one line with exit status 2 (``--debug`` shows the traceback).
"""

from __future__ import annotations


class StarloomError(Exception):
    """Root of every error that Starloom raises on purpose."""


class CatalogError(StarloomError, ValueError):
    """A table cannot be used: wrong format, empty, corrupt or inconsistent."""


class MissingColumnError(CatalogError):
    """A table lacks a column that a model needs."""


class UnitError(CatalogError):
    """A column carries a unit that cannot be converted to the one needed."""


class DatasetError(StarloomError, LookupError):
    """A named dataset is unknown, cannot be had here, or fails its checksum."""


class ConfigError(StarloomError, ValueError):
    """A setting is unknown or out of its range."""


class FitError(StarloomError, RuntimeError):
    """A fit cannot be made or did not give a usable result."""


class ModelFileError(StarloomError, ValueError):
    """A saved model or checkpoint is missing pieces, corrupt, or of another version."""


class OutputError(StarloomError, OSError):
    """A result cannot be written: no permission, no space, or the folder is in use."""
