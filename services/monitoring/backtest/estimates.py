"""How often a configuration would alarm without a change, and how soon after one: on a model's own losses, permuted.

False alarms: each permutation of a stretch is watched from a new reference on until its first alarm or its end. So many
outcomes were watched, so many permutations alarmed: their ratio estimates the run length to a false alarm, with the
interval of a Poisson count. Delays: a permutation is watched, and at a random outcome the mean loss rises; the median
is over all runs, those without an alarm included. The mean of a stretch lies above what its version began with if its
loss rose meanwhile: a permutation spreads that rise evenly.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.monitoring.backtest import intervals
from services.monitoring.backtest.permuted import Shuffled
from services.monitoring.backtest.recorded import Stretch
from services.monitoring.backtest.watchers import unwatched, watcher
from shared.contracts.definitions import Monitor
from shared.contracts.detectors import Detector

RISES = (0.05, 0.1, 0.2)
# Of the outcomes behind the reference, within so many the change comes.
_CHANGE_WITHIN = 1_000
_LONGEST_DELAY = 5_000
# One of KSWIN's tests costs as much as so many steps of another detector.
_WORK = {Detector.KSWIN: 50}
_FEWEST_RUNS = 20
# Runs in which nothing is watched are replaced by others, up to so many times as many.
_MOST_UNBOUNDED = 10


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """`alarms` permutations alarmed, in `outcomes` watched; in `unbounded` of them nothing was watched, for their first
    losses hang together too much to bound a mean. run_length: outcomes to a false alarm, None if there was
    none; low and high: its 95 % interval. high is None where nothing bounds it. cut_off: time was up before."""

    outcomes: int
    permutations: int
    unbounded: int
    alarms: int
    run_length: float | None
    low: float
    high: float | None
    cut_off: bool


@dataclass(frozen=True, slots=True)
class Delay:
    """After a rise of the mean loss by `rise`: of `runs`, `found` alarmed within `within` outcomes; the median of the
    delays, in outcomes, and its 95 % interval, None where it lies beyond. possible: the losses allow such a rise.
    early: further runs had alarmed before the change, and do not count; nor do `unbounded` ones (FalseAlarms)."""

    rise: float
    possible: bool
    runs: int = 0
    found: int = 0
    early: int = 0
    unbounded: int = 0
    median: float | None = None
    low: float | None = None
    high: float | None = None
    within: int = _LONGEST_DELAY
    cut_off: bool = False


class Estimates:
    """Of one configuration, on the stretches that are long enough. The same seed gives the same figures, unless the
    time is up before."""

    def __init__(self, monitor: Monitor, stretches: Sequence[Stretch], seed: int, seconds: float) -> None:
        self._monitor, self._seed = monitor, seed
        self._shuffled = [Shuffled(stretch) for stretch in stretches]
        self._weights = [shuffled.count for shuffled in self._shuffled]
        self._until_s = time.monotonic() + seconds
        self._work = _WORK.get(monitor.detector, 1)

    def false_alarms(self, outcomes: int) -> FalseAlarms:
        """On so many permuted outcomes; on fewer with a detector whose steps are dear."""
        rng, wanted = random.Random(f"{self._seed} false alarms"), outcomes // self._work
        watched = permutations = unbounded = alarms = 0
        cut_off = False
        while watched < wanted and not cut_off:
            losses = rng.choices(self._shuffled, self._weights)[0].losses(rng)
            first = unwatched(self._monitor)
            watching = watcher(self._monitor, losses[:first])
            permutations += 1
            if watching is None:
                unbounded += 1
            else:
                at = watching.first_alarm(losses[first:])
                watched += len(losses) - first if at is None else at + 1
                alarms += at is not None
            cut_off = time.monotonic() > self._until_s
            if unbounded == permutations > _FEWEST_RUNS:
                break  # no reference bounds anything
        low, high = intervals.of_count(alarms)
        return FalseAlarms(
            watched, permutations, unbounded, alarms,
            run_length=watched / alarms if alarms else None,
            low=watched / high,
            high=watched / low if alarms else None,
            cut_off=cut_off,
        )  # fmt: skip

    def delay(self, rise: float, runs: int) -> Delay:
        """After a rise of the mean loss by so much; in fewer runs with a detector whose steps are dear."""
        rng, wanted = random.Random(f"{self._seed} rise of {rise}"), max(_FEWEST_RUNS, runs // self._work)
        delays, early, unbounded, cut_off = list[float](), 0, 0, False
        shares = [(shuffled, shuffled.share_raised(rise)) for shuffled in self._shuffled]
        possible = [(shuffled, share) for shuffled, share in shares if share is not None]
        if not possible:
            return Delay(rise, possible=False)
        weights = [shuffled.count for shuffled, _ in possible]
        while len(delays) + early < wanted and unbounded < _MOST_UNBOUNDED * wanted and not cut_off:
            found = self._one_delay(rng, *rng.choices(possible, weights)[0])
            if found is None:
                unbounded += 1
            elif found < 0:
                early += 1
            else:
                delays.append(found)
            cut_off = time.monotonic() > self._until_s
        return replace(_summed(rise, delays), early=early, unbounded=unbounded, cut_off=cut_off)

    def _one_delay(self, rng: random.Random, shuffled: Shuffled, share: float) -> float | None:
        """Below 0: an alarm before the change; None: nothing is watched."""
        losses = shuffled.losses(rng)
        change = self._monitor.reference_outcomes
        change += rng.randrange(min(_CHANGE_WITHIN, len(losses) - change) + 1)
        first = unwatched(self._monitor)
        watching = watcher(self._monitor, losses[:first])
        if watching is None:
            return None
        if watching.first_alarm(losses[first:change]) is not None:
            return -1.0
        seen = 0
        for raised in shuffled.raised(rng, share):
            at = watching.first_alarm(raised[: _LONGEST_DELAY - seen])
            if at is not None:
                return seen + at + 1
            seen += len(raised)
            if seen >= _LONGEST_DELAY:
                break
        return math.inf


def long_enough(monitor: Monitor, stretches: Sequence[Stretch]) -> list[Stretch]:
    """Those with more losses than the reference needs. All detectors are tried on the same ones."""
    return [stretch for stretch in stretches if len(stretch.losses) > monitor.reference_outcomes]


def _summed(rise: float, delays: Sequence[float]) -> Delay:
    if not delays:
        return Delay(rise, possible=True)
    median, low, high = (value if math.isfinite(value) else None for value in intervals.of_median(delays))
    found = sum(map(math.isfinite, delays))
    return Delay(rise, possible=True, runs=len(delays), found=found, median=median, low=low, high=high)
