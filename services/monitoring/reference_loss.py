"""What loss is normal for a version: a bound above its mean, first from held-back rows, then in service.

The first `needed` valid outcomes of the version in service are summed up; until they are there, the bound from the
rows that training held back from the fit stands in (when the run gave one).

Bound: of n losses in [0, 1] with mean m, variance v and autocorrelation time tau (`autocorrelation`), which tell as
much as n' = n / tau independent ones,

    m + z sqrt(v / n') + (1 + z^2) / n'

The last term keeps the bound above 0 where no loss was seen. z is as large as the monitor's run length asks for: where
the bound of one reference lies d below the true mean, losses drift upwards in the monitor's eyes, its best bet gains
d^2 / (2 v) a loss, and it alarms about every ln(A) 2 v / d^2 outcomes, A = `expected_run_length`. Averaged over
references (d / sqrt(v / n') is normal) that is h(z) / (2 n' ln A) false alarms an outcome, with h(z) = E[(Z - z)+^2] =
(1 + z^2) Q(z) - z phi(z); z is chosen so that it is half of 1 / A. An approximation, for n' of 30 and more; shown by
`tests/benchmarks/decisions.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from statistics import NormalDist

from services.monitoring.json_state import JsonState
from shared.contracts import autocorrelation

# Halvings of [0, 8]: after 60 the interval is below a double's resolution there.
_BISECTIONS = 60
_LARGEST_MARGIN = 8.0
# Fewer outcomes, or blocks of them, bound no mean.
LEAST_INDEPENDENT = 30
# Means of blocks of so many autocorrelation times are as good as independent: tried with AR(.9).
BLOCK_TIMES = 5.0
_NORMAL = NormalDist()


class ReferenceSource(StrEnum):
    """Where a reference loss comes from."""

    HELD_BACK = "held_back"
    IN_SERVICE = "in_service"


@dataclass(frozen=True, slots=True)
class Reference:
    """A mean loss and the bound above it, both in [0, 1]; count is 0 for held-back rows of unknown number.

    block: how many losses the monitor takes together, so that what it sees is as good as independent.
    """

    mean: float
    upper: float
    source: ReferenceSource
    count: int
    block: int = 1


@dataclass(frozen=True, slots=True)
class ReferenceState(JsonState):
    """The version's first outcomes in service. Losses outside [0, 1] are never counted."""

    needed: int
    expected_run_length: float
    held_back_mean: float | None = None
    held_back_upper: float | None = None
    levels: autocorrelation.Levels = ()


def start(
    needed: int,
    expected_run_length: float,
    held_back_mean: float | None = None,
    held_back_upper: float | None = None,
) -> ReferenceState:
    """A reference that asks for `needed` outcomes in service; a held-back bound above 1 is taken as 1.

    Raises ValueError for figures that bound nothing.
    """
    if needed < LEAST_INDEPENDENT:
        raise ValueError(f"a reference of {needed} outcomes bounds no mean; ask for {LEAST_INDEPENDENT}, better 5,000")
    if not expected_run_length >= 1.0:
        raise ValueError(f"expected_run_length is {expected_run_length}; it counts outcomes and is at least 1")
    if (held_back_mean is None) != (held_back_upper is None):
        raise ValueError("held-back rows give a mean and an upper bound, or neither")
    if held_back_mean is None or held_back_upper is None:
        return ReferenceState(needed, expected_run_length)
    if not (held_back_mean <= held_back_upper and 0.0 <= held_back_mean <= 1.0):
        raise ValueError(f"held-back mean {held_back_mean} and bound {held_back_upper} are not in order within [0, 1]")
    return ReferenceState(needed, expected_run_length, held_back_mean, min(1.0, held_back_upper))


def update(state: ReferenceState, loss: float) -> ReferenceState:
    """The state after one more loss; unchanged once complete, and by a loss that is not in [0, 1]."""
    if is_complete(state) or not 0.0 <= loss <= 1.0:
        return state
    return replace(state, levels=autocorrelation.with_value(state.levels, loss))


def is_complete(state: ReferenceState) -> bool:
    """Whether the outcomes in service suffice."""
    return autocorrelation.count(state.levels) >= state.needed


def reference(state: ReferenceState) -> Reference | None:
    """The reference in force; None where nothing bounds the loss: neither held-back rows nor enough outcomes, or so
    strongly autocorrelated ones that they make fewer than LEAST_INDEPENDENT blocks."""
    if is_complete(state):
        return bounded(state.levels, state.expected_run_length)
    if state.held_back_mean is None or state.held_back_upper is None:
        return None
    return Reference(state.held_back_mean, state.held_back_upper, ReferenceSource.HELD_BACK, 0)


def bounded(levels: autocorrelation.Levels, expected_run_length: float) -> Reference | None:
    """The reference that these outcomes in service give."""
    count, time = autocorrelation.count(levels), autocorrelation.autocorrelation_time(levels)
    independent, block = count / time, 1 if time == 1.0 else math.ceil(BLOCK_TIMES * time)
    if count / block < LEAST_INDEPENDENT:
        return None
    mean, z = autocorrelation.mean(levels), margin(independent, expected_run_length)
    error = math.sqrt(autocorrelation.variance(levels[0]) / independent)
    upper = mean + z * error + (1.0 + z * z) / independent
    return Reference(mean, min(1.0, upper), ReferenceSource.IN_SERVICE, count, block)


@lru_cache(maxsize=64)
def margin(independent: float, expected_run_length: float) -> float:
    """z of the bound (module docstring): standard errors of the mean, from 0 to 8."""
    share = independent * math.log(expected_run_length) / expected_run_length
    low, high = 0.0, _LARGEST_MARGIN
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _expected_square_beyond(middle) > share else (low, middle)
    return high


def _expected_square_beyond(z: float) -> float:
    return (1.0 + z * z) * (1.0 - _NORMAL.cdf(z)) - z * _NORMAL.pdf(z)
