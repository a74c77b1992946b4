"""False alarms and delays of the feature monitor on 50 inputs, beside an ADWIN for each of them."""

from __future__ import annotations

import math
import time
from argparse import Namespace

import numpy as np
from river.drift import ADWIN

from services.monitoring import feature_monitor
from services.monitoring.feature_reference import read_reference
from services.monitoring.feature_statistics import Statistics, statistics_of
from services.training.dataset import Dataset
from services.training.reference import reference_inputs
from tests.benchmarks import _intervals as intervals
from tests.benchmarks._parallel import in_parallel
from tests.benchmarks._streams import Generator, Values, autoregressive
from tests.reports import Report, Row

NAMES = tuple(f"x{i}" for i in range(50))
RHO = 0.9
RUN_LENGTH = 1e6
REFERENCE_ROWS = 5_000
REFERENCES = 40
QUIET = 1_000
LONGEST = 20_000
BATCH = 256
MILLION = 1e6
# Of the shifts of one input, in standard deviations, the delay that must be reached.
DELAYS = {0.5: 240.0, 1.0: 80.0}


def _figure(name: str, value: float, unit: str) -> Row:
    return Row(name, value, value, value, unit)


def inputs(given: Namespace, report: Report) -> None:
    """The part of the benchmark."""
    for rho in (0.0, RHO):
        report.add(*_false_alarms(given, rho))
        for shift, most in DELAYS.items():
            report.add(*_delays(given, rho, shift, most if rho == 0.0 else None))


def _name(rho: float) -> str:
    return f"AR({rho:g})" if rho else "i.i.d."


def _false_alarms(given: Namespace, rho: float) -> list[Row]:
    each = int(given.records * MILLION / REFERENCES)
    beside = int(each * given.adwin)
    seeds = np.random.SeedSequence([given.seed, int(10 * rho), 1]).spawn(REFERENCES)
    found = in_parallel(_null, [(seed, rho, each, beside) for seed in seeds])
    alarms, spent, its_alarms, its_spent = (sum(figures) for figures in zip(*found, strict=True))
    title, per = f"false alarms, 50 {_name(rho)} inputs", "a million records"
    return [
        intervals.rate(title, int(alarms), each * REFERENCES / MILLION, per, most=1.0),
        intervals.rate("  an ADWIN for each", int(its_alarms), beside * REFERENCES / MILLION, per),
        _figure("  CPU of a record", 1e6 * spent / (each * REFERENCES), "us"),
        _figure("  an ADWIN for each", 1e6 * its_spent / (beside * REFERENCES), "us"),
    ]


def _delays(given: Namespace, rho: float, shift: float, most: float | None) -> list[Row]:
    seeds = np.random.SeedSequence([given.seed, int(10 * rho), 2, int(10 * shift)]).spawn(given.runs)
    found = in_parallel(_delay, [(seed, number % len(NAMES), rho, shift) for number, seed in enumerate(seeds)])
    delays = [delay for delay, _, _ in found]
    early, first = sum(delay < 0 for delay in delays), sum(named for _, named, _ in found)
    title = f"delay, one of 50 {_name(rho)} inputs by {shift:g} sd"
    late = [delay for delay in delays if delay >= 0]
    return [
        intervals.median(title, late, f"records, {early} early", most=most),
        intervals.share("  named first", first, len(late), "of alarms", least=0.99 if rho == 0.0 else None),
        intervals.median("  the ADWIN of that input", [adwin for _, _, adwin in found], "records"),
    ]


def _records(rng: Generator, count: int, rho: float) -> Values:
    if rho == 0.0:
        return rng.standard_normal((count, len(NAMES)))
    return np.stack([autoregressive(rng, count, rho) for _ in NAMES], axis=1)


def _statistics(rng: Generator, rho: float) -> Statistics:
    """Those of a reference as training computes it."""
    rows, count = _records(rng, REFERENCE_ROWS, rho).astype(np.float32), REFERENCE_ROWS
    dataset = Dataset(
        task="regression", names=NAMES, kinds=("number",) * len(NAMES), numbers=rows,
        categories=np.empty((count, 0), dtype=object), target=np.zeros(count), ids=("",) * count,
        time_ms=np.zeros(count, dtype=np.int64),
    )  # fmt: skip
    statistics = statistics_of(read_reference(reference_inputs(dataset)), RUN_LENGTH)
    assert statistics is not None
    return statistics


def _rows(values: Values) -> list[dict[str, float]]:
    return [dict(zip(NAMES, row, strict=True)) for row in values.tolist()]


def _null(seed: np.random.SeedSequence, rho: float, records: int, beside: int) -> tuple[int, float, int, float]:
    """Alarms and processor time of one reference's monitor, and of ADWINs on the first `beside` of its records."""
    rng = np.random.default_rng(seed)
    statistics = _statistics(rng, rho)
    state, adwins = feature_monitor.start(statistics, RUN_LENGTH), [ADWIN() for _ in NAMES]
    alarms, spent, its_alarms, its_spent = 0, 0.0, 0, 0.0
    for first in range(0, records, LONGEST):
        values = _records(rng, min(LONGEST, records - first), rho)
        for start in range(0, len(values), BATCH):
            rows = _rows(values[start : start + BATCH])
            began = time.process_time()
            state, raised = feature_monitor.update_many(state, statistics, rows)
            middle = time.process_time()
            spent, alarms = spent + middle - began, alarms + len(raised)
            if first + start < beside:
                its_alarms += sum(_adwin(adwins, row) for row in rows)
                its_spent += time.process_time() - middle
    return alarms, spent, its_alarms, its_spent


def _adwin(adwins: list[ADWIN], row: dict[str, float]) -> int:
    found = 0
    for name, adwin in zip(NAMES, adwins, strict=True):
        adwin.update(row[name])
        found += adwin.drift_detected
    return found


def _delay(seed: np.random.SeedSequence, moved: int, rho: float, shift: float) -> tuple[float, bool, float]:
    """Records from the shift to the alarm, negative for an early one; whether that input is named first; ADWIN's."""
    rng = np.random.default_rng(seed)
    statistics = _statistics(rng, rho)
    state = feature_monitor.start(statistics, RUN_LENGTH)
    before, after = _records(rng, QUIET, rho), _records(rng, LONGEST, rho)
    after[:, moved] += shift
    adwin = _adwin_delay(np.concatenate([before[:, moved], after[:, moved]]))
    state, early = feature_monitor.update_many(state, statistics, _rows(before))
    if early:
        return -1.0, False, adwin
    for first in range(0, LONGEST, BATCH):
        state, alarms = feature_monitor.update_many(state, statistics, _rows(after[first : first + BATCH]))
        if alarms:
            return alarms[0].position - QUIET + 1.0, alarms[0].features[0].feature == NAMES[moved], adwin
    return math.inf, False, adwin


def _adwin_delay(values: Values) -> float:
    adwin = ADWIN()
    for position, value in enumerate(values.tolist()):
        adwin.update(value)
        if adwin.drift_detected and position >= QUIET:
            return position - QUIET + 1.0
    return math.inf
