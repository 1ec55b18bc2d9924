"""Made spectra: they carry the labels they were made of, and what the telescope adds is there."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.errors import ConfigError
from starloom.simulation.stellar_spectra import (
    BRACKETT,
    ELEMENTS,
    Observing,
    element_abundances,
    make_spectra,
    pristine,
)

LIGHT = np.geomspace(15150.0, 16950.0, 3000)


def spectrum(teff=4800.0, logg=2.5, fe_h=0.0, alpha_m=0.0, c_n=0.0):
    elements = element_abundances([fe_h], [alpha_m], [c_n], scatter=0.0, seed=1)
    return pristine(LIGHT, [teff], [logg], elements)[0]


def test_lines_deepen_with_metals_and_cold():
    assert spectrum(fe_h=0.3).mean() < spectrum().mean() < spectrum(fe_h=-0.8).mean()
    assert spectrum(teff=4300.0).mean() < spectrum(teff=5200.0).mean()
    for name in ("alpha_m", "c_n", "logg"):
        changed = spectrum(**{name: 0.3 if name != "logg" else 2.8})
        assert 0.001 < np.abs(changed - spectrum()).max() < 0.3
    flux = spectrum()
    assert (flux > 0.0).all()
    assert (flux <= 1.0).all()


def test_hydrogen_lines_are_at_their_places_and_like_heat():
    change = spectrum(teff=5300.0) - spectrum(teff=5000.0)
    for center in BRACKETT:
        assert change[np.abs(LIGHT - center) < 0.5].min() < 0.02


def test_carbon_and_nitrogen_keep_their_sum():
    ratio = np.linspace(-0.6, 0.2, 9)
    found = element_abundances(np.zeros(9), np.zeros(9), ratio, scatter=0.0, seed=1)
    assert set(found) == set(ELEMENTS)
    assert found["c"] - found["n"] == pytest.approx(ratio)
    assert 4 * 10 ** found["c"] + 10 ** found["n"] == pytest.approx(np.full(9, 5.0))


def test_the_telescope_adds_noise_masks_and_gaps():
    count = 40
    settings = Observing(missing_chips=0.5)
    labels = [np.full(count, value) for value in (4800.0, 2.5, 0.0, 0.1, -0.2)]
    chips = ((100, 1000), (1100, 2000))
    made = make_spectra(LIGHT, *labels, seed=3, chips=chips, settings=settings)
    assert made.flux.shape == made.error.shape == made.mask.shape == (count, len(LIGHT))
    gone = (made.error > 1e8).any(axis=1)
    assert 8 < gone.sum() < 32
    assert (made.mask[gone] & 1).any(axis=1).all()
    ratio = np.median(made.flux / made.error, axis=1)
    assert 100 < np.median(ratio[~gone]) < 220
    again = make_spectra(LIGHT, *labels, seed=3, chips=chips, settings=settings)
    assert np.array_equal(made.flux, again.flux)


def test_bad_labels_are_refused():
    elements = element_abundances([0.0], [0.0], [0.0], scatter=0.0, seed=1)
    with pytest.raises(ConfigError, match="finite"):
        pristine(LIGHT, [np.nan], [2.5], elements)
    with pytest.raises(ConfigError, match="mg"):
        pristine(LIGHT, [4800.0], [2.5], {name: elements[name] for name in ELEMENTS if name != "mg"})
