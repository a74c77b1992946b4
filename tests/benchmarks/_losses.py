"""False alarms and delays of the loss monitor, on 0/1 losses of mean 0.10, beside river's ADWIN."""

from __future__ import annotations

import math
import time
from argparse import Namespace
from collections.abc import Callable

import numpy as np
from river.drift import ADWIN

from services.monitoring import loss_monitor, reference_loss
from services.monitoring.loss_monitor import LossMonitorState
from shared.contracts import autocorrelation
from tests.benchmarks import _intervals as intervals
from tests.benchmarks._parallel import in_parallel
from tests.benchmarks._streams import Generator, Values, flips, sticky
from tests.reports import Report, Row

MEAN = 0.1
RHO = 0.9
RUN_LENGTH = 1e6
REFERENCE_OUTCOMES = 5_000
REFERENCES = 200
QUIET = 1_000
LONGEST = 50_000
MILLION = 1e6
CHUNK = 1_000
# Of the errors after the change, the delay that must be reached.
DELAYS = {0.15: 950.0, 0.2: 240.0, 0.3: 85.0}

Draw = Callable[[Generator, int, float], Values]


def _figure(name: str, value: float, unit: str) -> Row:
    return Row(name, value, value, value, unit)


def independent(rng: Generator, count: int, mean: float) -> Values:
    return flips(rng, count, mean)


def autocorrelated(rng: Generator, count: int, mean: float) -> Values:
    return sticky(rng, count, mean, RHO)


def losses(given: Namespace, report: Report) -> None:
    """The part of the benchmark."""
    for name, draw, most in (("i.i.d.", independent, 1.0), (f"AR({RHO:g})", autocorrelated, 1.0)):
        report.add(*_false_alarms(given, name, draw, most))
    for mean, most in DELAYS.items():
        report.add(*_delays(given, "i.i.d.", independent, mean, most))
    for mean in DELAYS:
        report.add(*_delays(given, f"AR({RHO:g})", autocorrelated, mean, None))


def _false_alarms(given: Namespace, name: str, draw: Draw, most: float) -> list[Row]:
    each = int(given.millions * MILLION / REFERENCES)
    found = in_parallel(_null, [(seed, draw, each) for seed in _seeds(given, f"null {name}", REFERENCES)])
    alarms, seconds = sum(one[0] for one in found), sum(one[1] for one in found)
    beside = int(each * given.adwin)
    adwin = in_parallel(_adwin_null, [(seed, draw, beside) for seed in _seeds(given, f"null {name}", REFERENCES)])
    its_alarms, its_seconds = sum(one[0] for one in adwin), sum(one[1] for one in adwin)
    title, per = f"false alarms, {name} losses", "a million outcomes"
    return [
        intervals.rate(title, alarms, each * REFERENCES / MILLION, per, most=most),
        intervals.rate("  ADWIN", its_alarms, beside * REFERENCES / MILLION, per),
        _figure("  CPU of an outcome", 1e6 * seconds / (each * REFERENCES), "us"),
        _figure("  ADWIN", 1e6 * its_seconds / (beside * REFERENCES), "us"),
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
        intervals.median("  its estimate of the change, off by", [off for off in dated if off == off], "outcomes"),
        intervals.median("  ADWIN", adwin, "outcomes"),
    ]


def _seeds(given: Namespace, of: str, count: int) -> list[np.random.SeedSequence]:
    return np.random.SeedSequence([given.seed, *of.encode()]).spawn(count)


def _monitor(rng: Generator, draw: Draw) -> LossMonitorState | None:
    levels = autocorrelation.of_values(draw(rng, REFERENCE_OUTCOMES, MEAN).tolist())
    reference = reference_loss.bounded(levels, RUN_LENGTH)
    return None if reference is None else loss_monitor.start(reference.upper, 0.0, RUN_LENGTH, block=reference.block)


def _null(seed: np.random.SeedSequence, draw: Draw, outcomes: int) -> tuple[int, float]:
    """Alarms of one reference's monitor, and its processor time."""
    rng = np.random.default_rng(seed)
    state, alarms, spent = _monitor(rng, draw), 0, 0.0
    if state is None:
        return 0, 0.0
    for _ in range(outcomes // LONGEST):
        values = draw(rng, LONGEST, MEAN).tolist()
        began = time.process_time()
        state, raised = loss_monitor.update_many(state, values)
        spent += time.process_time() - began
        alarms += len(raised)
    return alarms, spent


def _delay(seed: np.random.SeedSequence, draw: Draw, mean: float) -> tuple[float, float]:
    """Outcomes from the change to the alarm, negative for an early one, and how far off the change was dated."""
    rng = np.random.default_rng(seed)
    state = _monitor(rng, draw)
    if state is None:
        return math.inf, math.nan
    state, early = loss_monitor.update_many(state, draw(rng, QUIET, MEAN).tolist())
    if early:
        return -1.0, math.nan
    for _ in range(LONGEST // CHUNK):
        state, alarms = loss_monitor.update_many(state, draw(rng, CHUNK, mean).tolist())
        if alarms:
            return alarms[0].position - QUIET + 1.0, float(alarms[0].change_position - QUIET)
    return math.inf, math.nan


def _adwin_null(seed: np.random.SeedSequence, draw: Draw, outcomes: int) -> tuple[int, float]:
    rng, adwin, alarms = np.random.default_rng(seed), ADWIN(), 0
    values = draw(rng, outcomes, MEAN).tolist()
    began = time.process_time()
    for value in values:
        adwin.update(value)
        alarms += adwin.drift_detected
    return alarms, time.process_time() - began


def _adwin_delay(seed: np.random.SeedSequence, draw: Draw, mean: float) -> float:
    """It has seen what made the reference, and the quiet outcomes; alarms until the change do not count."""
    rng, adwin = np.random.default_rng(seed), ADWIN()
    for value in draw(rng, REFERENCE_OUTCOMES + QUIET, MEAN).tolist():
        adwin.update(value)
    for count, value in enumerate(draw(rng, LONGEST, mean).tolist(), start=1):
        adwin.update(value)
        if adwin.drift_detected:
            return float(count)
    return math.inf
