"""XP bases: against GaiaXPy's own sampling where its files are, and on a made instrument."""

from __future__ import annotations

import numpy as np
import pytest

from starloom.errors import CatalogError, ConfigError, DatasetError
from starloom.spectra.xp import (
    SAMPLED_NM,
    Arm,
    XpBases,
    fit_projection,
    g_flux,
    hermite_functions,
    merge_weight,
    project,
)
from starloom.stars import mock
from starloom.stars.observations import SpectrumReader, vectors


@pytest.fixture(scope="module")
def real():
    try:
        return XpBases.from_gaiaxpy()
    except DatasetError as error:
        pytest.skip(f"GaiaXPy's bases cannot be had here: {error}")


def published():
    from starloom.datasets.access import open_table

    try:
        return open_table("gaia_xp_gaiaxpy"), open_table("gaia_xp_gaiaxpy", "calibrated_default")
    except DatasetError as error:
        pytest.skip(str(error))


def test_hermite_functions_are_orthonormal():
    x = np.linspace(-15, 15, 4001)
    functions = hermite_functions(x, 30)
    gram = functions.T @ functions * (x[1] - x[0])
    np.testing.assert_allclose(gram, np.eye(30), atol=1e-10)


def test_the_arms_are_mixed_where_they_overlap():
    assert merge_weight([600.0, 635.0, 639.0, 643.0, 700.0]).tolist() == [1.0, 1.0, 0.5, 0.0, 0.0]


def test_sampling_is_that_of_gaiaxpy(real):
    continuous, calibrated = published()
    ids = np.asarray(continuous["source_id"]).tolist()
    rows = [ids.index(source) for source in np.asarray(calibrated["source_id"])]
    parts = [vectors(continuous, f"{arm}_coefficients", "t") for arm in ("bp", "rp")]
    flux = real.sample(np.hstack(parts)[rows])
    reference = np.asarray(calibrated["flux"], dtype=float)
    # the reference was made with GaiaXPy's stored design matrix, whose digits show where large terms cancel
    assert np.median(np.abs(flux / reference - 1.0)) < 1e-5
    assert np.max(np.abs(flux / reference - 1.0)) < 3e-3


def test_an_absent_arm_leaves_the_other_alone(real):
    continuous, _ = published()
    parts = [vectors(continuous, f"{arm}_coefficients", "t") for arm in ("bp", "rp")]
    lost = ~np.isfinite(parts[0]).all(axis=1)
    assert lost.sum() == 1  # a source without BP: its list is empty in the file
    flux = real.sample(np.hstack(parts)[lost])
    assert np.isnan(flux[0, SAMPLED_NM < 643]).all()
    assert np.isfinite(flux[0, SAMPLED_NM >= 643]).all()


def test_both_ways_of_reading_a_spectrum_agree(real):
    """Published coefficients, and the same ones sampled first, become the same tokens; fluxes survive the round."""
    continuous, _ = published()
    values = np.hstack([vectors(continuous, f"{arm}_coefficients", "t") for arm in ("bp", "rp")])
    values = values[np.isfinite(values).all(axis=1)]
    flux = real.sample(values)
    rng = np.random.default_rng(1)
    many = flux[rng.integers(len(flux), size=300)] * rng.uniform(0.9, 1.1, (300, 1))
    many *= 1 + 0.05 * rng.standard_normal((300, 12)) @ rng.standard_normal((12, 343)) / 12
    level = np.median(many, axis=1, keepdims=True)
    reader = SpectrumReader.fit(real, many / level, np.full(many.shape, 0.01))
    scaled = values / np.median(flux, axis=1, keepdims=True)
    sampled, _ = reader.from_flux(real.sample(scaled), None)
    direct = np.hstack([reader.from_coefficients("bp", scaled[:, :55], None)[0],
                        reader.from_coefficients("rp", scaled[:, 55:], None)[0]])  # fmt: skip
    np.testing.assert_allclose(direct, sampled, rtol=1e-6, atol=1e-8 * np.abs(sampled).max())


def test_a_projection_without_noise_gives_the_coefficients_back():
    bases = mock.bases((6, 5))
    rng = np.random.default_rng(2)
    values = rng.normal(size=(40, 11))
    for arm, part in (("bp", values[:, :6]), ("rp", values[:, 6:])):
        kept = bases.pixels(arm)
        design = bases.designs[arm][kept] / mock.FLUX_PER_COUNT
        found = project(design, np.full(kept.sum(), 1e-6), np.full(part.shape[1], 10.0))
        np.testing.assert_allclose(part @ design.T @ found.matrix.T, part, atol=1e-6)
        assert found.effective == pytest.approx(part.shape[1], abs=1e-3)
        assert found.condition <= found.raw_condition * 1.001


def test_the_prior_holds_what_the_pixels_do_not_see():
    design = np.hstack([np.ones((20, 1)), np.zeros((20, 1))])  # the second coefficient has no flux at all
    found = project(design, np.full(20, 0.1), np.array([5.0, 2.0]))
    assert found.effective == pytest.approx(1.0, abs=1e-3)
    assert (np.ones((1, 20)) @ found.matrix.T)[0] == pytest.approx([1.0, 0.0], abs=1e-3)
    assert np.isfinite(found.raw_condition)


def test_projection_errors_are_those_of_repeated_noise():
    bases = mock.bases()
    stars = mock.make(400, 3)
    flux = np.asarray(stars["flux"].value, float)
    flux /= np.median(flux, axis=1, keepdims=True)
    fitted = fit_projection(bases, flux, np.full(flux.shape, 0.01))["rp"]
    rng = np.random.default_rng(4)
    pixels = bases.pixels("rp")
    noisy = flux[0, pixels] + 0.01 * rng.standard_normal((4000, pixels.sum()))
    seen = (noisy @ fitted.matrix.T).std(axis=0)
    expected = np.sqrt(0.01**2 * (fitted.matrix**2).sum(axis=1))
    np.testing.assert_allclose(seen, expected, rtol=0.06)  # 12 values, each to 1.1 %: false alarm below 1e-6


def test_bad_input_is_named(tmp_path):
    bases = mock.bases()
    with pytest.raises(CatalogError, match="26 a star are needed"):
        bases.sample(np.zeros((2, 110)))
    with pytest.raises(ConfigError, match="is the unit Angstrom"):
        XpBases.of({}, np.linspace(3360.0, 10200.0, 343))
    path = tmp_path / "bases.csv"
    path.write_text("nothing,here\n1,2\n")
    with pytest.raises(DatasetError, match="no bases of GaiaXPy"):
        Arm.read(path, path, path)


def test_flux_of_a_magnitude():
    assert g_flux([25.6873668671 - 5.0])[0] == pytest.approx(100.0)
