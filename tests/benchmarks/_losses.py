"""False alarms and delays of the loss monitor, on 0/1 losses of mean 0.10, beside river's ADWIN."""

from __future__ import annotations

import math
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from services.monitoring import loss_monitor, reference_loss
from services.monitoring.loss_monitor import LossMonitorState
from shared.contracts import autocorrelation
from tests.benchmarks import _adwins as adwins
from tests.benchmarks import _intervals as intervals
from tests.benchmarks._parallel import in_parallel
from tests.benchmarks._streams import Generator, Values, flips, sticky
from tests.reports import Report, Row

MEAN = 0.1
RHO = 0.9
RUN_LENGTH = 1e6
REFERENCE_OUTCOMES = 5_000
REFERENCES = 400
QUIET = 1_000
LONGEST = 50_000
MILLION = 1e6
CHUNK = 1_000
# Of the errors after the change, the delay that must be reached.
DELAYS = {0.15: 950.0, 0.2: 240.0, 0.3: 85.0}

# Of the references that show what their uncertainty does.
SIZES = (500, 1_000, 2_000, 5_000, 20_000)
SHARE_OF_SIZES = 0.05
PLAIN = "  against the sample's mean itself"

Draw = Callable[[Generator, int, float], Values]


def independent(rng: Generator, count: int, mean: float) -> Values:
    return flips(rng, count, mean)


def autocorrelated(rng: Generator, count: int, mean: float) -> Values:
    return sticky(rng, count, mean, RHO)


def losses(given: Namespace, report: Report) -> None:
    """The part of the benchmark."""
    for name, draw, most in (("i.i.d.", independent, 1.0), (f"AR({RHO:g})", autocorrelated, 1.0)):
        report.add(*_false_alarms(given, name, draw, most))
    for size in SIZES:
        report.add(*_by_size(given, size))
    for mean, most in DELAYS.items():
        report.add(*_delays(given, "i.i.d.", independent, mean, most))
    for mean in DELAYS:
        report.add(*_delays(given, f"AR({RHO:g})", autocorrelated, mean, None))


def references_of(given: Namespace) -> int:
    """How many: each of them costs something, so that a short run has few."""
    return max(20, min(REFERENCES, int(4 * given.millions)))


def _false_alarms(given: Namespace, name: str, draw: Draw, most: float) -> list[Row]:
    references = references_of(given)
    each, seeds = int(given.millions * MILLION / references), _seeds(given, f"null {name}", references)
    beside = int(each * given.adwin)
    found = in_parallel(_null, [(seed, draw, each, beside) for seed in seeds])
    title, per = f"false alarms, {name} losses", "a million outcomes"
    ours, its = [one.seconds / each for one in found], [one.adwin_seconds / beside for one in found]
    return [
        intervals.rate_of(title, [one.alarms for one in found], each / MILLION, per, most=most),
        intervals.rate_of("  ADWIN", [one.adwin_alarms for one in found], beside / MILLION, per),
        Row.of("  CPU of an outcome", [MILLION * one for one in ours], "us"),
        Row.of("  ADWIN", [MILLION * one for one in its], "us"),
    ]


def of_size(size: int) -> str:
    return f"false alarms, i.i.d., reference of {size:,}"


def _by_size(given: Namespace, size: int) -> list[Row]:
    """With the bound that allows for the reference's uncertainty, and without it."""
    references = references_of(given)
    each, seeds = int(given.millions * SHARE_OF_SIZES * MILLION / references), _seeds(given, f"size {size}", references)
    found, per = in_parallel(_null_of_size, [(seed, size, each) for seed in seeds]), "a million outcomes"
    return [
        intervals.rate_of(of_size(size), [bounded for bounded, _ in found], each / MILLION, per, most=1.0),
        intervals.rate_of(PLAIN, [plain for _, plain in found], each / MILLION, per),
    ]


def _delays(given: Namespace, name: str, draw: Draw, mean: float, most: float | None) -> list[Row]:
    seeds = _seeds(given, f"delay {name} {mean}", given.runs)
    found = in_parallel(_delay, [(seed, draw, mean) for seed in seeds])
    adwin = in_parallel(_adwin_delay, [(seed, draw, mean) for seed in seeds])
    delays, dated = [one[0] for one in found], [one[1] for one in found]
    early = sum(delay < 0 for delay in delays)
    title = f"delay, {name} losses, {MEAN:.2f} -> {mean:.2f}"
    return [
        intervals.median(title, [delay for delay in delays if delay >= 0], f"outcomes, {early} early", most=most),
        intervals.median("  the change was dated too late by", [off for off in dated if off == off], "outcomes"),
        intervals.median("  or off, either way, by", [abs(off) for off in dated if off == off], "outcomes"),
        intervals.median("  ADWIN", adwin, "outcomes"),
    ]


def _seeds(given: Namespace, of: str, count: int) -> list[np.random.SeedSequence]:
    return np.random.SeedSequence([given.seed, *of.encode()]).spawn(count)


def monitor_of(sample: Values, run_length: float = RUN_LENGTH) -> LossMonitorState:
    """That of a version whose first outcomes in service lost so much."""
    reference = reference_loss.bounded(autocorrelation.of_values(sample.tolist()), run_length)
    assert reference is not None, "a reference that bounds nothing would count as one without false alarms"
    return loss_monitor.start(reference.upper, 0.0, run_length, block=reference.block)


@dataclass(frozen=True, slots=True)
class Null:
    """Of one reference's monitor without a change, and of an ADWIN on the first of its outcomes."""

    alarms: int
    seconds: float
    adwin_alarms: int
    adwin_seconds: float


def _null(seed: np.random.SeedSequence, draw: Draw, outcomes: int, beside: int) -> Null:
    rng, spent, adwin = np.random.default_rng(seed), 0.0, adwins.Watch()
    state = monitor_of(draw(rng, REFERENCE_OUTCOMES, MEAN))
    for first in range(0, outcomes, LONGEST):
        values = draw(rng, min(LONGEST, outcomes - first), MEAN)
        given = values.tolist()
        began = time.process_time()
        state, _ = loss_monitor.update_many(state, given)
        spent += time.process_time() - began
        adwin.take(values[: max(0, beside - first)])
    return Null(state.alarms, spent, adwin.alarms, adwin.seconds)


def _null_of_size(seed: np.random.SeedSequence, size: int, outcomes: int) -> tuple[int, int]:
    """Alarms of the monitor against the bound of a sample, and of one against the sample's mean."""
    rng = np.random.default_rng(seed)
    sample = independent(rng, size, MEAN)
    bounded, plain = monitor_of(sample), loss_monitor.start(float(sample.mean()), 0.0, RUN_LENGTH)
    for first in range(0, outcomes, LONGEST):
        given = independent(rng, min(LONGEST, outcomes - first), MEAN).tolist()
        bounded, _ = loss_monitor.update_many(bounded, given)
        plain, _ = loss_monitor.update_many(plain, given)
    return bounded.alarms, plain.alarms


def _delay(seed: np.random.SeedSequence, draw: Draw, mean: float) -> tuple[float, float]:
    """Outcomes from the change to the alarm, negative for an early one, and how far off the change was dated."""
    rng = np.random.default_rng(seed)
    state = monitor_of(draw(rng, REFERENCE_OUTCOMES, MEAN))
    state, early = loss_monitor.update_many(state, draw(rng, QUIET, MEAN).tolist())
    if early:
        return -1.0, math.nan
    for _ in range(LONGEST // CHUNK):
        state, alarms = loss_monitor.update_many(state, draw(rng, CHUNK, mean).tolist())
        if alarms:
            return alarms[0].position - QUIET + 1.0, float(alarms[0].change_position - QUIET)
    return math.inf, math.nan


def _adwin_delay(seed: np.random.SeedSequence, draw: Draw, mean: float) -> float:
    """It has seen what made the reference, and the quiet outcomes; alarms until the change do not count."""
    rng, adwin = np.random.default_rng(seed), adwins.Watch()
    adwin.take(draw(rng, REFERENCE_OUTCOMES + QUIET, MEAN))
    return adwin.first_of(draw(rng, LONGEST, mean))
