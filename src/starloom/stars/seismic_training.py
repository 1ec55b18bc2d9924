"""Train the seismic ages on a user's own pairs of spectra and power spectra."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from starloom.catalog.schema import Column, Schema, canonical
from starloom.errors import CatalogError

if TYPE_CHECKING:
    from astropy.table import QTable

    from starloom.stars.seismic_ages import SeismicAges

SCHEMA = Schema(
    name="pairs for seismic ages",
    meaning="giants with spectra, power spectra, seismic quantities and ages",
    columns=(
        canonical("teff", required=True),
        canonical("fe_h", required=True),
        canonical("teff_error"),
        canonical("fe_h_error"),
        Column("nu_max", "uHz", "frequency of maximum power", required=True),
        Column("delta_nu", "uHz", "large frequency separation", required=True),
        canonical("age", required=True),
        canonical("age_error"),
    ),
)


def train_on_table(
    table: QTable,
    folder: str | Path,
    out: str | Path,
    *,
    steps: int = 6000,
    size: int = 48,
    pressure: float = 128.0,
    seed: int = 1,
    continuum: ArrayLike | None = None,
) -> tuple[SeismicAges, dict[str, int]]:
    """Train a model on a table of pairs and save it.

    Parameters
    ----------
    table : see :data:`SCHEMA`, with ``spectrum_file`` or ``flux`` and ``flux_error``, and ``power_file`` or
        ``light_curve_file``; ``nu_max``, ``delta_nu`` and ``age`` may be missing in rows.
    folder : where relative paths begin.
    out : folder of the model; an interrupted training goes on from the checkpoint in it.
    steps, size, pressure, seed : see ``SeismicAges.fit_latents`` and ``NetworkSettings``.
    continuum : (7514,) continuum pixels; those of APOGEE DR17 by default.

    Returns
    -------
    model, left_out
        ``left_out`` counts the rows that could not be used, by reason.

    Raises
    ------
    CatalogError
        When a column is missing or no row has a spectrum and a power spectrum.
    FitError
        When there are too few pairs, seismic quantities or ages.
    """
    from starloom.stars.seismic_ages import SeismicAges
    from starloom.stars.seismic_network import NetworkSettings
    from starloom.stars.seismic_tables import power_of, spectra_of

    stars = SCHEMA.apply(table, label="the pairs", unique=None)
    if len(stars) == 0:
        raise CatalogError("the table of pairs has no rows")
    spectra = spectra_of(table, folder, continuum=continuum)
    target, missing = power_of(table, folder)
    why = np.where(spectra.reasons != "", spectra.reasons, missing)
    kept = np.flatnonzero(why == "")
    if len(kept) == 0:
        reason = Counter(why.tolist()).most_common(1)[0][0]
        raise CatalogError(f"no row has a spectrum and a power spectrum that can be used; the first reason: {reason}")
    used, pairs = stars[kept], spectra.rows(kept)
    checkpoint = Path(out) / "training.safetensors"
    model = SeismicAges.fit_latents(
        pairs.flux, pairs.error, target[kept], seed=seed, size=min(size, len(kept) - 1),
        settings=NetworkSettings(steps=steps, pressure=pressure), checkpoint=checkpoint, spacing=True,
    )  # fmt: skip
    latents = model.encode(pairs.flux, pairs.error)
    model.fit_seismic(latents, used["nu_max"].value, used["delta_nu"].value, seed=seed)
    model.fit_ages(latents, used, seed=seed)
    model.save(out)
    checkpoint.unlink(missing_ok=True)
    return model, dict(Counter(reason for reason in why.tolist() if reason))
