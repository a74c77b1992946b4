"""What loss is normal for a version: an upper confidence bound of its mean, first from held-back rows, then in service.

The first `needed` valid outcomes of the version in service are summed up; until they are there, the bound from the
rows that training held back from the fit stands in (when the run gave one).

Bound: of n independent losses in [0, 1] with mean m and variance v (unbiased), the smaller of
- the Chernoff bound for bounded variables, sup{q >= m: n kl(m, q) <= ln(2 / (1 - confidence))} (Hoeffding 1963,
  "Probability Inequalities for Sums of Bounded Random Variables", theorem 1), the tighter one for 0/1 losses;
- the empirical Bernstein bound m + sqrt(2 v L / n) + 7 L / (3 (n - 1)), L = ln(4 / (1 - confidence)) (Maurer and
  Pontil 2009, theorem 4), the tighter one for losses of small variance.
Each holds with probability 1 - (1 - confidence) / 2, hence both with `confidence`, for any n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from services.monitoring.json_state import JsonState

# Halvings of [mean, 1]: after 60 the interval is below a double's resolution there.
_BISECTIONS = 60


class ReferenceSource(StrEnum):
    """Where a reference loss comes from."""

    HELD_BACK = "held_back"
    IN_SERVICE = "in_service"


@dataclass(frozen=True, slots=True)
class Reference:
    """A mean loss and its upper confidence bound, both in [0, 1]; count is 0 for held-back rows of unknown number."""

    mean: float
    upper: float
    source: ReferenceSource
    count: int


@dataclass(frozen=True, slots=True)
class ReferenceState(JsonState):
    """Sums over the version's first outcomes in service. Losses outside [0, 1] are never counted."""

    needed: int
    confidence: float
    held_back_mean: float | None = None
    held_back_upper: float | None = None
    count: int = 0
    total: float = 0.0
    total_squares: float = 0.0


def start(
    needed: int = 1000,
    confidence: float = 0.8,
    held_back_mean: float | None = None,
    held_back_upper: float | None = None,
) -> ReferenceState:
    """A reference that asks for `needed` outcomes in service; a held-back bound above 1 is taken as 1.

    Raises ValueError for figures that bound nothing.
    """
    if needed < 2:
        raise ValueError(f"a reference of {needed} outcomes bounds no mean; ask for at least 2, better 500")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence is {confidence}; it lies above 0 and below 1")
    if (held_back_mean is None) != (held_back_upper is None):
        raise ValueError("held-back rows give a mean and an upper bound, or neither")
    if held_back_mean is None or held_back_upper is None:
        return ReferenceState(needed, confidence)
    if not (held_back_mean <= held_back_upper and 0.0 <= held_back_mean <= 1.0):
        raise ValueError(f"held-back mean {held_back_mean} and bound {held_back_upper} are not in order within [0, 1]")
    return ReferenceState(needed, confidence, held_back_mean, min(1.0, held_back_upper))


def update(state: ReferenceState, loss: float) -> ReferenceState:
    """The state after one more loss; unchanged once complete, and by a loss that is not in [0, 1]."""
    if is_complete(state) or not 0.0 <= loss <= 1.0:
        return state
    return replace(
        state, count=state.count + 1, total=state.total + loss, total_squares=state.total_squares + loss * loss
    )


def is_complete(state: ReferenceState) -> bool:
    """Whether the outcomes in service suffice."""
    return state.count >= state.needed


def reference(state: ReferenceState) -> Reference | None:
    """The reference in force; None while there is neither a bound from held-back rows nor enough outcomes."""
    if is_complete(state):
        mean, upper = upper_mean(state.count, state.total, state.total_squares, state.confidence)
        return Reference(mean, upper, ReferenceSource.IN_SERVICE, state.count)
    if state.held_back_mean is None or state.held_back_upper is None:
        return None
    return Reference(state.held_back_mean, state.held_back_upper, ReferenceSource.HELD_BACK, 0)


def upper_mean(count: int, total: float, total_squares: float, confidence: float) -> tuple[float, float]:
    """The mean and its upper bound (module docstring) from n >= 2, the sum, and the sum of squares of the losses."""
    mean = min(1.0, max(0.0, total / count))
    variance = max(0.0, (total_squares - total * mean) / (count - 1))
    log_term = math.log(4.0 / (1.0 - confidence))
    bernstein = mean + math.sqrt(2.0 * variance * log_term / count) + 7.0 * log_term / (3.0 * (count - 1))
    return mean, min(1.0, bernstein, _chernoff_upper(mean, math.log(2.0 / (1.0 - confidence)) / count))


def _chernoff_upper(mean: float, divergence: float) -> float:
    low, high = mean, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        if _bernoulli_divergence(mean, middle) <= divergence:
            low = middle
        else:
            high = middle
    return high


def _bernoulli_divergence(p: float, q: float) -> float:
    hit = p * math.log(p / q) if p > 0.0 else 0.0
    if p >= 1.0:
        return hit
    return hit + (1.0 - p) * math.log((1.0 - p) / (1.0 - q)) if q < 1.0 else math.inf
