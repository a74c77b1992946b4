"""When a version's loss has risen: a Shiryaev-Roberts mixture of betting e-detectors, and where the rise began.

For each of K = 8 bets, M_k <- (M_k + 1)(1 + bet_k (x - m0)); alarm when the weighted mean of the M_k reaches
`expected_run_length`; then it starts again. x is a statistic in [0, 1]; m0 = upper bound of its mean on the
reference + tolerance. The statistic is the loss, or the residual: how much more was lost than a version is expected to
lose on such a record (`shared/contracts/expected_loss.py`), mapped to [0, 1] by `ExpectedLoss.to_unit`. On residuals
the monitor tells a change of the concept from a season or a shift of the inputs that the expected loss knows about.

Guarantee: while the conditional mean of every x, given what came before, is at most m0, each factor is non-negative
with conditional mean at most 1, so (mean M) - n is a supermartingale and the expected number of outcomes to a false
alarm is at least `expected_run_length`, whatever the distribution of the losses. Source: Shin, Ramdas, Rinaldo,
"E-detectors: a nonparametric framework for sequential change detection" (2022), definition 2.2 and proposition 2.4;
bets after Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (2020). It does not hold
when m0 is too low (`reference_loss` allows for that), nor for autocorrelated losses, whose conditional mean swings
above m0: there x is the mean of a block of `block` losses, and the threshold `expected_run_length / block`.

Change point: for the leading bet, the start of the current excursion of its CUSUM, W <- max(W, 1) * factor: the
maximum-likelihood start of the change for that alternative (Page 1954). An estimate, without a guarantee.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from operator import mul

from services.monitoring.json_state import JsonState

# Of the bets, from the smallest to the largest. Weights of any size keep the guarantee; a change for which one of the
# outermost is the best is found soon enough by its neighbours.
WEIGHTS = (1, 2, 3, 4, 4, 3, 2, 1)
BETS = len(WEIGHTS)
_WEIGHT = sum(WEIGHTS)
# Below this a bet of 1 / m0 would let one single loss decide.
_SMALLEST_NULL_MEAN = 1e-3
# What the smallest bet is for: a rise by less takes thousands of outcomes to tell from none.
_SMALLEST_RISE = 0.03
# Of the largest admissible bet. Single losses jump, and bets beyond find nothing sooner; means of blocks hardly vary.
_LARGEST_FRACTION = 0.4
_LARGEST_FRACTION_OF_BLOCKS = 0.95


class Statistic(StrEnum):
    """What the monitor bets on."""

    LOSS = "loss"
    RESIDUAL = "residual"


@dataclass(frozen=True, slots=True)
class LossAlarm(JsonState):
    """An alarm with its evidence: feed the same losses from `first_position` on to `start` and it comes again.

    first_position: the first outcome since the monitor last (re)started. position: the outcome at which it alarmed.
    change_position: the estimated first outcome after the change. run_mean and since_change_mean: means of the
    monitored statistic over these spans. count: outcomes since the restart,
    `block` of which were taken together; then both positions are those of the first and the last outcome of a block.
    """

    statistic: Statistic
    evidence: float
    threshold: float
    reference_mean_upper: float
    tolerance: float
    null_mean: float
    leading_bet: float
    first_position: int
    position: int
    change_position: int
    count: int
    count_since_change: int
    run_mean: float
    since_change_mean: float
    block: int = 1


@dataclass(frozen=True, slots=True)
class LossMonitorState(JsonState):
    """Sums are since the last restart; `position` is that of the newest outcome seen, invalid ones included.

    threshold: of the weighted mean of the e-detectors. open_*: the block that is being filled.
    """

    statistic: Statistic
    reference_mean_upper: float
    tolerance: float
    threshold: float
    null_mean: float
    bets: tuple[float, ...]
    values: tuple[float, ...]
    cusums: tuple[float, ...]
    change_positions: tuple[int, ...]
    change_counts: tuple[int, ...]
    change_totals: tuple[float, ...]
    first_position: int
    position: int
    count: int = 0
    total: float = 0.0
    invalid: int = 0
    alarms: int = 0
    block: int = 1
    open_count: int = 0
    open_total: float = 0.0
    open_position: int = 0


def start(
    reference_mean_upper: float,
    tolerance: float = 0.0,
    expected_run_length: float = 1e6,
    *,
    statistic: Statistic = Statistic.LOSS,
    first_position: int = 0,
    block: int = 1,
) -> LossMonitorState:
    """A monitor against the bound of the reference's mean; both figures are in the unit of the statistic, [0, 1].

    first_position: the position of the next outcome. block: outcomes taken together, at least 1, for autocorrelated
    ones. Raises ValueError for a reference or run length that guarantees nothing.
    """
    if not (0.0 <= reference_mean_upper <= 1.0 and 0.0 <= tolerance <= 1.0):
        raise ValueError(
            f"reference bound {reference_mean_upper} or tolerance {tolerance} is out of range; "
            "both lie in [0, 1]: compute them from finite losses"
        )
    if not expected_run_length >= block >= 1:
        raise ValueError(
            f"expected_run_length is {expected_run_length} and a block {block}; "
            f"both count outcomes, and the run length is at least one block"
        )
    null_mean = min(1.0, max(_SMALLEST_NULL_MEAN, reference_mean_upper + tolerance))
    bets = _bets(null_mean, _LARGEST_FRACTION if block == 1 else _LARGEST_FRACTION_OF_BLOCKS)
    zeros, before = (0.0,) * BETS, (first_position,) * BETS
    return LossMonitorState(
        statistic=statistic,
        reference_mean_upper=reference_mean_upper,
        tolerance=tolerance,
        threshold=expected_run_length / block,
        null_mean=null_mean,
        bets=bets,
        values=zeros,
        cusums=zeros,
        change_positions=before,
        change_counts=(0,) * BETS,
        change_totals=zeros,
        first_position=first_position,
        position=first_position - 1,
        block=block,
    )


def update(
    state: LossMonitorState, value: float | None, *, position: int | None = None
) -> tuple[LossMonitorState, LossAlarm | None]:
    """One matured outcome's statistic. One that is None, not finite or outside [0, 1] is counted as invalid and moves
    nothing. position: the outcome's ordinal in the order of decision; the next one if not given.
    """
    if position is not None and position <= state.position:
        raise ValueError(f"outcome {position} comes after outcome {state.position}; outcomes are taken once, in order")
    ahead = 0 if position is None else position - state.position - 1
    state, alarms = _advance(state, (value,), ahead)
    return state, alarms[0] if alarms else None


def update_many(state: LossMonitorState, values: Iterable[float | None]) -> tuple[LossMonitorState, list[LossAlarm]]:
    """`update` for consecutive outcomes, with the same result."""
    return _advance(state, values, 0)


def evidence(state: LossMonitorState) -> float:
    """The weighted mean of the K e-detectors: the figure that alarms at `threshold`."""
    return sum(map(mul, WEIGHTS, state.values)) / _WEIGHT


def _bets(null_mean: float, largest: float) -> tuple[float, ...]:
    # Fractions of the largest admissible bet, 1 / m0: for 0/1 losses fraction f is the likelihood-ratio bet
    # for a mean of m0 + f (1 - m0); the grid is geometric in that rise.
    smallest = min(0.2, _SMALLEST_RISE / max(1.0 - null_mean, _SMALLEST_RISE))
    ratio = largest / smallest
    return tuple(smallest * ratio ** (k / (BETS - 1)) / null_mean for k in range(BETS))


def _advance(
    state: LossMonitorState, values: Iterable[float | None], ahead: int
) -> tuple[LossMonitorState, list[LossAlarm]]:
    run = _Run(state)
    run.position += ahead
    alarms = [alarm for value in values if (alarm := run.take(value)) is not None]
    return run.state(), alarms


class _Run:
    """The state opened for writing, so that a batch costs one copy of it."""

    def __init__(self, state: LossMonitorState) -> None:
        self.before = state
        self.limit = state.threshold * _WEIGHT
        self.values, self.cusums = list(state.values), list(state.cusums)
        self.positions, self.counts = list(state.change_positions), list(state.change_counts)
        self.totals = list(state.change_totals)
        self.first_position, self.position = state.first_position, state.position
        self.count, self.total = state.count, state.total
        self.invalid, self.alarms = state.invalid, state.alarms
        self.block = state.block
        self.open_count, self.open_total, self.open_position = state.open_count, state.open_total, state.open_position

    def take(self, value: float | None) -> LossAlarm | None:
        self.position += 1
        if value is None or not 0.0 <= value <= 1.0:
            self.invalid += 1
            return None
        if self.block == 1:
            return self._bet(value, self.position, 1, value)
        if not self.open_count:
            self.open_position = self.position
        self.open_count += 1
        self.open_total += value
        if self.open_count < self.block:
            return None
        count, total, self.open_count, self.open_total = self.open_count, self.open_total, 0, 0.0
        return self._bet(total / count, self.open_position, count, total)

    def _bet(self, value: float, position: int, count: int, total: float) -> LossAlarm | None:
        """On one value, or on the mean of a block, whose first outcome is at `position`."""
        values, cusums, bets = self.values, self.cusums, self.before.bets
        excess, mixture = value - self.before.null_mean, 0.0
        for k in range(BETS):
            factor = 1.0 + bets[k] * excess
            values[k] = (values[k] + 1.0) * factor
            mixture += WEIGHTS[k] * values[k]
            if cusums[k] > 1.0:
                cusums[k] *= factor
            else:
                cusums[k] = factor
                self.positions[k], self.counts[k], self.totals[k] = position, self.count, self.total
        self.count += count
        self.total += total
        return self._alarm(mixture / _WEIGHT) if mixture >= self.limit else None

    def _alarm(self, reached: float) -> LossAlarm:
        lead, state = self.values.index(max(self.values)), self.before
        since = self.count - self.counts[lead]
        alarm = LossAlarm(
            statistic=Statistic(state.statistic),
            evidence=reached,
            threshold=state.threshold,
            reference_mean_upper=state.reference_mean_upper,
            tolerance=state.tolerance,
            null_mean=state.null_mean,
            leading_bet=state.bets[lead],
            first_position=self.first_position,
            position=self.position,
            change_position=self.positions[lead],
            count=self.count,
            count_since_change=since,
            run_mean=self.total / self.count,
            since_change_mean=(self.total - self.totals[lead]) / since,
            block=self.block,
        )
        self.alarms += 1
        self.values, self.cusums = [0.0] * BETS, [0.0] * BETS
        self.first_position, self.count, self.total = self.position + 1, 0, 0.0
        return alarm

    def state(self) -> LossMonitorState:
        return replace(
            self.before,
            values=tuple(self.values),
            cusums=tuple(self.cusums),
            change_positions=tuple(self.positions),
            change_counts=tuple(self.counts),
            change_totals=tuple(self.totals),
            first_position=self.first_position,
            position=self.position,
            count=self.count,
            total=self.total,
            invalid=self.invalid,
            alarms=self.alarms,
            open_count=self.open_count,
            open_total=self.open_total,
            open_position=self.open_position,
        )
