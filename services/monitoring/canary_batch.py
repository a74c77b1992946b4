"""Many pairs at once for the canary judge, for backtests and simulations: what `update` gives, pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from services.monitoring.canary_judge import BETS, JudgeState

Losses = Sequence[float | None] | npt.NDArray[np.float64]
_Values = npt.NDArray[np.float64]


def update_many(
    state: JudgeState, champion: Losses, candidate: Losses, first_position: int | None = None
) -> JudgeState:
    """The state after these pairs of losses, in their order; the same as `canary_judge.update` but for rounding.

    first_position: the ordinal of the first pair, which the others follow.
    """
    one, other = _values(champion), _values(candidate)
    has_one, has_other = _are_losses(one), _are_losses(other)
    state = replace(
        state,
        champion_invalid=state.champion_invalid + int((has_other & ~has_one).sum()),
        candidate_invalid=state.candidate_invalid + int((has_one & ~has_other).sum()),
        both_invalid=state.both_invalid + int((~has_one & ~has_other).sum()),
    )
    (known,) = np.nonzero(has_one)
    if len(known):
        # A candidate that failed has lost as much as can be lost.
        lost = np.where(has_other[known], other[known], 1.0) - one[known]
        promote, promoted = _wealth(state.promote, lost, -1.0)
        state = replace(state, promote=promote, log_e_max=max(state.log_e_max, promoted))
    (valid,) = np.nonzero(has_one & has_other)
    if not len(valid):
        return state
    one, other = one[valid], other[valid]
    difference = other - one
    harm, harmed = _wealth(state.harm, difference, 1.0)
    first, last = int(valid[0]), int(valid[-1])
    before = first_position if first_position is not None else 0
    return replace(
        state,
        harm=harm,
        log_e_harm_max=max(state.log_e_harm_max, harmed),
        count=state.count + len(valid),
        total=_sum(state.total, difference),
        total_squares=_sum(state.total_squares, difference * difference),
        champion_total=_sum(state.champion_total, one),
        candidate_total=_sum(state.candidate_total, other),
        first_position=state.first_position if state.count or first_position is None else before + first,
        last_position=None if first_position is None else before + last,
    )


def _values(losses: Losses) -> _Values:
    # None becomes NaN, which is no loss either.
    return np.asarray(losses, dtype=np.float64)


def _are_losses(values: _Values) -> npt.NDArray[np.bool_]:
    return (values >= 0.0) & (values <= 1.0)


def _wealth(logs: tuple[float, ...], difference: _Values, sign: float) -> tuple[tuple[float, ...], float]:
    """Log wealth of each bet in the end, and the largest log of their mean on the way."""
    steps = np.log1p(sign * np.multiply.outer(difference, np.asarray(BETS)))
    steps[0] += logs
    walks = np.cumsum(steps, axis=0)
    mixed = np.logaddexp.reduce(walks, axis=1) - np.log(len(BETS))
    return tuple(walks[-1].tolist()), float(mixed.max())


def _sum(before: float, values: _Values) -> float:
    return float(np.cumsum(np.concatenate(((before,), values)))[-1])
