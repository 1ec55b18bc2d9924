"""How well chains of draws have mixed: effective number of draws, and R-hat."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def effective_sample_size(values: Array) -> float:
    """Effective number of draws of (chains, n) by Geyer's initial monotone sequence (arXiv:1903.08008, section 3)."""
    chains, n = values.shape
    centered = values - values.mean(axis=1, keepdims=True)
    padded = np.fft.rfft(centered, 2 * n, axis=1)
    covariance = np.fft.irfft(padded * np.conj(padded), 2 * n, axis=1)[:, :n].real / n
    within = float(np.mean(covariance[:, 0]) * n / (n - 1))
    between = float(np.var(values.mean(axis=1), ddof=1)) if chains > 1 else 0.0
    total = within * (n - 1) / n + between
    if not total > 0:
        return float("nan")
    rho = 1.0 - (within - covariance.mean(axis=0) * n / (n - 1)) / total
    rho[0] = 1.0
    pairs = rho[: n // 2 * 2].reshape(-1, 2).sum(axis=1)
    last = int(np.argmax(pairs <= 0)) if (pairs <= 0).any() else len(pairs)
    kept = np.minimum.accumulate(pairs[:last])
    return float(chains * n / max(-1.0 + 2.0 * kept.sum(), 1.0 / np.log10(max(chains * n, 10))))


def split_r_hat(values: Array) -> float:
    """R-hat of (chains, n), each chain cut in two."""
    n = values.shape[1] // 2
    halves = np.concatenate([values[:, :n], values[:, n : 2 * n]])
    within = float(np.mean(np.var(halves, axis=1, ddof=1)))
    between = float(np.var(halves.mean(axis=1), ddof=1))
    return math.sqrt((n - 1) / n + between / within) if within > 0 else float("nan")
