"""What the retrain policy makes of the real files, beside a timer that retrains as often, and beside nothing.

Each course is the example's model from the first row on, through the decision loop with real fits: with what passes the
gate live at once, as in the figures that are known of other methods on these files, and with the example's rollout. One
course is a few decisions, and a row more or less at its start gives another one; so the same is told of STARTS. On
permuted rows there is nothing to be found, and a run is a false alarm.
"""

from __future__ import annotations

import statistics
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from services.training.evaluation import Losses
from shared.contracts import control as c
from shared.contracts.autocorrelation import mean_interval
from tests.benchmarks import _courses as courses
from tests.benchmarks._files import file_of, stream
from tests.benchmarks._parallel import in_parallel
from tests.reports import Report, Row

# Rows from one start to the next.
STARTS: Mapping[str, int] = {"electricity": 700, "bike": 300}
LEAST_ACCURACY, MOST_RETRAININGS, MOST_PERMUTED = 0.765, 10, 3
NEVER: courses.Settings = {"retrain": {"policy": "never"}}
FIGURES: Mapping[str, tuple[str, Callable[[Losses, Losses], Losses]]] = {
    "electricity": ("accuracy", lambda output, label: ((output >= 0.5) == (label > 0.5)).astype(np.float64)),
    "bike": ("rentals off", lambda output, label: np.abs(output - label)),
}
Span = tuple[int, int | None]
# The arguments of `played`.
Piece = tuple[str, Span, courses.Settings, bool, int | None]
# A file, and what of it.
Kind = tuple[str, str]


class Played(NamedTuple):
    """figures: of each record from the first answer on [n], as FIGURES has them. retrainings: after the first fit."""

    figures: Losses
    first: int
    retrainings: int
    by_drift: int


def policies(given: Namespace, report: Report) -> None:
    """The part of the benchmark."""
    files = [example for example in FIGURES if file_of(example).exists()]
    for example in sorted(FIGURES.keys() - files):
        print(f"../shared/data/{file_of(example).name} is absent: no figures of it")
    if not files:
        return
    spans = {example: [(number * STARTS[example], given.rows) for number in range(given.starts)] for example in files}
    pieces: dict[Kind, list[Piece]] = {}
    for example in files:
        pieces[example, "evidence"] = [(example, span, {}, True, None) for span in spans[example]]
        pieces[example, "rollouts"] = [(example, span, {}, False, None) for span in spans[example]]
        pieces[example, "never"] = [(example, spans[example][0], NEVER, True, None)]
    if "electricity" in files:
        seeds = np.random.SeedSequence([given.seed, *b"permuted"]).generate_state(given.permutations).tolist()
        pieces["electricity", "permuted"] = [("electricity", (0, given.rows), {}, True, seed) for seed in seeds]
    found = _all(pieces)
    found |= _all({
        (example, "timed"): [*map(_timer, found[example, "evidence"], pieces[example, "evidence"])]
        for example in files
    })  # fmt: skip
    for example in files:
        report.add(*_of_file(example, found, whole=given.rows is None))
    if "electricity" in files:
        report.add(_permuted(found["electricity", "permuted"]))


def _all(pieces: Mapping[Kind, list[Piece]]) -> dict[Kind, list[Played]]:
    """All in one queue, so that no core waits for the last of each kind."""
    made = iter(in_parallel(played, [piece for of_kind in pieces.values() for piece in of_kind]))
    return {kind: [next(made) for _ in of_kind] for kind, of_kind in pieces.items()}


def _of_file(example: str, found: Mapping[Kind, list[Played]], *, whole: bool) -> list[Row]:
    """Goals are those of whole files."""
    unit = FIGURES[example][0]
    least = LEAST_ACCURACY if example == "electricity" and whole else None
    evidence, timed = found[example, "evidence"], found[example, "timed"]
    rows = [
        *_course(f"{example}, by evidence", evidence, unit, least, MOST_RETRAININGS),
        *_course("  the same, through rollouts", found[example, "rollouts"], unit),
        *_course("  by a timer, as often", timed, unit),
        *_course("  never retrained", found[example, "never"], unit)[:1],
    ]
    mean, low, high = mean_interval(_paired(evidence, timed).tolist())
    goal = ("< 0", high < 0.0) if example == "bike" and whole else ("", None)
    return [*rows, Row("  by evidence less by a timer", mean, low, high, unit, *goal)]


def _course(
    name: str, found: list[Played], unit: str, least: float | None = None, most: int | None = None
) -> list[Row]:
    """Of the whole file, with its interval; then the same from all starts."""
    mean, low, high = mean_interval(found[0].figures.tolist())
    goal = ("", None) if least is None else (f">= {least:g}", high >= least)
    means, counts = [float(one.figures.mean()) for one in found], [float(one.retrainings) for one in found]
    rows = [
        Row(name, mean, low, high, unit, *goal),
        _count("    retrainings", found[0].retrainings, most),
    ]
    if len(found) > 1:
        rows += [
            Row(f"    from {len(found)} starts", statistics.median(means), min(means), max(means), unit),
            Row("    retrainings", statistics.median(counts), min(counts), max(counts), ""),
        ]
    return rows


def _count(name: str, count: int, most: int | None = None) -> Row:
    goal = ("", None) if most is None else (f"<= {most}", count <= most)
    return Row(name, float(count), float(count), float(count), "", *goal)


def _paired(evidence: Sequence[Played], timed: Sequence[Played]) -> Losses:
    """Of each record that all courses answer [n], the mean over starts of how far the two of one start are apart. The
    courses end with the same record."""
    count = min(len(one.figures) for one in (*evidence, *timed))
    apart = [one.figures[-count:] - other.figures[-count:] for one, other in zip(evidence, timed, strict=True)]
    return np.mean(apart, axis=0)


def _timer(course: Played, piece: Piece) -> Piece:
    """The course with as many retrainings at equal distances, the last one half of such before the end."""
    example, span, *_ = piece
    rows = int(len(course.figures) / (course.retrainings + 0.5))
    return example, span, {"retrain": {"policy": "every", "rows": rows}}, True, None


def played(example: str, span: Span, settings: courses.Settings, at_once: bool, seed: int | None) -> Played:
    """One course. `seed`: of a permutation of inputs and labels; times stay."""
    records = stream(example)[slice(*span)]
    if seed is not None:
        order = np.random.default_rng(seed).permutation(len(records)).tolist()
        records = tuple(
            replace(at, inputs=records[place].inputs, label=records[place].label)
            for at, place in zip(records, order, strict=True)
        )
    course = courses.played(example, records, settings, at_once=at_once)
    first = next((i for i, answer in enumerate(course.answers) if answer is not None), len(records))
    outputs = np.array([answer[1][0] for answer in course.answers[first:] if answer is not None])
    labels = np.array([float(record.label or 0.0) for record in records[first:]])
    reasons = [asked.reason for asked in course.of(c.RunRequested)]
    return Played(FIGURES[example][1](outputs, labels), first, len(reasons) - 1, reasons.count(c.RunReason.DRIFT))


def _permuted(found: list[Played]) -> Row:
    """Runs that were asked for although nothing changes, over all permutations of electricity."""
    name = f"electricity, {len(found)} permutations: retrainings by drift"
    return _count(name, sum(one.by_drift for one in found), MOST_PERMUTED)
