"""Plays histories of one kind on the tree that this runs in, and says of each which guarantees no longer hold.

    python -m tests.mutants.histories free 1-12 5,6     # until 5 or 6 falls

A line of JSON for each seed: what fell, or what stopped the history before that could be seen.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import structlog

import shared.runtime.task
from deploy.simulation.faults import ALL_FAULTS, Faults
from deploy.simulation.platform import SimulatedPlatform
from deploy.simulation.world import DoesNotSettle
from shared.contracts import control as c
from shared.contracts.definitions import Policy
from tests import builders as b
from tests.chaos.crash_points import Point
from tests.mutants.mutant import ALIKE, REPLICAS, SETTLES
from tests.mutants.odd_histories import with_a_silent_writer, with_labels_when_due
from tests.scenarios import entity_workload, test_dead_letters, test_releases
from tests.scenarios.dying import dying
from tests.scenarios.invariants import check
from tests.scenarios.simulated import UNDECIDING, free, lockstep
from tests.scenarios.simulation.twists import Twist, twisted
from tests.scenarios.tables import replicas_hold_their_logs
from tests.scenarios.test_simulation import decisions, history_of, outcomes
from tests.scenarios.without_the_judge import without_the_judge
from tests.scenarios.workload import definitions
from tests.unit.control_plane import ControlPlane
from tests.unit.registry.invariants import violations as control_violations
from tests.unit.registry.test_any_order import Chaos

Found = tuple[int | str, str]  # what fell, and where
Play = Callable[[int], Iterator[Found]]


def under_faults(seed: int) -> Iterator[Found]:
    """All faults, one instance of each service or two."""
    yield from _violations(free(seed, instances=1 + seed % 2))


def in_brief(seed: int) -> Iterator[Found]:
    """The beginning of such a history: enough for what is wrong with every event."""
    yield from _violations(free(seed, count=10, instances=1 + seed % 2))


def in_rough_weather(seed: int) -> Iterator[Found]:
    """Sends that fail often, and processes that die soon after; not so often that they are never at work."""
    yield from _violations(free(seed, Faults(crash=0.012, fail=0.3), count=12))


def dying_in_a_commit(seed: int) -> Iterator[Found]:
    """Somebody dies within a transaction, with work in hand; not before the definitions are in force."""
    with dying(Point.IN_COMMIT, 34 + 17 * seed):
        platform = free(seed, count=10, instances=2)
    yield from _violations(platform)


def of_tables(seed: int) -> Iterator[Found]:
    """Logs of tables that lose their beginning again and again, so that whoever starts again needs a copy."""
    yield from _violations(free(seed, replace(ALL_FAULTS, expire=0.02, store=0.004), count=16))


def of_a_release(seed: int) -> Iterator[Found]:
    """Code that derives other events is started beside the old one, while records are on their way."""

    def half_way(platform: SimulatedPlatform) -> None:
        platform.world.begin(test_releases._release_2)

    platform = free(seed, instances=1 + seed % 2, count=14, half_way=half_way)
    for one in test_releases._violations(platform):
        if one.number != 10:  # the second computation does not know the new code
            yield one.number, one.text


def of_entities(seed: int) -> Iterator[Found]:
    """Views by several entities, and definitions that come while records are on their way."""
    first, later = entity_workload.first_half(), entity_workload.later()
    yield from _violations(free(seed, declared=first, made=entity_workload.blocks, later=later))


def with_letters(seed: int) -> Iterator[Found]:
    """Steps that raise, and dead letters that are replayed twice."""
    platform, defect, _ = test_dead_letters.replayed(seed)
    for text in test_dead_letters.violations(platform, defect):
        number, _, said = text.removeprefix("invariant ").partition(": ")
        yield int(number), said


def calm(workload: int) -> Iterator[Found]:
    """In lockstep without faults: the loop closes, with drift, a run on it, a rollout and a promotion."""
    yield from _violations(lockstep(workload, 1))


def in_lockstep(workload: int) -> Iterator[Found]:
    """One workload under two schedules, one of them with faults."""
    still, stormy = lockstep(workload, 1), lockstep(workload, 2, UNDECIDING)
    yield from _violations(still, replay=False)
    yield from _violations(stormy, replay=False)
    for what in (decisions, outcomes):
        if what(stormy) != what(still):
            yield ALIKE, f"{what.__name__} of workload {workload} are others under another schedule"


def of_control(seed: int) -> Iterator[Found]:
    """The registry and the schedule alone, with random events in random order, landing late; cheap, so twenty."""
    for one in range(20 * seed, 20 * seed + 20):
        history = _OfControl(one)
        plane = history.go(400)
        for text in control_violations(plane):
            number = text.partition(":")[0]
            yield (int(number) if number.isdecimal() else number), f"seed {one}: {text}"
        yield from _not_gated(one, plane)
        yield from history.overdue


def _not_gated(seed: int, plane: ControlPlane) -> Iterator[Found]:
    """2, by the figures of each gate, not by what it says of itself. Policy `every` is a gate of its own."""
    registered = {event.version: event for event in plane.events if isinstance(event, c.VersionRegistered)}
    for at, event in enumerate(plane.events):
        if not isinstance(event, c.RolloutStarted):
            continue
        version = registered[event.candidate]
        policies = {p.definitions.models[b.MODEL].retrain.policy for p in plane.platforms if p.definitions.models}
        figures = version.gate
        if version.gate_passed and Policy.EVERY not in policies and figures.candidate_loss >= figures.reference_loss:
            yield 2, f"seed {seed}: entry {at}: version {version.version} did not beat what it was compared with"


class _OfControl(Chaos):
    """Says that a deadline has passed, in place of stopping there."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.overdue: list[Found] = []

    def check_deadline(self) -> None:
        try:
            super().check_deadline()
        except AssertionError:
            self.overdue.append((17, f"a rollout goes on at {self.plane.now_ms}"))


def with_the_judge_away(workload: int) -> Iterator[Found]:
    """A judge that stands still for longer than labels take to expire, while a rollout is in progress."""
    yield from _violations(without_the_judge(workload))


def of_a_silent_writer(workload: int) -> Iterator[Found]:
    """One of those who write a log has not been heard yet."""
    yield from _violations(with_a_silent_writer(workload))


def when_due(workload: int) -> Iterator[Found]:
    """Labels that are dated exactly when an outcome falls due."""
    yield from _violations(with_labels_when_due(workload))


def with_missing_labels(seed: int) -> Iterator[Found]:
    """The beginning of a history in which a missing label means something."""
    *declared, model = definitions()
    yield from _violations(free(seed, declared=[*declared, *twisted([model], [Twist.ABSENT])], count=10))


HISTORIES: Mapping[str, Play] = {
    "free": under_faults,
    "brief": in_brief,
    "rough": in_rough_weather,
    "dying": dying_in_a_commit,
    "tables": of_tables,
    "release": of_a_release,
    "entities": of_entities,
    "letters": with_letters,
    "calm": calm,
    "lockstep": in_lockstep,
    "control": of_control,
    "judge away": with_the_judge_away,
    "silent": of_a_silent_writer,
    "when due": when_due,
    "missing": with_missing_labels,
}


def _violations(platform: SimulatedPlatform, *, replay: bool = True) -> Iterator[Found]:
    files = {task_id: task.file for p in platform.world.processes.values() for task_id, task in p.tasks.items()}
    history = history_of(platform)
    for one in check(history, platform.world.artifacts, files, replay=replay):
        yield one.number, one.text
    for text in replicas_hold_their_logs(platform, history):
        yield REPLICAS, text


def found(kind: str, seed: int) -> tuple[list[Found], str]:
    """What fell in one history, and what stopped it, if anything did."""
    fell: list[Found] = []
    try:
        fell.extend(HISTORIES[kind](seed))
    except DoesNotSettle as moves:
        fell.append((SETTLES, str(moves)))
    # Whatever a planted bug raises is told apart from what it breaks.
    except Exception:  # noqa: BLE001
        return fell, traceback.format_exc(limit=-3)
    return fell, ""


def main(kind: str, seeds: str, falls: str) -> None:
    """Seed by seed, until one of `falls` has fallen. `seeds`: such as 1-12 or 3,5."""
    if Path(shared.runtime.task.__file__).parents[2] != Path.cwd():
        raise AssertionError(f"the code that runs is {shared.runtime.task.__file__}, not that of {Path.cwd()}")
    structlog.configure(processors=[structlog.testing.LogCapture()], cache_logger_on_first_use=False)
    wanted = set(falls.split(","))
    for seed in _seeds(seeds):
        began_s = time.perf_counter()
        fell, stopped = found(kind, seed)
        line = {"seed": seed, "seconds": time.perf_counter() - began_s, "fell": fell, "stopped": stopped}
        print(json.dumps(line), flush=True)
        if wanted & {str(what) for what, _ in fell}:
            return


def _seeds(text: str) -> list[int]:
    first, dash, last = text.partition("-")
    return list(range(int(first), int(last) + 1)) if dash else [int(one) for one in text.split(",")]


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)  # all is said: threads of libraries that are still at work must not end it otherwise
