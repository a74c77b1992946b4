"""The judge as a task sees it: one order, figures, alarms, verdicts, and the archive."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any, TypeVar

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.monitoring.app import build
from services.monitoring.settings import MonitoringSettings
from services.monitoring.verdicts import SAID_AGAIN_AFTER
from shared.contracts import control as c
from shared.contracts.envelope import Event, Message
from shared.contracts.watch import former_did_better
from shared.runtime.history import ControlHistory
from shared.runtime.task import Task
from shared.runtime.task_file import TaskFile
from tests import builders as b
from tests.unit.monitoring.stepping import At, Stepping, decide, history

E = TypeVar("E")
T = b.T0_MS
HELD_BACK = {"mean": 0.1, "upper": 0.12, "rows": 500}
REFERENCE: dict[str, Any] = {
    "numbers": {
        "amount": {"quantiles": [float(i) for i in range(33)], "missing": 0.0},
        "hour": {"quantiles": [float(i) for i in range(24)], "missing": 0.0},
    },
    "categories": {},
}


def monitor(**over: Any) -> c.DefinitionsApplied:
    settings = {"metric": "zero_one", "report": ["accuracy"], "expected_run_length": 1000, **over}
    rollout = {"steps": [50, 100], "alpha": 0.05}
    return b.applied(b.source(), b.label_source(), b.view(), b.model(monitor=settings, rollout=rollout))


def live(**over: Any) -> ControlHistory:
    version = b.registered(1, held_back=HELD_BACK, reference=REFERENCE)
    return history(monitor(**over), version, b.approved(1), b.promoted(1))


def said(n: int, value: float = 0.9, **over: Any) -> Any:
    return b.prediction(value, record_id=f"t{n:05}", **over)


def matured(n: int, label: float | None = 1.0, **over: Any) -> At:
    return At(T + n, b.matured(label=label, prediction=said(n, **over)), f"t{n:05}")


def only(kind: type[E], messages: list[Message]) -> list[E]:
    return [message.event for message in messages if isinstance(message.event, kind)]


def archived(stepping: Stepping) -> list[dict[str, Any]]:
    return [orjson.loads(row) for row in stepping.task.file.buffered("archive", 0, 100_000)]


def rollout(value: Callable[[int], list[float]], n: int = 400, **over: Any) -> tuple[Stepping, list[Message]]:
    """A rollout of version 2, whose output on outcome i is `value(i)`; the champion is wrong on every fourth."""
    control = live()
    for event in (b.registered(2), b.rollout_started(), b.rollout_advanced()):
        decide(control, event)
    stepping = Stepping("judge", control)

    def pair(i: int) -> At:
        champion = [0.1 if i % 4 == 0 else 0.9]
        outputs = {1: {"artifact_sha256": b.SHA256, "output": champion}}
        outputs[2] = {"artifact_sha256": b.SHA256, "output": value(i)}
        named: dict[str, Any] = {"rollout_id": "o2", "candidate": 2, "step": 0, **over}
        return matured(i, outputs=outputs, **named)

    return stepping, stepping.feed(*(pair(i) for i in range(n)), T + n)


_ROWS = [(n, at) for n, at in enumerate((5, 3, 3, 9, 1, 3, 7, 7))]


@settings(max_examples=60, deadline=None)
@given(st.permutations(_ROWS), st.lists(st.integers(0, 7), max_size=3), st.data())
def test_outcomes_are_decided_in_one_order_whatever_order_they_came_in(
    arrived: list[tuple[int, int]], cuts: list[int], data: st.DataObject
) -> None:
    entries: list[At | int] = [At(T + time, b.matured(prediction=said(n)), "x") for n, time in arrived]
    # A watermark may stand wherever nothing earlier follows it.
    for cut in sorted(cuts, reverse=True):
        entries.insert(cut, T + min(time for _, time in arrived[cut:]))
    stepping = Stepping("judge", live())
    records = stepping.records([*entries, T + 10])
    at = data.draw(st.integers(0, len(records)))
    stepping.take(records[:at])
    stepping.take(records[at:])
    expected = [f"t{n:05}" for n, _ in sorted(_ROWS, key=lambda row: (row[1], f"t{row[0]:05}"))]
    assert [row["record_id"] for row in archived(stepping)] == expected
    assert [row["ordinal"] for row in archived(stepping)] == list(range(len(_ROWS)))


def test_record_ids_that_begin_alike_keep_the_order_of_the_ids() -> None:
    ids = ["a1", "a", "a:", "a\u00e9", "A"]
    stepping = Stepping("judge", live())
    stepping.feed(*(At(T, b.matured(prediction=b.prediction(record_id=i)), i) for i in ids), T + 1)
    assert [row["record_id"] for row in archived(stepping)] == sorted(ids)


def test_state_survives_a_restart_at_any_batch() -> None:
    entries = [*(matured(i, 1.0 if i % 3 else 0.0) for i in range(120)), T + 120]
    whole = Stepping("judge", live())
    expected = [m.event for m in whole.feed(*entries)]
    file, control = TaskFile("t", None), live()
    stepping, found = Stepping("judge", control, file), list[Event]()
    for record in stepping.records(entries):
        found += [m.event for m in stepping.take([record])]
        stepping.task.unsent.clear()
        stepping.task = Task(stepping.spec, build(MonitoringSettings()).steps["judge"], file, control)
        stepping.task.unsent.clear()
    assert found == expected
    assert stepping.task.state("model").to_json() == whole.task.state("model").to_json()


def test_before_the_first_version_the_labels_are_counted() -> None:
    stepping = Stepping("judge", history(monitor(report_every=10)))
    derived = stepping.feed(*(matured(i, None if i % 2 else 1.0, value=None) for i in range(10)), T + 10)
    assert only(c.QualityMeasured, derived) == [
        c.QualityMeasured(
            model=b.MODEL, position=10, last_record_id="t00009", labelled=5, since_first_version=0,
            version=None, loss=None, window={}, total={},
        )
    ]  # fmt: skip


def test_quality_is_that_of_the_answers() -> None:
    stepping = Stepping("judge", live(report_every=20))
    derived = stepping.feed(*(matured(i, 0.0 if i % 4 == 0 else 1.0) for i in range(20)), T + 20)
    (figures,) = only(c.QualityMeasured, derived)
    assert (figures.position, figures.labelled, figures.since_first_version, figures.version) == (20, 20, 20, 1)
    assert figures.total["accuracy"] == pytest.approx(0.75)
    assert figures.loss == pytest.approx(0.25)


DELAY = 100  # records are scored so long before their outcomes mature


def drifting(n: int = 400, since: int = 200, version: int = 1) -> list[At | int]:
    entries: list[At | int] = []
    for i in range(n):
        inputs = {"amount": 16.0 + (i * 7) % 16 if i >= since else float((i * 7) % 32), "hour": float((i * 5) % 23)}
        made = said(i, 0.1 if i >= since or i % 10 == 0 else 0.9, inputs=inputs, champion=version)
        entries.append(At(T + i, b.scored(prediction=made, scored_ms=T + i), "x"))
        entries.append(At(T + i + DELAY, b.matured(prediction=made), "x"))
    return [*entries, T + n + DELAY]


def test_a_risen_loss_alarms_with_its_change_and_what_moved() -> None:
    derived = Stepping("judge", live()).feed(*drifting())
    alarm = only(c.DriftDetected, derived)[0]
    assert 200 < alarm.position < 260
    assert abs(alarm.since - 200) <= 2
    assert alarm.last_record_id == f"t{alarm.position - 1:05}"
    assert alarm.mean_since > 0.9
    assert alarm.shifts[0].feature == "amount"
    assert alarm.shifts[0].direction == "higher"
    again = Stepping("judge", live()).feed(*drifting())
    assert only(c.DriftDetected, again)[0].drift_id == alarm.drift_id


def test_without_a_change_or_a_reference_nothing_alarms() -> None:
    assert only(c.DriftDetected, Stepping("judge", live()).feed(*drifting(since=1000))) == []
    bare = history(monitor(), b.registered(1), b.promoted(1))
    derived = Stepping("judge", bare).feed(*drifting(n=700, since=600))
    assert [alarm.shifts for alarm in only(c.DriftDetected, derived)[:1]] == [()]


def test_an_outcome_under_an_earlier_champion_does_not_count_for_the_new_one() -> None:
    assert only(c.DriftDetected, Stepping("judge", live()).feed(*drifting(since=0, version=7))) == []


def test_an_alarm_on_watch_carries_the_former_champion() -> None:
    control = live()
    decide(control, b.registered(2, held_back=HELD_BACK))
    decide(control, b.promoted(2, former=1, watch_until_ms=T + 10**9))
    outputs = {v: {"artifact_sha256": b.SHA256, "output": [o]} for v, o in ((1, 0.9), (2, 0.1))}
    entries = [matured(i, champion=2, answered_by=2, outputs=outputs) for i in range(100)]
    alarm = only(c.DriftDetected, Stepping("judge", control).feed(*entries, T + 100))[0]
    assert alarm.version == 2
    assert alarm.watch is not None
    assert (alarm.watch.former, alarm.watch.mean_difference) == (1, pytest.approx(1.0))


def test_a_version_that_was_better_for_long_is_held_against_the_former_since_it_turned_bad() -> None:
    control = live(reference_outcomes=200)
    decide(control, b.registered(2, held_back=HELD_BACK))
    decide(control, b.promoted(2, former=1, watch_until_ms=T + 10**9))

    def outcome(n: int) -> At:
        # The former is wrong on every fifth; the champion never, until it is on every third.
        new = 0.1 if n >= 900 and n % 3 == 0 else 0.9
        former = 0.1 if n % 5 == 0 else 0.9
        outputs = {v: {"artifact_sha256": b.SHA256, "output": [o]} for v, o in ((1, former), (2, new))}
        return matured(n, champion=2, answered_by=2, outputs=outputs)

    alarms = only(c.DriftDetected, Stepping("judge", control).feed(*map(outcome, range(1_200)), T + 1_200))
    found = next(alarm for alarm in alarms if former_did_better(alarm, 2, 1))
    assert 900 <= found.position < 1_050
    assert found.watch is not None
    assert found.watch.outcomes < 200


def test_a_better_candidate_reaches_each_step_once() -> None:
    _, derived = rollout(lambda i: [0.9], n=200)
    verdicts = only(c.VerdictReached, derived)
    assert [(v.kind, v.step, v.rollout_id, v.candidate) for v in verdicts] == [
        (c.VerdictKind.BETTER, 1, "o2", 2),
        (c.VerdictKind.BETTER, 2, "o2", 2),
    ]
    assert verdicts[0].position < verdicts[1].position
    assert verdicts[1].e_value >= 20.0
    assert len({v.verdict_id for v in verdicts}) == 2


def test_a_step_is_said_again_while_the_rollout_does_not_move() -> None:
    # The rollout here never moves: as if the registry had found each verdict stale.
    _, derived = rollout(lambda i: [0.9], n=600)
    first, second, *again = only(c.VerdictReached, derived)
    assert (first.step, [v.step for v in (second, *again)]) == (1, [2, 2, 2])
    gaps = [b.position - a.position for a, b in itertools.pairwise([second, *again])]
    assert gaps == [SAID_AGAIN_AFTER] * 2
    assert len({v.verdict_id for v in (first, second, *again)}) == 4


def test_a_worse_candidate_is_said_to_be_worse_once() -> None:
    _, derived = rollout(lambda i: [0.1])
    assert [v.kind for v in only(c.VerdictReached, derived)] == [c.VerdictKind.WORSE]


@pytest.mark.parametrize("output", [[], [0.9, 0.1], [2.0]])
def test_what_is_no_prediction_never_promotes(output: list[float]) -> None:
    stepping, derived = rollout(lambda i: output if i % 4 == 1 else [0.9])
    assert [v.kind for v in only(c.VerdictReached, derived) if v.kind is c.VerdictKind.BETTER and v.step == 2] == []
    assert c.VerdictKind.INVALID in [v.kind for v in only(c.VerdictReached, derived)]
    assert stepping.task.state("model").rollout.pairs.candidate_invalid == 100


@pytest.mark.parametrize("over", [{"rollout_id": "o1"}, {"rollout_id": None}])
def test_outcomes_of_another_rollout_are_no_pairs(over: dict[str, Any]) -> None:
    stepping, derived = rollout(lambda i: [0.9], **over)
    assert only(c.VerdictReached, derived) == []
    assert stepping.task.state("model").rollout.pairs.count == 0


def test_a_rollout_that_ended_leaves_nothing_behind() -> None:
    stepping, _ = rollout(lambda i: [0.9], n=40)
    decide(stepping.control, b.rollout_ended(phase=c.Phase.EXPIRED))
    stepping.feed(matured(50), T + 51)
    assert stepping.task.state("model").rollout is None


def test_random_answers_of_equal_quality_promote_nobody() -> None:
    rng = random.Random(3)
    _, derived = rollout(lambda i: [0.1 if rng.random() < 0.25 else 0.9], n=600)
    assert [v for v in only(c.VerdictReached, derived) if v.kind is c.VerdictKind.BETTER and v.step == 2] == []
