"""Streams whose truth is known."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

Values = npt.NDArray[np.float64]
Generator = np.random.Generator


def flips(rng: Generator, count: int, mean: float | Values) -> Values:
    """Independent 0/1 losses of the given mean, or means [count]."""
    return (rng.random(count) < mean).astype(np.float64)


def autoregressive(rng: Generator, count: int, rho: float) -> Values:
    """A stationary normal AR(1) of variance 1."""
    noise = rng.standard_normal(count + 1)
    noise[0] /= math.sqrt(1.0 - rho * rho)
    return np.asarray(lfilter([math.sqrt(1.0 - rho * rho)], [1.0, -rho], noise), dtype=np.float64)[1:]


def sticky(rng: Generator, count: int, mean: float, rho: float) -> Values:
    """0/1 losses of the given mean whose probit is autoregressive."""
    return (autoregressive(rng, count, rho) > NormalDist().inv_cdf(1.0 - mean)).astype(np.float64)


def seasonal(count: int, first: int, mean: float, amplitude: float, period: int) -> Values:
    """Mean losses of a season, from position `first` on."""
    return mean + amplitude * np.sin(2.0 * math.pi * (first + np.arange(count)) / period)
