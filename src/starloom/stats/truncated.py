"""Densities on an interval: the truncated normal and the truncated exponential, differentiable in torch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
_FLAT = 1e-3  # |slope| * length below which the exponential's normalization is summed as a series


def normal_cdf(x: Tensor) -> Tensor:
    """Standard normal distribution function, shape of ``x``."""
    value: Tensor = torch.special.ndtr(x)
    return value


def log_normal(x: Tensor, mean: Tensor, log_sigma: Tensor) -> Tensor:
    """Log density of a normal; shapes broadcast, unit 1 / unit of x."""
    return -0.5 * ((x - mean) * torch.exp(-log_sigma)) ** 2 - log_sigma - HALF_LOG_TWO_PI


def log_normal_mass(mean: Tensor, sigma: Tensor, low: float, high: float) -> Tensor:
    """Log of the probability that a normal falls into (low, high], stable in both tails.

    Parameters
    ----------
    mean, sigma : broadcastable tensors in the unit of the interval.
    low, high : the ends of the interval, low < high.
    """
    a, b = (low - mean) / sigma, (high - mean) / sigma
    # Reflect so that the larger argument is the smaller in modulus: the difference of two values near 1 loses digits.
    flip = a + b > 0
    a, b = torch.where(flip, -b, a), torch.where(flip, -a, b)
    log_a, log_b = torch.special.log_ndtr(a), torch.special.log_ndtr(b)
    gap = torch.clamp(log_a - log_b, max=-torch.finfo(log_a.dtype).eps)
    mass: Tensor = log_b + torch.log1p(-torch.exp(gap))
    return mass


def log_truncated_normal(
    x: Tensor, mean: Tensor, log_sigma: Tensor, low: float, high: float, error: Tensor | None = None
) -> Tensor:
    """Log density of a normal, widened by measurement errors and then truncated to (low, high].

    s^2 = sigma^2 + error^2 and p = N(x; mean, s) / [Phi((high - mean)/s) - Phi((low - mean)/s)]
    (arXiv:2311.16960, section 2). ``x`` is not checked to lie inside.
    """
    if error is not None:
        log_sigma = 0.5 * torch.log(torch.exp(2.0 * log_sigma) + error**2)
    return log_normal(x, mean, log_sigma) - log_normal_mass(mean, torch.exp(log_sigma), low, high)


def log_truncated_exponential(x: Tensor, slope: Tensor, low: float, high: float) -> Tensor:
    """Log density of slope * exp(-slope (x - low)) / (1 - exp(-slope (high - low))) on (low, high].

    Continuous through slope = 0 (the uniform density), negative slopes rise with x (arXiv:2311.16960, section 2).
    """
    length = high - low
    y = slope * length
    flat = y.abs() < _FLAT
    safe = torch.where(flat, torch.ones_like(y), y)
    # log[y / (1 - exp(-y))]: near zero its series y/2 - y^2/24, exact to 1e-14 there
    log_ratio = torch.where(flat, y / 2 - y**2 / 24, torch.log(safe / -torch.expm1(-safe)))
    return log_ratio - math.log(length) - slope * (x - low)


def sample_truncated_exponential(uniform: Tensor, slope: Tensor, low: float, high: float) -> Tensor:
    """Values of the truncated exponential from uniform deviates in [0, 1) (inverse distribution function)."""
    y = slope * (high - low)
    flat = y.abs() < _FLAT
    safe = torch.where(flat, torch.ones_like(y), y)
    fraction = torch.where(flat, uniform, -torch.log1p(uniform * torch.expm1(-safe)) / safe)
    return low + (high - low) * fraction
