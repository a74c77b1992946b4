"""Whether what passes the gate is better afterwards: candidates of both files, from starts drawn at random.

From each start the loop plays a stretch of the file with the policy of the example, what passes goes live at once; each
candidate then answers the next AFTER records beside the champion that it met. It is harmful where the 95 % interval of
its mean loss less the champion's lies above zero, good where it lies below. Beside it the same of all candidates, as
if there were no gate, and, on every second stretch, of those that a rollout let go live. Stretches overlap, and
candidates of one time share what the file does next: for the intervals those that begin in the same AFTER rows of it
are a group.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from deploy.simulation.decision_loop import Course
from deploy.simulation.remembered_fits import RememberedFits
from shared.contracts import control as c
from shared.contracts.autocorrelation import mean_interval
from tests.benchmarks import _courses as courses
from tests.benchmarks import _intervals as intervals
from tests.benchmarks._files import file_of, stream
from tests.benchmarks._parallel import in_parallel
from tests.reports import Report, Row

AFTER = 2_000
# Records of a stretch.
STRETCHES: Mapping[str, int] = {"electricity": 10_000, "bike": 8_000}
# The files take turns; stretches of electricity have fewer candidates.
TURNS = ("electricity", "bike", "electricity", "bike", "electricity")
MOST = 0.02


class Candidate(NamedTuple):
    """`first`: the record of the file from which on it is compared, when it had passed the gate, or was promoted.
    `live`: promoted by a rollout. difference: of its mean loss to the champion's, with its interval."""

    example: str
    first: int
    passed: bool
    live: bool
    difference: float
    low: float
    high: float

    @property
    def harmful(self) -> bool:
        return self.low > 0.0

    @property
    def good(self) -> bool:
        return self.high < 0.0


def candidates(example: str, seed: np.random.SeedSequence, rollouts: bool) -> tuple[list[Candidate], list[Candidate]]:
    """Of one stretch, from a random start: where what passes goes live at once, and through `rollouts`."""
    whole, length = stream(example), STRETCHES[example]
    start = int(np.random.default_rng(seed).integers(0, len(whole) - length - AFTER))
    records, fits = whole[start : start + length], RememberedFits()
    at_once = _of_course(example, courses.played(example, records, {}, at_once=True, fits=fits))
    if not rollouts:
        return at_once, []
    # Until the first retraining both courses are the same.
    return at_once, _of_course(example, courses.played(example, records, {}, at_once=False, fits=fits))


def _of_course(example: str, course: Course) -> list[Candidate]:
    whole, (_, model) = stream(example), courses.defined(example, {})
    live = {m.event.version: m.time_ms for m in course.events if isinstance(m.event, c.VersionPromoted)}
    found = list[Candidate]()
    for message in course.events:
        event = message.event
        if not isinstance(event, c.VersionRegistered) or event.gate.against is None:
            continue
        first = courses.next_after(whole, live.get(event.version, message.time_ms))
        after = whole[first : first + AFTER]
        new, champion = (
            courses.artifact_losses(model, course.artifacts[version], after)
            for version in (event.version, event.gate.against)
        )
        interval = mean_interval((new - champion).tolist())
        found.append(Candidate(example, first, event.gate_passed, event.version in live, *interval))
    return found


def gating(given: Namespace, report: Report) -> None:
    """The part of the benchmark."""
    if not all(file_of(example).exists() for example in STRETCHES):
        print("../shared/data lacks a file: no figures of the gate")
        return
    seeds = np.random.SeedSequence([given.seed, *b"gating"]).spawn(given.stretches)
    pieces = [(TURNS[number % len(TURNS)], seed, number % 2 == 0) for number, seed in enumerate(seeds)]
    played = in_parallel(candidates, pieces)
    at_once, through = ([one for of_stretch in played for one in of_stretch[way]] for way in (0, 1))
    passed = [one for one in at_once if one.passed]
    report.add(_harmful(f"promotions by the gate that harm, of {len(at_once)} candidates", passed, most=MOST))
    for example in STRETCHES:
        report.add(_harmful(f"  {example}", [one for one in passed if one.example == example]))
    report.add(
        _harmful("  ungated", at_once, "of candidates"),
        _harmful("  gated, and through a rollout", [one for one in through if one.live], most=MOST),
        intervals.share_of(
            "good candidates that the gate held back",
            _groups([one for one in at_once if one.good], lambda one: not one.passed),
            "of good ones",
        ),
    )


def _harmful(name: str, found: Sequence[Candidate], unit: str = "of promotions", most: float | None = None) -> Row:
    return intervals.share_of(name, _groups(found, lambda one: one.harmful), unit, most=most)


def _groups(found: Sequence[Candidate], holds: Callable[[Candidate], bool]) -> list[list[bool]]:
    groups: dict[tuple[str, int], list[bool]] = {}
    for one in found:
        groups.setdefault((one.example, one.first // AFTER), []).append(holds(one))
    return list(groups.values())
