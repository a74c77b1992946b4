"""Each check of the checker fails on a history damaged in its own way, and no other does."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import TypeVar

import pytest

from deploy.simulation.platform import SimulatedPlatform
from shared.contracts import control as c
from shared.contracts import flow as f
from shared.contracts.envelope import Event, encode
from shared.contracts.topics import FEATURES, INTAKE, OUTCOMES, PREDICTIONS, RECORDS, SCORING
from shared.runtime.task_file import TaskFile
from tests import builders as b
from tests.scenarios import control_invariants as decisions
from tests.scenarios.evidence import Evidence, Violation
from tests.scenarios.invariants import INVARIANTS, check
from tests.scenarios.simulated import calm
from tests.scenarios.topic_history import CONTROL_TP, Read, TopicHistory
from tests.scenarios.workload import MODEL, PAYMENTS, VIEW

E = TypeVar("E", bound=Event)
# Its story: a first version, drift, two runs, and two rollouts through all steps. See `test_the_good_history_has_all`.
WORKLOAD = 2


def played() -> SimulatedPlatform:
    return calm(WORKLOAD)


@cache
def good() -> TopicHistory:
    return TopicHistory.of_memory(played().world.broker)


def files() -> Mapping[str, TaskFile]:
    return {task_id: task.file for p in played().world.processes.values() for task_id, task in p.tasks.items()}


def decided(kind: type[E], number: int = 0, where: Callable[[E], bool] = lambda event: True) -> tuple[Read, E]:
    return [(read, event) for read, event in good().decided(kind) if where(event)][number]


def found(topic: str, kind: type[E], where: Callable[[E], bool] = lambda event: True) -> tuple[Read, E]:
    return next((read, event) for read, event in good().events(topic, kind) if where(event))


def changed(where: tuple[Read, Event], **fields: object) -> TopicHistory:
    read, event = where
    return good().with_event(read, event.model_copy(update=fields))


def numbers(violations: list[Violation]) -> set[int]:
    return {violation.number for violation in violations}


# --- the damage, by the number of the invariant that it breaks


def another_former() -> TopicHistory:
    return changed(decided(c.VersionPromoted), former=7)


def approved_another() -> TopicHistory:
    return changed(decided(c.VersionApproved, 0), version=77)


def another_artifact() -> TopicHistory:
    read, made = found(PREDICTIONS.of(MODEL).name, f.PredictionMade, lambda made: bool(made.outputs))
    outputs = {n: out.model_copy(update={"artifact_sha256": "f" * 64}) for n, out in made.outputs.items()}
    return good().with_event(read, made.model_copy(update={"outputs": outputs}))


def another_output() -> TopicHistory:
    read, made = found(PREDICTIONS.of(MODEL).name, f.PredictionMade, lambda made: bool(made.outputs))
    outputs = {n: out.model_copy(update={"output": (0.123,)}) for n, out in made.outputs.items()}
    return good().with_event(read, made.model_copy(update={"outputs": outputs}))


def windows_of_another() -> TopicHistory:
    return changed(found(FEATURES.of(VIEW).name, f.WindowsChanged), entity="somebody")


def a_record_that_was_never_there() -> TopicHistory:
    return changed(found(INTAKE.of(PAYMENTS).name, f.IntakeRecord), offset=99_999)


def a_label_lost() -> TopicHistory:
    """6: scored, due, and never matured."""
    topic = OUTCOMES.of(MODEL).name
    read, _ = found(topic, f.OutcomeMatured, lambda m: m.label_id is None)
    return good().with_event(read, f.EventBuried())


def control_goes_back() -> TopicHistory:
    reads = [read for read, _ in good().events(SCORING.of(MODEL).name, f.InputsComputed)]
    read = next(read for read in reversed(reads) if read.message.control > 3)
    return good().with_event(read, read.message.event, control=1)


def behind_its_own_mark() -> TopicHistory:
    """7: dated before what its task had promised, though not late."""
    reads = [(read, event) for read, event in good().events(OUTCOMES.of(MODEL).name, f.OutcomeScored)]
    read, event = reads[-1]
    return good().with_event(read, event, time_ms=1_000)


def an_input_from_the_future() -> TopicHistory:
    read, computed = found(SCORING.of(MODEL).name, f.InputsComputed)
    name = f"{VIEW}.count"
    return good().with_event(read, computed.model_copy(update={"inputs": {**computed.inputs, name: 41.0}}))


def two_runs_of_one_drift() -> TopicHistory:
    first, second = (decided(c.RunRequested, n, lambda run: run.drift_id is not None) for n in (0, 1))
    return changed(second, drift_id=first[1].drift_id)


def a_run_in_a_run() -> TopicHistory:
    """12: a request for another run stands where the second one says that it has begun."""
    _, run = decided(c.RunRequested, 1)
    started, _ = decided(c.RunStarted, 1)
    return good().with_event(started, run.model_copy(update={"run_id": "another", "drift_id": None}))


def two_versions_of_one_run() -> TopicHistory:
    first, second = decided(c.VersionRegistered, 0), decided(c.VersionRegistered, 1)
    return changed(second, run_id=first[1].run_id)


def answered_against_the_split() -> TopicHistory:
    def is_on_a_step(made: f.PredictionMade) -> bool:
        return made.share > 0 and made.answered_by == made.champion

    read, made = found(PREDICTIONS.of(MODEL).name, f.PredictionMade, is_on_a_step)
    return good().with_event(read, made.model_copy(update={"answered_by": made.candidate}))


def promoted_on_nothing() -> TopicHistory:
    promoted = decided(c.VersionPromoted, 0, lambda promoted: promoted.by == "rollout")[1]
    verdict = decided(c.VerdictReached, 0, lambda verdict: verdict.verdict_id == promoted.verdict_id)
    return changed(verdict, outcomes=0)


def behind_its_deadline() -> TopicHistory:
    read, started = decided(c.RolloutStarted, 0)
    return changed((read, started), deadline_ms=read.message.time_ms + 1)


def back_without_approval() -> TopicHistory:
    """18: rolled back at the end of the log, and there again."""
    _, last = decided(c.VersionPromoted, -1)
    assert last.former is not None
    away = b.rolled_back(model=MODEL, version=last.former, former=last.version)
    back = b.rolled_back(model=MODEL, version=last.version, former=last.former)
    return good().with_more(CONTROL_TP, [encode(b.message(event)) for event in (away, back)])


def a_label_used_twice() -> TopicHistory:
    topic = OUTCOMES.of(MODEL).name
    used = [(r, m) for r, m in good().events(topic, f.OutcomeMatured) if m.label_id is not None]
    return good().with_event(used[1][0], used[1][1].model_copy(update={"label_id": used[0][1].label_id}))


def a_stranger_with_a_number() -> TopicHistory:
    """20: an old owner says something else under a number that was taken."""
    read, accepted = found(RECORDS.of(PAYMENTS).name, f.RecordAccepted)
    message = replace(read.message, event=accepted.model_copy(update={"late": not accepted.late}))
    return good().with_more(read.tp, [encode(message)])


DAMAGE: Mapping[str, tuple[int, Callable[[], TopicHistory]]] = {
    "another former champion": (1, another_former),
    "another version approved": (2, approved_another),
    "another artifact named": (3, another_artifact),
    "another output": (4, another_output),
    "windows of another entity": (5, windows_of_another),
    "a record from nowhere": (6, a_record_that_was_never_there),
    "an outcome that never matured": (6, a_label_lost),
    "control goes back": (7, control_goes_back),
    "behind its own mark": (7, behind_its_own_mark),
    "an input from the future": (10, an_input_from_the_future),
    "two runs of one drift": (11, two_runs_of_one_drift),
    "a run in a run": (12, a_run_in_a_run),
    "two versions of one run": (13, two_versions_of_one_run),
    "answered against the split": (14, answered_against_the_split),
    "promoted on no outcomes": (16, promoted_on_nothing),
    "behind its deadline": (17, behind_its_deadline),
    "back without approval": (18, back_without_approval),
    "a label used twice": (19, a_label_used_twice),
    "other words under a taken number": (20, a_stranger_with_a_number),
}


def test_the_good_history_has_all_that_is_damaged_and_no_violation() -> None:
    assert check(good(), played().world.artifacts, files()) == []
    rollouts = [event.phase for _, event in good().decided(c.RolloutEnded)]
    assert rollouts.count(c.Phase.PROMOTED) >= 1
    assert len(list(good().decided(c.RunRequested))) >= 3


@pytest.mark.parametrize("damage", DAMAGE)
def test_exactly_the_check_of_what_is_damaged_fails(damage: str) -> None:
    number, make = DAMAGE[damage]
    assert numbers(check(make(), played().world.artifacts, replay=False)) == {number}


def test_share_zero_is_checked_beside_the_split() -> None:
    """15 is a part of 14 while the control log is whole; it looks at nothing but what a prediction says itself."""

    def in_shadow(made: f.PredictionMade) -> bool:
        return made.candidate is not None and made.share == 0.0

    read, made = found(PREDICTIONS.of(MODEL).name, f.PredictionMade, in_shadow)
    damaged = good().with_event(read, made.model_copy(update={"answered_by": made.candidate}))
    assert numbers(check(damaged, played().world.artifacts, replay=False)) == {14, 15}


def test_an_event_that_no_replay_derives_is_caught() -> None:
    """7 and 9: a row of a table, which nothing else looks at so closely."""
    read, row = found(FEATURES.of(VIEW).name, f.WindowsChanged, lambda row: bool(row.state))
    damaged = good().with_event(read, row.model_copy(update={"state": {"other": 1}}))
    assert numbers(check(damaged, played().world.artifacts)) == {7}


def test_an_event_that_is_missing_at_the_end_is_caught() -> None:
    """9: nothing behind it shows the gap."""
    tp = good().partitions(FEATURES.of(VIEW).name)[0]
    assert 7 in numbers(check(good().without_last(tp, good().accepted(tp)[-1]), played().world.artifacts))


def test_state_that_another_position_led_to_is_caught() -> None:
    """8: a file whose position was stored apart from its state."""
    task_id = next(t for t in files() if t.startswith("features/compute/"))
    copy = sqlite3.connect(":memory:", isolation_level=None)
    files()[task_id].connection.backup(copy)
    copy.execute("UPDATE meta SET value = value - 40 WHERE name = 'position'")
    damaged = {**files(), task_id: TaskFile(task_id, None, copy)}
    assert numbers(check(good(), played().world.artifacts, damaged)) == {8}


def test_every_invariant_of_the_design_is_on_the_list() -> None:
    assert list(INVARIANTS) == list(range(1, 21))
    assert all(invariant.checks for invariant in INVARIANTS.values())
    assert {number for number, _ in DAMAGE.values()} == set(INVARIANTS) - {8, 9, 15}


def test_the_control_log_can_be_cut_anywhere() -> None:
    """As of any position the decisions hold: nothing needs what comes later to be right."""
    records = good().logs[CONTROL_TP]
    for end in range(2, len(records), 7):
        evidence = Evidence(TopicHistory({CONTROL_TP: records[:end]}))
        for one in (decisions.one_champion, decisions.one_active_run, decisions.promotions_have_figures):
            assert list(one(evidence)) == []
