"""False alarms and delays of the feature monitor on 50 inputs, beside an ADWIN for each of them."""

from __future__ import annotations

import math
import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from river.drift import ADWIN

from services.monitoring import feature_monitor
from services.monitoring.feature_reference import read_reference
from services.monitoring.feature_statistics import Statistics, statistics_of
from services.training.dataset import Dataset
from services.training.reference import reference_inputs
from tests.benchmarks import _intervals as intervals
from tests.benchmarks._parallel import in_parallel
from tests.benchmarks._streams import Generator, Values, autoregressive, seasonal
from tests.reports import Report, Row

NAMES = tuple(f"x{i}" for i in range(50))
RHO = 0.9
RUN_LENGTH = 1e6
REFERENCE_ROWS = 5_000
REFERENCES = 100
QUIET = 1_000
LONGEST = 10_000
STRETCHES = 6
BATCH = 256
MILLION = 1e6
PERIOD, AMPLITUDE = 2_000, 0.5
# Of the shifts of one input, in standard deviations, the delay that must be reached.
DELAYS = {0.5: 240.0, 1.0: 80.0}

Draw = Callable[[Generator, int, int], Values]


def independent(rng: Generator, first: int, count: int) -> Values:
    """Normal inputs [count, 50] of variance 1, from position `first` on."""
    return rng.standard_normal((count, len(NAMES)))


def autocorrelated(rng: Generator, first: int, count: int) -> Values:
    return np.stack([autoregressive(rng, count, RHO) for _ in NAMES], axis=1)


def in_season(rng: Generator, first: int, count: int) -> Values:
    """Each input with a season of half a standard deviation; they share it, with phases of their own."""
    season = [seasonal(count, first + PERIOD * i // len(NAMES), 0.0, AMPLITUDE, PERIOD) for i in range(len(NAMES))]
    return independent(rng, first, count) + np.stack(season, axis=1)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of streams: what goal is asked of it, and what shares of the records without a change, and of the runs of
    each delay, it gets."""

    name: str
    draw: Draw
    most: float | None
    records: float
    runs: float
    adwin: int = 0


KINDS = (
    Kind("i.i.d.", independent, 1.0, records=1.0, runs=1.0),
    # Its delays take a hundred times as many records.
    Kind(f"AR({RHO:g})", autocorrelated, 1.0, records=0.25, runs=0.1),
    Kind("seasonal", in_season, None, records=0.05, runs=0.0, adwin=2 * PERIOD),
)


@dataclass(frozen=True, slots=True)
class Null:
    """Alarms and seconds of one reference's monitor, and of ADWINs on the first of its records."""

    alarms: int
    seconds: float
    adwin_alarms: int
    adwin_seconds: float


@dataclass(frozen=True, slots=True)
class Delay:
    """Records from the shift to the alarm, -1 for one that came before; whether the input is named first; ADWIN's."""

    records: float
    first: bool
    adwin: float


def inputs(given: Namespace, report: Report) -> None:
    """The part of the benchmark."""
    references = max(6, min(REFERENCES, int(20 * given.records)))
    for kind in KINDS:
        each = int(given.records * kind.records * MILLION / references)
        beside = min(each, max(kind.adwin, int(each * given.adwin)))
        runs = math.ceil(given.runs * kind.runs / references)
        seeds = np.random.SeedSequence([given.seed, *kind.name.encode()]).spawn(references)
        found = in_parallel(_reference, [(seed, kind, each, beside, runs) for seed in seeds])
        report.add(*_false_alarms(kind, [null for null, _ in found], each, beside))
        if runs:
            for place, (shift, most) in enumerate(DELAYS.items()):
                report.add(*_delays(kind, [delays[place] for _, delays in found], shift, most))


def _false_alarms(kind: Kind, found: list[Null], each: int, beside: int) -> list[Row]:
    title, per = f"false alarms, 50 {kind.name} inputs", "a million records"
    ours, its = [one.seconds / each for one in found], [one.adwin_seconds / beside for one in found]
    ratios = [our / adwin for our, adwin in zip(ours, its, strict=True)]
    return [
        intervals.rate_of(title, [one.alarms for one in found], each / MILLION, per, most=kind.most),
        intervals.rate_of("  an ADWIN for each", [one.adwin_alarms for one in found], beside / MILLION, per),
        Row.of("  CPU of a record", [MILLION * one for one in ours], "us"),
        Row.of("  an ADWIN for each", [MILLION * one for one in its], "us"),
        Row.of("  CPU, ours over theirs", ratios, "times", most=None if kind.most is None else 1.0),
    ]


def _delays(kind: Kind, found: list[list[Delay]], shift: float, most: float) -> list[Row]:
    """Goals are those of independent inputs."""
    asked = kind.draw is independent
    runs = [run for reference in found for run in reference]
    late = [[run.records for run in reference if run.records >= 0] for reference in found]
    count, first = sum(map(len, late)), sum(run.first for run in runs)
    title, unit = f"delay, one of 50 {kind.name} inputs by {shift:g} sd", f"records, {len(runs) - count} early"
    return [
        intervals.median_of(title, late, unit, most=most if asked else None),
        intervals.share("  named first", first, count, "of alarms", least=0.99 if asked else None),
        intervals.median("  the ADWIN of that input alone", [run.adwin for run in runs], "records"),
    ]


def statistics_on(sample: Values) -> Statistics:
    """Those of a reference as training computes it from rows [n, 50]."""
    rows, count = sample.astype(np.float32), len(sample)
    dataset = Dataset(
        task="regression", names=NAMES, kinds=("number",) * len(NAMES), numbers=rows,
        categories=np.empty((count, 0), dtype=object), target=np.zeros(count), ids=("",) * count,
        time_ms=np.zeros(count, dtype=np.int64),
    )  # fmt: skip
    statistics = statistics_of(read_reference(reference_inputs(dataset)), RUN_LENGTH)
    assert statistics is not None
    return statistics


def rows_of(values: Values) -> list[dict[str, float]]:
    """As they come from the log."""
    return [dict(zip(NAMES, row, strict=True)) for row in values.tolist()]


def _reference(
    seed: np.random.SeedSequence, kind: Kind, records: int, beside: int, runs: int
) -> tuple[Null, list[list[Delay]]]:
    """Of one reference: the records without a change, and `runs` delays for each shift."""
    rng = np.random.default_rng(seed)
    statistics = statistics_on(kind.draw(rng, 0, REFERENCE_ROWS))
    null = _null(rng, kind.draw, statistics, records, beside)
    moved = rng.integers(len(NAMES), size=(len(DELAYS), runs)).tolist()
    delays = [
        [_delay(rng, kind.draw, statistics, place, shift) for place in places]
        for shift, places in zip(DELAYS, moved, strict=True)
    ]
    return null, delays


def _null(rng: Generator, draw: Draw, statistics: Statistics, records: int, beside: int) -> Null:
    state, adwins = feature_monitor.start(statistics, RUN_LENGTH), [ADWIN() for _ in NAMES]
    spent, its_alarms, its_spent = 0.0, 0, 0.0
    for first in range(0, records, LONGEST):
        values = draw(rng, REFERENCE_ROWS + first, min(LONGEST, records - first))
        for start in range(0, len(values), BATCH):
            rows = rows_of(values[start : start + BATCH])
            began = time.process_time()
            state, _ = feature_monitor.update_many(state, statistics, rows)
            middle = time.process_time()
            spent += middle - began
            if (left := beside - first - start) > 0:
                its_alarms += sum(_adwin(adwins, row) for row in rows[:left])
                its_spent += time.process_time() - middle
    return Null(state.alarms, spent, its_alarms, its_spent)


def _adwin(adwins: list[ADWIN], row: dict[str, float]) -> int:
    found = 0
    for name, adwin in zip(NAMES, adwins, strict=True):
        adwin.update(row[name])
        found += adwin.drift_detected
    return found


def _delay(rng: Generator, draw: Draw, statistics: Statistics, moved: int, shift: float) -> Delay:
    quiet, adwin, its = draw(rng, REFERENCE_ROWS, QUIET), ADWIN(), math.inf
    _first(adwin, quiet[:, moved])
    state = feature_monitor.start(statistics, RUN_LENGTH)
    state, early = feature_monitor.update_many(state, statistics, rows_of(quiet))
    found, first = (-1.0 if early else math.inf), False
    for begun in range(0, STRETCHES * LONGEST, LONGEST):
        values = draw(rng, REFERENCE_ROWS + QUIET + begun, LONGEST)
        values[:, moved] += shift
        its = begun + _first(adwin, values[:, moved]) if its == math.inf else its
        for start in range(0, LONGEST if found == math.inf else 0, BATCH):
            state, alarms = feature_monitor.update_many(state, statistics, rows_of(values[start : start + BATCH]))
            if alarms:
                found, first = alarms[0].position - QUIET + 1.0, alarms[0].features[0].feature == NAMES[moved]
                break
        if math.inf not in (found, its):
            break
    return Delay(found, first, its)


def _first(adwin: ADWIN, values: Values) -> float:
    """How many of these it takes to an alarm; to alarms before them it pays no heed."""
    for count, value in enumerate(values.tolist(), start=1):
        adwin.update(value)
        if adwin.drift_detected:
            return float(count)
    return math.inf
