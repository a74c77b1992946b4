"""The feature monitor on inputs of all kinds: numbers that may be missing, categories, new entities.

One monitor has them all under its one guarantee. Of entities it gets a category that says whether one is new, as a
derived input of a model may.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.monitoring import feature_monitor
from services.monitoring.feature_reference import read_reference
from services.monitoring.feature_statistics import Statistics, statistics_of
from services.training.dataset import Dataset
from services.training.reference import reference_inputs
from tests.benchmarks import _intervals as intervals
from tests.benchmarks._parallel import in_parallel
from tests.benchmarks._streams import Generator
from tests.reports import Report, Row

NUMBERS = tuple(f"number{i}" for i in range(10))
CATEGORIES = tuple(f"category{i}" for i in range(9))
ENTITY = "entity"
NAMES = (*NUMBERS, *CATEGORIES, ENTITY)
KNOWN = ("books", "food", "games", "tools", "travel")
SHARES = (0.1, 0.3, 0.25, 0.2, 0.15)
UNKNOWN = "garden"
MISSING_RATE, NEW_RATE = 0.01, 0.02
RUN_LENGTH = 1e6
REFERENCE_ROWS = 5_000
REFERENCES = 100
SHARE = 0.25
QUIET = 1_000
LONGEST = 10_000
BATCH = 256
MILLION = 1e6

Columns = dict[str, npt.NDArray[np.object_]]
Change = Callable[[Generator, Columns], None]


def _share_moves(rng: Generator, columns: Columns) -> None:
    """The rarest category from .1 to .2, at the cost of the others."""
    _put(rng, columns["category0"], 0.1 / 0.9, KNOWN[0])


def _more_missing(rng: Generator, columns: Columns) -> None:
    """The rate of missing numbers from .01 to .05."""
    _put(rng, columns["number0"], (0.05 - MISSING_RATE) / (1.0 - MISSING_RATE), None)


def _unseen(rng: Generator, columns: Columns) -> None:
    """A category that the reference has not seen, from 0 to .02."""
    _put(rng, columns["category1"], 0.02, UNKNOWN)


def _more_new(rng: Generator, columns: Columns) -> None:
    """Records of entities seen for the first time, from .02 to .06."""
    _put(rng, columns[ENTITY], (0.06 - NEW_RATE) / (1.0 - NEW_RATE), "new")


@dataclass(frozen=True, slots=True)
class Moved:
    """A change, and the input that it concerns."""

    name: str
    feature: str
    change: Change


CHANGES = (
    Moved("share of a category .1 -> .2", "category0", _share_moves),
    Moved("missing .01 -> .05", "number0", _more_missing),
    Moved("unseen category 0 -> .02", "category1", _unseen),
    Moved("new entities .02 -> .06", ENTITY, _more_new),
)


def mixed(given: Namespace, report: Report) -> None:
    """The part of the benchmark."""
    references = max(6, min(REFERENCES, int(20 * given.records)))
    each = int(given.records * SHARE * MILLION / references)
    seeds = np.random.SeedSequence([given.seed, *b"mixed"]).spawn(references)
    found = in_parallel(_reference, [(seed, each, -(-given.runs // references)) for seed in seeds])
    title = "false alarms, 20 inputs of all kinds"
    alarms = [one for one, _ in found]
    report.add(intervals.rate_of(title, alarms, each / MILLION, "a million records", most=1.0))
    for place, moved in enumerate(CHANGES):
        report.add(*_delays(moved, [delays[place] for _, delays in found]))


def _delays(moved: Moved, found: list[list[tuple[float, bool]]]) -> list[Row]:
    late = [[records for records, _ in runs if records >= 0] for runs in found]
    early = sum(records < 0 for runs in found for records, _ in runs)
    first = sum(named for runs in found for _, named in runs)
    return [
        intervals.median_of(f"delay, {moved.name}", late, f"records, {early} early"),
        intervals.share("  named first", first, sum(map(len, late)), "of alarms"),
    ]


def _put(rng: Generator, column: npt.NDArray[np.object_], share: float, value: str | None) -> None:
    others = np.array([held != value for held in column])
    column[others & (rng.random(len(column)) < share)] = value


def _columns(rng: Generator, count: int) -> Columns:
    columns: Columns = {}
    for name in NUMBERS:
        columns[name] = rng.standard_normal(count).astype(object)
        columns[name][rng.random(count) < MISSING_RATE] = None
    for name in CATEGORIES:
        columns[name] = np.array(KNOWN, dtype=object)[rng.choice(len(KNOWN), size=count, p=SHARES)]
    columns[ENTITY] = np.where(rng.random(count) < NEW_RATE, "new", "known").astype(object)
    return columns


def _rows(columns: Columns) -> list[dict[str, object]]:
    return [dict(zip(NAMES, values, strict=True)) for values in zip(*(columns[name] for name in NAMES), strict=True)]


def _statistics(rng: Generator) -> Statistics:
    columns = _columns(rng, REFERENCE_ROWS)
    numbers = np.stack([columns[name].astype(np.float32) for name in NUMBERS], axis=1)
    dataset = Dataset(
        task="regression", names=NAMES, kinds=("number",) * len(NUMBERS) + ("category",) * (len(CATEGORIES) + 1),
        numbers=numbers, categories=np.stack([columns[name] for name in (*CATEGORIES, ENTITY)], axis=1),
        target=np.zeros(REFERENCE_ROWS), ids=("",) * REFERENCE_ROWS,
        time_ms=np.zeros(REFERENCE_ROWS, dtype=np.int64),
    )  # fmt: skip
    statistics = statistics_of(read_reference(reference_inputs(dataset)), RUN_LENGTH)
    assert statistics is not None
    return statistics


def _reference(seed: np.random.SeedSequence, records: int, runs: int) -> tuple[int, list[list[tuple[float, bool]]]]:
    """Alarms without a change, and of each change the delays; whether what has moved is named first."""
    rng = np.random.default_rng(seed)
    statistics = _statistics(rng)
    state = feature_monitor.start(statistics, RUN_LENGTH)
    for first in range(0, records, LONGEST):
        columns = _columns(rng, min(LONGEST, records - first))
        state, _ = feature_monitor.update_many(state, statistics, _rows(columns))
    return state.alarms, [[_delay(rng, statistics, moved) for _ in range(runs)] for moved in CHANGES]


def _delay(rng: Generator, statistics: Statistics, moved: Moved) -> tuple[float, bool]:
    """-1 records for an alarm that came before the change."""
    quiet = _rows(_columns(rng, QUIET))
    state, early = feature_monitor.update_many(feature_monitor.start(statistics, RUN_LENGTH), statistics, quiet)
    if early:
        return -1.0, False
    for _ in range(LONGEST // BATCH):
        columns = _columns(rng, BATCH)
        moved.change(rng, columns)
        state, alarms = feature_monitor.update_many(state, statistics, _rows(columns))
        if alarms:
            return alarms[0].position - QUIET + 1.0, alarms[0].features[0].feature == moved.feature
    return float("inf"), False
