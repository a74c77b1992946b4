"""The loop of decisions on streams that are known: what it retrains on, what it lets go live, and that it repeats."""

from __future__ import annotations

import dataclasses
import random

import pytest

from deploy.simulation.decision_loop import Course, DecisionLoop, Fits, Recorded
from deploy.simulation.remembered_fits import RememberedFits
from services.training.fit_job import run_job
from shared.contracts import control as c
from tests import builders as b
from tests.unit.deploy.known_streams import stream

MINIMUM, COST = 300, 10.0


def played(records: list[Recorded], policy: str = "evidence", fits: Fits = run_job, cost: float = COST) -> Course:
    model = b.model(
        inputs={"fields": ["amount", "category"]},
        training={"minimum_rows": MINIMUM, "search": {"families": ["linear"], "trials": 1}},
        retrain={"policy": policy, "rows": 500, "cost": cost, "horizon": 2_000, "cooldown": "1m"},
        rollout={"steps": [50, 100], "alpha": 0.05, "deadline": "7d", "watch": "1d"},
    )
    return DecisionLoop([b.source(), b.label_source(), b.view(), model], b.MODEL, fits).play(records)


@pytest.fixture(scope="module")
def changed() -> Course:
    return played(stream(1_500, changes_at=700))


def test_the_first_version_answers_once_there_are_labels_enough(changed: Course) -> None:
    [first, *_] = changed.of(c.VersionPromoted)
    assert (first.version, first.by) == (1, "first")
    began = next(n for n, answer in enumerate(changed.answers) if answer is not None)
    assert MINIMUM < began < MINIMUM + 150


def test_a_change_leads_to_a_run_a_rollout_and_a_version_that_is_right_again(changed: Course) -> None:
    paying = [alarm for alarm in changed.of(c.DriftDetected) if alarm.monitor == "saving"]
    assert paying
    assert abs(paying[0].since - 700) < 20
    asked = changed.of(c.RunRequested)
    assert asked[1].reason is c.RunReason.DRIFT
    assert asked[1].drift_id in {alarm.drift_id for alarm in changed.of(c.DriftDetected)}
    assert [promoted.by for promoted in changed.of(c.VersionPromoted)][1] == "rollout"
    wrong = [
        (answer[1][0] >= 0.5) != (record.label == 1.0)
        for answer, record in zip(changed.answers, stream(1_500, changes_at=700), strict=True)
        if answer is not None
    ]
    assert sum(wrong[-100:]) / 100 < 0.2


def test_an_alarm_that_says_that_a_run_pays_is_not_followed_by_another_that_says_so() -> None:
    """Labels become a coin's: nothing is to be learnt, and half of what is lost counts as soon as there is an alarm."""
    coin = random.Random(3)
    records = [
        record if place < 700 else dataclasses.replace(record, label=float(coin.random() < 0.5))
        for place, record in enumerate(stream(1_100, changes_at=None))
    ]
    alarms = played(records, cost=1.0).of(c.DriftDetected)
    [found] = [alarm for alarm in alarms if alarm.monitor == "loss" and alarm.position < 1_000]
    assert found.saving is not None
    assert (found.saving.pays, found.saving.by) == (True, "alarm")
    assert [alarm for alarm in alarms if alarm.position == found.position] == [found]


def test_without_a_change_nothing_is_retrained() -> None:
    course = played(stream(1_500, changes_at=None))
    assert [asked.reason for asked in course.of(c.RunRequested)] == [c.RunReason.BOOTSTRAP]


def test_by_rows_each_version_goes_live_at_once() -> None:
    course = played(stream(1_500, changes_at=None), policy="every")
    assert [promoted.by for promoted in course.of(c.VersionPromoted)] == ["first", "every", "every"]


def test_never_is_never() -> None:
    assert len(played(stream(1_000, changes_at=500), policy="never").of(c.RunRequested)) == 1


def test_the_same_stream_is_decided_alike() -> None:
    records = stream(900, changes_at=500)
    one, other = played(records), played(records)
    assert one.answers == other.answers
    told = [[(m.event.ce_type, m.time_ms) for m in course.events] for course in (one, other)]
    assert told[0] == told[1]


def test_a_run_that_fails_tells_one_reason_whoever_fits() -> None:
    of_one_class = [dataclasses.replace(record, label=1.0) for record in stream(600, changes_at=None)]
    reasons = [
        [failed.reason for failed in played(of_one_class, fits=fits).of(c.RunFailed)]
        for fits in (run_job, RememberedFits())
    ]
    assert reasons[0] == reasons[1]
    assert {reason.split(":")[0] for reason in reasons[0]} == {"OneClassOnly"}
