"""Whether what passes the gate is better afterwards: candidates of both files, from starts drawn at random.

From each start the loop plays a stretch of the file with the policy of the example, what passes goes live at once; each
candidate then answers the next AFTER records beside the champion that it met. It is harmful where the 95 % interval of
its mean loss less the champion's lies above zero, good where it lies below. Beside it the same of all candidates, as
if there were no gate, and of those that a rollout let go live.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from shared.contracts import control as c
from shared.contracts.autocorrelation import mean_interval
from tests.benchmarks import _courses as courses
from tests.benchmarks import _intervals as intervals
from tests.benchmarks._files import file_of, stream
from tests.benchmarks._parallel import in_parallel
from tests.reports import Report, Row

AFTER = 2_000
# Records of a stretch, and how many candidates it has, about.
STRETCHES: Mapping[str, int] = {"electricity": 10_000, "bike": 8_000}
# The files take turns; stretches of electricity have fewer candidates.
TURNS = ("electricity", "bike", "electricity", "bike", "electricity")
MOST = 0.02


class Candidate(NamedTuple):
    """`live`: promoted by a rollout. difference: of its mean loss to the champion's, over the records after it passed
    the gate, or was promoted, with its interval."""

    example: str
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


def candidates(example: str, seed: np.random.SeedSequence, at_once: bool) -> list[Candidate]:
    """Of one stretch, from a random start."""
    whole, length = stream(example), STRETCHES[example]
    start = int(np.random.default_rng(seed).integers(0, len(whole) - length - AFTER))
    course = courses.played(example, whole[start : start + length], {}, at_once=at_once)
    _, model = courses.defined(example, {})
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
        found.append(Candidate(example, event.gate_passed, event.version in live, *interval))
    return found


def gating(given: Namespace, report: Report) -> None:
    """The part of the benchmark."""
    if not all(file_of(example).exists() for example in STRETCHES):
        print("../shared/data lacks a file: no figures of the gate")
        return
    seeds = np.random.SeedSequence([given.seed, *b"gating"]).spawn(given.stretches)
    pieces = [(TURNS[number % len(TURNS)], seed) for number, seed in enumerate(seeds)]
    at_once, through = (
        [one for found in in_parallel(candidates, [(*piece, once) for piece in pieces]) for one in found]
        for once in (True, False)
    )
    passed = [one for one in at_once if one.passed]
    report.add(_harmful(f"promotions by the gate that harm, of {len(at_once)} candidates", passed, MOST))
    for example in STRETCHES:
        report.add(_harmful(f"  {example}", [one for one in passed if one.example == example]))
    report.add(
        _harmful("  ungated", at_once),
        _harmful("  gated, and through a rollout", [one for one in through if one.live]),
        _held_back("good candidates that the gate held back", [one for one in at_once if one.good]),
    )


def _harmful(name: str, found: Sequence[Candidate], most: float | None = None) -> Row:
    return intervals.share(name, sum(one.harmful for one in found), len(found), "of promotions", most=most)


def _held_back(name: str, found: Sequence[Candidate]) -> Row:
    return intervals.share(name, sum(not one.passed for one in found), len(found), "of good ones")
