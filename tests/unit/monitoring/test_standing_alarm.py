"""One alarm for one change, as the judge tells it: held back while it stands, told again when that helps."""

from __future__ import annotations

from typing import Any

import pytest

from shared.contracts import control as c
from shared.runtime.history import ControlHistory
from tests import builders as b
from tests.unit.monitoring.stepping import At, Stepping, decide, history

T = b.T0_MS
HELD_BACK = {"mean": 0.1, "upper": 0.12, "rows": 500}


def live(policy: str = "evidence") -> ControlHistory:
    return history(definitions(policy), b.registered(1, held_back=HELD_BACK), b.approved(1), b.promoted(1))


def definitions(policy: str, approval: str = "auto") -> c.DefinitionsApplied:
    monitor = {"metric": "zero_one", "report": ["accuracy"], "expected_run_length": 1000, "reference_outcomes": 100}
    retrain = {"policy": policy, "rows": 1000 if policy == "every" else None}
    rollout = {**b.model().rollout.model_dump(), "approval": approval}
    model = b.model(monitor=monitor, retrain=retrain, rollout=rollout)
    return b.applied(b.source(), b.label_source(), b.view(), model)


def outcome(n: int, wrong: bool, **over: Any) -> At:
    made = b.prediction(0.1 if wrong else 0.9, record_id=f"t{n:05}", **over)
    return At(T + n, b.matured(label=1.0, prediction=made), f"t{n:05}")


def told(stepping: Stepping, first: int, following: int, *, bad: bool, **over: Any) -> list[c.DriftDetected]:
    """Alarms over outcomes [first, following): of the good ones every tenth is wrong, of the bad ones two of three."""
    wrong = [n % 3 != 0 if bad else n % 10 == 0 for n in range(following)]
    derived = stepping.feed(*(outcome(n, wrong[n], **over) for n in range(first, following)), T + following)
    alarms = [message.event for message in derived if isinstance(message.event, c.DriftDetected)]
    return [alarm for alarm in alarms if alarm.monitor == "loss"]


def alarmed(policy: str = "evidence") -> tuple[Stepping, c.DriftDetected]:
    """A stepping whose version has become worse at outcome 300, and the alarm that stands."""
    stepping = Stepping("judge", live(policy))
    assert told(stepping, 0, 300, bad=False) == []
    [alarm] = told(stepping, 300, 400, bad=True)
    assert abs(alarm.since - 300) <= 3
    return stepping, alarm


@pytest.mark.parametrize("policy", ["never", "every", "evidence"])
def test_a_version_that_stays_worse_is_told_once(policy: str) -> None:
    stepping, _ = alarmed(policy)
    assert told(stepping, 400, 900, bad=True) == []


def test_after_a_recovery_the_next_change_is_told() -> None:
    stepping, _ = alarmed("never")
    assert told(stepping, 400, 700, bad=False) == []
    [second] = told(stepping, 700, 900, bad=True)
    assert abs(second.since - 700) <= 3


def test_a_spell_shorter_than_the_reference_is_no_recovery() -> None:
    stepping, _ = alarmed("never")
    for first in range(400, 800, 80):
        assert told(stepping, first, first + 40, bad=False) == []
        assert told(stepping, first + 40, first + 80, bad=True) == []


def test_while_a_run_or_a_rollout_on_it_goes_on_nothing_is_told() -> None:
    stepping, alarm = alarmed()
    decide(stepping.control, b.run_requested(reason=c.RunReason.DRIFT, drift_id=alarm.drift_id, run_id="r2"))
    assert told(stepping, 400, 500, bad=True) == []
    decide(stepping.control, b.run_finished(run_id="r2"))
    assert told(stepping, 500, 600, bad=True) == []
    decide(stepping.control, b.registered(2, run_id="r2", follows=c.Follows.ROLLOUT))
    assert told(stepping, 600, 700, bad=True) == []
    decide(stepping.control, b.rollout_started())
    assert told(stepping, 700, 800, bad=True) == []


def waiting_for_a_person() -> Stepping:
    """The run on the alarm has made version 2, and a person's approval is needed."""
    stepping, alarm = alarmed()
    decide(stepping.control, definitions("evidence", "manual"))
    decide(stepping.control, b.run_requested(reason=c.RunReason.DRIFT, drift_id=alarm.drift_id, run_id="r2"))
    decide(stepping.control, b.run_finished(run_id="r2"))
    decide(stepping.control, b.registered(2, run_id="r2", follows=c.Follows.APPROVAL))
    assert told(stepping, 400, 500, bad=True) == []
    return stepping


def test_a_version_that_waits_for_approval_is_not_in_vain_and_one_whose_rollout_failed_is() -> None:
    stepping = waiting_for_a_person()
    decide(stepping.control, b.approved(2, by="ann"))
    decide(stepping.control, b.rollout_started())
    assert told(stepping, 500, 600, bad=True) == []
    decide(stepping.control, b.rollout_ended(phase=c.Phase.REJECTED))
    assert len(told(stepping, 600, 700, bad=True)) == 1


def test_where_nobody_is_asked_any_more_nothing_waits_for_approval() -> None:
    stepping = waiting_for_a_person()
    decide(stepping.control, definitions("evidence", "auto"))
    assert len(told(stepping, 500, 600, bad=True)) == 1


def test_a_run_of_another_cause_is_no_answer() -> None:
    stepping, _ = alarmed()
    decide(stepping.control, b.run_requested(reason=c.RunReason.COMMAND, run_id="r2"))
    decide(stepping.control, b.run_failed(run_id="r2"))
    assert told(stepping, 400, 600, bad=True) == []


def test_after_an_attempt_in_vain_the_same_change_is_told_from_its_beginning() -> None:
    stepping, alarm = alarmed()
    decide(stepping.control, b.run_requested(reason=c.RunReason.DRIFT, drift_id=alarm.drift_id, run_id="r2"))
    decide(stepping.control, b.run_failed(run_id="r2"))
    [second] = told(stepping, 400, 600, bad=True)
    assert second.drift_id != alarm.drift_id
    assert second.since == alarm.since
    assert second.mean_since == pytest.approx(2 / 3, abs=0.1)


def test_a_version_that_answers_anew_is_watched_anew() -> None:
    stepping, _ = alarmed()
    decide(stepping.control, b.registered(2, held_back=HELD_BACK))
    decide(stepping.control, b.promoted(2))
    outputs = {2: {"artifact_sha256": b.SHA256, "output": [0.1]}}
    [second] = told(stepping, 400, 500, bad=True, champion=2, answered_by=2, outputs=outputs)
    assert second.version == 2


def test_another_policy_may_answer_what_stands() -> None:
    stepping, alarm = alarmed("never")
    decide(stepping.control, definitions("evidence"))
    [second] = told(stepping, 400, 500, bad=True)
    assert (second.version, second.since) == (1, alarm.since)


def test_on_watch_one_alarm_more_says_that_the_former_champion_does_better() -> None:
    control = live()
    decide(control, b.registered(2, held_back=HELD_BACK))
    decide(control, b.promoted(2, former=1, watch_until_ms=T + 10**9))
    stepping = Stepping("judge", control)

    def both(first: int, following: int, former: float) -> list[c.DriftDetected]:
        outputs = {v: {"artifact_sha256": b.SHA256, "output": [o]} for v, o in ((1, former), (2, 0.1))}
        return told(stepping, first, following, bad=True, champion=2, answered_by=2, outputs=outputs)

    [first] = both(0, 60, former=0.1)
    [second] = both(60, 200, former=0.9)
    assert first.watch is not None
    assert second.watch is not None
    assert (first.watch.mean_difference, second.watch.mean_difference > 0.0) == (0.0, True)
    assert both(200, 400, former=0.9) == []
