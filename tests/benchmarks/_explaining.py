"""Whether the explanation of an alarm names the input first that has moved."""

from __future__ import annotations

from argparse import Namespace

import numpy as np

from services.monitoring.feature_reference import FeatureReference, read_reference
from services.monitoring.feature_shift import ShiftWindow, ranked, update_many
from tests.benchmarks import _intervals as intervals
from tests.benchmarks._parallel import in_parallel
from tests.benchmarks._streams import Generator
from tests.reports import Report

NAMES = tuple(f"x{i}" for i in range(50))
REFERENCE_ROWS = 5_000
KNOTS = 257
# By standard deviations, after so many records.
SHIFTS = {0.5: 240, 1.0: 80}


def explaining(given: Namespace, report: Report) -> None:
    """The part of the benchmark."""
    for shift, records in SHIFTS.items():
        seeds = np.random.SeedSequence([given.seed, records]).spawn(given.runs)
        pieces = [(seed, number % len(NAMES), shift, records) for number, seed in enumerate(seeds)]
        hits = sum(in_parallel(_named_first, pieces))
        title = f"named first of 50, moved by {shift:g} sd, {records} records"
        report.add(intervals.share(title, hits, given.runs, "of runs", least=0.99))


def _named_first(seed: np.random.SeedSequence, moved: int, shift: float, records: int) -> bool:
    rng = np.random.default_rng(seed)
    reference, recent = _reference(rng), rng.standard_normal((records, len(NAMES)))
    recent[:, moved] += shift
    rows = [dict(zip(NAMES, values, strict=True)) for values in recent.tolist()]
    window = update_many(ShiftWindow(block_size=records), reference, rows)
    return ranked(reference, window)[0].feature == NAMES[moved]


def _reference(rng: Generator) -> FeatureReference:
    sample = rng.standard_normal((REFERENCE_ROWS, len(NAMES)))
    knots = np.quantile(sample, np.linspace(0.0, 1.0, KNOTS), axis=0)
    numbers = {name: {"quantiles": knots[:, i].tolist(), "missing": 0.0} for i, name in enumerate(NAMES)}
    return read_reference({"numbers": numbers})
