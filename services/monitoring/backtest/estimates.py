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
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """`alarms` permutations alarmed, in `outcomes` watched. run_length: outcomes to a false alarm, None if there was
    none; low and high: its 95 % interval. high is None where nothing bounds it. cut_off: time was up before."""

    outcomes: int
    permutations: int
    alarms: int
    run_length: float | None
    low: float
    high: float | None
    cut_off: bool


@dataclass(frozen=True, slots=True)
class Delay:
    """After a rise of the mean loss by `rise`: of `runs`, `found` alarmed within `within` outcomes; the median of the
    delays, in outcomes, and its 95 % interval, None where it lies beyond. possible: the losses allow such a rise.
    early: further runs had alarmed before the change, and do not count."""

    rise: float
    possible: bool
    runs: int = 0
    found: int = 0
    early: int = 0
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
        watched = permutations = alarms = 0
        cut_off = False
        while watched < wanted and not cut_off:
            losses = rng.choices(self._shuffled, self._weights)[0].losses(rng)
            first = unwatched(self._monitor)
            watching = watcher(self._monitor, losses[:first])
            permutations += 1
            if watching is not None:
                at = watching.first_alarm(losses[first:])
                watched += len(losses) - first if at is None else at + 1
                alarms += at is not None
            cut_off = time.monotonic() > self._until_s
            if permutations >= wanted:
                break  # no permutation has a reference that bounds anything
        low, high = intervals.of_count(alarms)
        return FalseAlarms(
            watched, permutations, alarms,
            run_length=watched / alarms if alarms else None,
            low=watched / high,
            high=watched / low if alarms else None,
            cut_off=cut_off,
        )  # fmt: skip

    def delay(self, rise: float, runs: int) -> Delay:
        """After a rise of the mean loss by so much; in fewer runs with a detector whose steps are dear."""
        rng, wanted = random.Random(f"{self._seed} rise of {rise}"), max(_FEWEST_RUNS, runs // self._work)
        delays, early, cut_off = list[float](), 0, False
        shares = [(shuffled, shuffled.share_raised(rise)) for shuffled in self._shuffled]
        possible = [(shuffled, share) for shuffled, share in shares if share is not None]
        if not possible:
            return Delay(rise, possible=False)
        weights = [shuffled.count for shuffled, _ in possible]
        while len(delays) + early < wanted and not cut_off:
            found = self._one_delay(rng, *rng.choices(possible, weights)[0])
            if found is not None:
                delays.append(found)
            else:
                early += 1
            cut_off = time.monotonic() > self._until_s
        return _summed(rise, delays, early, cut_off)

    def _one_delay(self, rng: random.Random, shuffled: Shuffled, share: float) -> float | None:
        """None: an alarm before the change, or no reference."""
        losses = shuffled.losses(rng)
        change = self._monitor.reference_outcomes
        change += rng.randrange(min(_CHANGE_WITHIN, len(losses) - change) + 1)
        first = unwatched(self._monitor)
        watching = watcher(self._monitor, losses[:first])
        if watching is None or watching.first_alarm(losses[first:change]) is not None:
            return None
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


def _summed(rise: float, delays: Sequence[float], early: int, cut_off: bool) -> Delay:
    found = sum(map(math.isfinite, delays))
    if not delays:
        return Delay(rise, possible=True, early=early, cut_off=cut_off)
    median, low, high = (value if math.isfinite(value) else None for value in intervals.of_median(delays))
    return Delay(rise, True, len(delays), found, early, median, low, high, cut_off=cut_off)
