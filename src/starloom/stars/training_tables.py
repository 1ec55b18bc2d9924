"""What a training table can teach: the kinds that it holds enough of, and how its spectra are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from starloom.errors import CatalogError
from starloom.spectra.xp import SAMPLED_NM, XpBases, g_flux
from starloom.stars.observations import FLUX_UNIT, SpectrumReader, read_tokens, scalar_columns, vectors
from starloom.stars.tokens import COLORS, LABELS, MORE_LABELS, Kind, Vocabulary, coefficients

if TYPE_CHECKING:
    from astropy.table import QTable


def learnable(
    stars: QTable, held_out: NDArray[np.bool_], labels: Sequence[str] | None, bases: XpBases | None
) -> tuple[SpectrumReader | None, Vocabulary]:
    """The way to read the spectra of a training table, and the kinds it can teach."""
    columns = scalar_columns(stars, "the training table")
    kinds: list[Kind] = []
    reader = None
    if (flux := vectors(stars, "flux", "the training table", FLUX_UNIT)) is not None:
        error = vectors(stars, "flux_error", "the training table", FLUX_UNIT)
        if error is None or "phot_g_mean_mag" not in columns or flux.shape[1] != len(SAMPLED_NM):
            raise CatalogError(
                "spectra of a training table are 343 values in 'flux' with 'flux_error', and need phot_g_mean_mag"
            )
        scale = g_flux(columns["phot_g_mean_mag"])[:, None]
        whole = ~held_out & np.isfinite(flux).all(axis=1) & np.isfinite(error).all(axis=1) & np.isfinite(scale[:, 0])
        if whole.sum() < 200:
            raise CatalogError(f"{int(whole.sum())} training stars have a whole spectrum; at least 200 are needed")
        reader = SpectrumReader.fit(bases or XpBases.from_gaiaxpy(), (flux / scale)[whole], (error / scale)[whole])
        kinds += coefficients(reader.sizes)
    probe = Vocabulary([*COLORS, *LABELS, *MORE_LABELS])
    found = read_tokens(stars, probe, None, label="the training table")
    for kind in probe.kinds:
        count = int(np.isfinite(found.values[~held_out, probe.number(kind.name) - 1]).sum())
        wanted = kind.group == "color" or labels is None or kind.name in labels
        if labels is not None and kind.group == "label" and wanted and count < 10:
            raise CatalogError(f"the training table has {count} values of {kind.name!r}; at least 10 are needed")
        if wanted and count >= 10:
            kinds.append(kind)
    if unknown := [name for name in labels or () if name not in probe]:
        probe.number(unknown[0])
    return reader, Vocabulary(kinds)
