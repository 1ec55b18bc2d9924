"""The mixture of factor analyzers against dense normals, and its fit against a made truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from starloom.stars.completion import LEAST_NOISE, Completion

KINDS, COMPONENTS, FACTORS = 6, 3, 2


def made(seed=1):
    torch.manual_seed(seed)
    completion = Completion(KINDS, COMPONENTS, FACTORS)
    completion.weights.copy_(torch.tensor([0.5, 0.3, 0.2]))
    completion.centers.copy_(torch.randn(COMPONENTS, KINDS))
    completion.loadings.copy_(torch.randn(COMPONENTS, KINDS, FACTORS))
    completion.noise.copy_(0.05 + torch.rand(COMPONENTS, KINDS))
    return completion


def dense(completion):
    """Weights, means and full covariances of the components."""
    loadings = completion.loadings.double().numpy()
    noise = completion.noise.double().numpy()
    covariances = [part @ part.T + np.diag(psi) for part, psi in zip(loadings, noise, strict=True)]
    return completion.weights.double().numpy(), completion.centers.double().numpy(), covariances


def draw(completion, count, seed):
    weights, means, covariances = dense(completion)
    rng = np.random.default_rng(seed)
    which = rng.choice(COMPONENTS, size=count, p=weights / weights.sum())
    return np.array([rng.multivariate_normal(means[c], covariances[c]) for c in which])


def test_means_and_variances_are_those_of_the_mixture():
    completion, rng = made(), np.random.default_rng(4)
    weights, means, covariances = dense(completion)
    values = rng.normal(size=(12, KINDS))
    shown = rng.random((12, KINDS)) < 0.5
    shown[0], shown[1] = False, True
    mean, variance = completion(torch.from_numpy(values), torch.from_numpy(shown))
    for star in range(len(values)):
        s, lost = shown[star], ~shown[star]
        shares, centers, spreads = [], [], []
        for weight, mu, covariance in zip(weights, means, covariances, strict=True):
            gain = covariance[np.ix_(lost, s)] @ np.linalg.inv(covariance[np.ix_(s, s)])
            density = multivariate_normal(mu[s], covariance[np.ix_(s, s)]).pdf(values[star, s]) if s.any() else 1.0
            shares.append(weight * density)
            centers.append(mu[lost] + gain @ (values[star, s] - mu[s]))
            spreads.append(np.diag(covariance[np.ix_(lost, lost)] - gain @ covariance[np.ix_(s, lost)]))
        shares = np.array(shares) / np.sum(shares)
        expected = shares @ np.array(centers)
        spread = shares @ (np.array(spreads) + (np.array(centers) - expected) ** 2)
        np.testing.assert_allclose(mean[star].numpy()[lost], expected, atol=1e-5)
        np.testing.assert_allclose(variance[star].numpy()[lost], spread, rtol=1e-4)
        np.testing.assert_allclose(mean[star].numpy()[s], values[star, s], atol=1e-6)
        assert (variance[star].numpy()[s] == 0).all()


def test_the_likelihood_is_that_of_the_mixture_and_fitting_raises_it():
    truth = made()
    values = draw(truth, 3000, 5)
    weights, means, covariances = dense(truth)
    exact = np.log(sum(w * multivariate_normal(m, c).pdf(values) for w, m, c in zip(weights, means, covariances,
                                                                                    strict=True)))  # fmt: skip
    found = truth.posterior(torch.from_numpy(values), torch.ones(values.shape, dtype=torch.bool)).log_likelihood
    np.testing.assert_allclose(found.numpy(), exact, atol=1e-5)
    fitted = Completion(KINDS, COMPONENTS, FACTORS)
    likelihood = fitted.fit(values, seed=1, iterations=40)
    assert (np.diff(likelihood) > -1e-3).all()  # the weak prior on loadings may take a little back
    assert likelihood[-1] > likelihood[0] + 0.1
    assert likelihood[-1] > exact.mean() - 0.02  # at least the truth's, up to a local optimum


def test_gaps_in_the_training_stars_do_no_harm():
    """Half of all values are missing; what is filled in is nearly as good as with the true mixture."""
    truth = made()
    values, others = draw(truth, 6000, 6), draw(truth, 3000, 7)
    rng = np.random.default_rng(8)
    gaps = np.where(rng.random(values.shape) < 0.3, np.nan, values)
    fitted = Completion(KINDS, COMPONENTS, FACTORS)
    fitted.fit(gaps, seed=2, iterations=60)
    shown = torch.from_numpy(rng.random(others.shape) < 0.6)
    errors = []
    for completion in (truth, fitted):
        mean, variance = completion(torch.from_numpy(others), shown)
        away = (torch.from_numpy(others) - mean)[~shown]
        errors.append(float(away.square().mean()))
        assert float((away**2 / variance[~shown]).mean()) == pytest.approx(1.0, abs=0.1)
    assert errors[1] < 1.06 * errors[0]


def test_stars_far_away_and_kinds_without_noise_stay_finite():
    rng = np.random.default_rng(9)
    values = rng.normal(size=(400, 1)) * np.ones(KINDS)  # all kinds are one
    completion = Completion(KINDS, COMPONENTS, FACTORS)
    completion.fit(values, seed=3, iterations=20)
    assert (completion.noise >= LEAST_NOISE * 0.999).all()
    far = torch.full((2, KINDS), 1e6)
    shown = torch.zeros(2, KINDS, dtype=torch.bool)
    shown[0, 0] = True
    mean, variance = completion(far, shown)
    assert torch.isfinite(mean).all()
    assert torch.isfinite(variance).all()
    few = Completion(KINDS, COMPONENTS, FACTORS)
    few.fit(values[:2], seed=3, iterations=2)  # fewer stars than components
    assert torch.isfinite(few.noise).all()
