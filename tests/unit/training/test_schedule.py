from __future__ import annotations

from typing import Any

import pytest

from services.training.schedule import RUN_DEADLINE_MS, schedule
from shared.contracts import control as c
from shared.contracts.definitions import DAY_MS, HOUR_MS, Clock
from shared.contracts.envelope import Event
from tests import builders as b
from tests.unit.control_plane import ControlPlane

DEADLINE_MS = RUN_DEADLINE_MS[Clock.EVENTS]

EVERY: dict[str, Any] = {"retrain": {"policy": "every", "rows": 500}}
NEVER: dict[str, Any] = {"retrain": {"policy": "never"}}


def platform(**over: Any) -> ControlPlane:
    plane = ControlPlane(schedule())
    plane.tell(b.founded(), b.applied(b.source(), b.label_source(), b.view(), b.model(**over)), b.tick(b.SOURCE))
    return plane


def measured(labelled: int) -> c.QualityMeasured:
    return b.quality(labelled=labelled, position=labelled, last_record_id=f"t{labelled}", version=None)


def live(plane: ControlPlane, version: int = 1) -> ControlPlane:
    """The run in progress has made this version, and it answers."""
    run = plane.platform.model(b.MODEL).run
    assert run is not None
    former = plane.platform.model(b.MODEL).champion
    plane.tell(b.run_finished(run_id=run.run_id), b.registered(version, run_id=run.run_id, follows="promotion"))
    plane.tell(b.approved(version), b.promoted(version, former))
    return plane


def with_champion(**over: Any) -> ControlPlane:
    """Version 1 answers, fitted on 2,000 outcomes; the cool-down after its run is over."""
    plane = platform(**over)
    plane.tell(measured(2_000))
    live(plane)
    plane.tick(HOUR_MS, b.SOURCE)
    return plane


def requested(events: list[Event]) -> c.RunRequested:
    [request] = events
    assert isinstance(request, c.RunRequested)
    return request


def test_bootstrap_once_enough_labelled_rows_have_matured() -> None:
    plane = platform()
    assert plane.tell(measured(1_999)) == []
    request = requested(plane.tell(measured(2_000)))
    assert (request.reason, request.position, request.last_record_id) == (c.RunReason.BOOTSTRAP, 2_000, "t2000")
    assert (request.champion, request.since, request.drift_id) == (None, None, None)
    assert request.deadline_ms == b.T0_MS + DEADLINE_MS
    assert plane.tell(measured(2_100)) == []


@pytest.mark.parametrize("end", ["failed", "not passed"])
def test_after_an_attempt_that_came_to_nothing_half_as_many_rows_more(end: str) -> None:
    plane = platform()
    run_id = requested(plane.tell(measured(2_000))).run_id
    if end == "failed":
        plane.tell(b.run_failed(run_id=run_id))
    else:
        plane.tell(b.run_finished(run_id=run_id), b.registered(run_id=run_id, gate_passed=False))
    assert plane.tell(measured(2_999)) == []
    assert requested(plane.tell(measured(3_000))).run_id != run_id


def test_an_alarm_leads_to_a_run_from_the_estimated_change() -> None:
    request = requested(with_champion().tell(b.drift()))
    assert (request.reason, request.drift_id, request.since, request.champion) == (c.RunReason.DRIFT, "d1", 2_800, 1)
    assert (request.position, request.last_record_id) == (3_000, "t3000")


@pytest.mark.parametrize(("by", "since"), [("correction", None), ("alarm", 2_800)])
def test_what_a_correction_spares_adds_up_without_a_change(by: str, since: int | None) -> None:
    saving = c.MissedSaving.written(
        {"missed": 50.2, "cost": 50.0, "horizon": 10_000, "by": by, "outcomes": 900, "mean_loss": 0.3,
         "corrected_loss": 0.2, "pays": True}
    )  # fmt: skip
    request = requested(with_champion().tell(b.drift(monitor="saving", saving=saving)))
    assert (request.drift_id, request.since) == ("d1", since)
    told_by_loss = requested(with_champion().tell(b.drift(saving=saving)))
    assert told_by_loss.since == 2_800


def test_inputs_that_moved_lead_to_no_run() -> None:
    plane = with_champion()
    assert plane.tell(b.inputs_moved(), measured(9_000)) == []
    assert plane.tick(DAY_MS, b.SOURCE) == []


def test_a_drift_event_leads_to_one_run() -> None:
    plane = with_champion()
    run_id = requested(plane.tell(b.drift())).run_id
    plane.tell(b.run_failed(run_id=run_id))
    plane.tick(DAY_MS, b.SOURCE)
    assert plane.tell(b.drift()) == []


def test_an_alarm_during_the_cool_down_is_kept_and_decided_when_that_ends() -> None:
    plane = platform()
    plane.tell(measured(2_000))
    live(plane)
    assert plane.tell(b.drift(), measured(3_100)) == []
    assert plane.tick(HOUR_MS - 1, b.SOURCE) == []
    request = requested(plane.tick(1, b.SOURCE))
    assert (request.drift_id, request.position) == ("d1", 3_100)


def test_the_cool_down_lasts_until_labels_have_matured() -> None:
    label = {**b.model().label.model_dump(), "matures_after": "2h"}
    plane = with_champion(label=label)
    assert plane.tell(b.drift()) == []
    assert requested(plane.tick(HOUR_MS, b.SOURCE)).drift_id == "d1"


def test_an_alarm_during_a_run_is_kept_until_its_version_came_to_nothing() -> None:
    plane = with_champion()
    run_id = requested(plane.tell(b.drift())).run_id
    assert plane.tell(b.drift(drift_id="d2", position=3_500)) == []
    plane.tick(HOUR_MS, b.SOURCE)
    plane.tell(b.run_finished(run_id=run_id))
    assert plane.tick(HOUR_MS, b.SOURCE) == []
    assert requested(plane.tell(b.registered(2, run_id=run_id, gate_passed=False))).drift_id == "d2"


def in_rollout() -> ControlPlane:
    plane = with_champion()
    run_id = requested(plane.tell(b.drift())).run_id
    plane.tell(b.run_finished(run_id=run_id), b.registered(2, run_id=run_id, follows="rollout"))
    plane.tell(b.approved(2), b.rollout_started(), b.rollout_advanced())
    plane.tick(HOUR_MS, b.SOURCE)
    return plane


def test_an_alarm_during_a_rollout_is_decided_when_the_champion_stays() -> None:
    plane = in_rollout()
    assert plane.tell(b.drift(drift_id="d2")) == []
    assert requested(plane.tell(b.rollout_ended(phase="rejected"))).drift_id == "d2"


def waiting_for_a_person() -> ControlPlane:
    plane = with_champion(rollout={**b.model().rollout.model_dump(), "approval": "manual"})
    run_id = requested(plane.tell(b.drift())).run_id
    plane.tell(b.run_finished(run_id=run_id), b.registered(2, run_id=run_id, follows="approval"))
    plane.tick(DAY_MS, b.SOURCE)
    assert plane.tell(b.drift(drift_id="d2")) == []
    assert plane.tick(DAY_MS, b.SOURCE) == []
    return plane


def test_while_a_version_waits_for_approval_an_alarm_is_kept_until_that_came_to_nothing() -> None:
    plane = waiting_for_a_person()
    assert plane.tell(b.approved(2, by="ann"), b.rollout_started()) == []
    assert requested(plane.tell(b.rollout_ended(phase="rejected"))).drift_id == "d2"


def test_while_a_version_waits_for_approval_a_person_may_ask_for_another_which_waits_instead() -> None:
    plane = waiting_for_a_person()
    request = requested(plane.tell(retrain()))
    assert request.reason is c.RunReason.COMMAND
    plane.tell(b.run_finished(run_id=request.run_id), b.registered(3, run_id=request.run_id, follows="approval"))
    assert plane.platform.model(b.MODEL).for_a_person == 3
    assert plane.tick(DAY_MS, b.SOURCE) == []


def test_an_alarm_on_a_champion_that_left_is_answered() -> None:
    plane = in_rollout()
    plane.tell(b.drift(drift_id="d2"))
    assert plane.tell(b.promoted(2, 1), b.rollout_ended()) == []
    assert plane.tick(DAY_MS, b.SOURCE) == []


@pytest.mark.parametrize("between", ["registered", "approved"])
def test_nothing_is_decided_between_a_version_and_its_rollout(between: str) -> None:
    plane = with_champion()
    run_id = requested(plane.tell(b.drift())).run_id
    plane.tell(b.drift(drift_id="d2"))
    plane.tell(b.run_finished(run_id=run_id), b.registered(2, run_id=run_id, follows="rollout"))
    if between == "approved":
        plane.tell(b.approved(2))
    assert plane.tick(DAY_MS // 2, b.SOURCE) == []


def test_a_version_that_is_withdrawn_holds_nothing_back() -> None:
    plane = with_champion()
    run_id = requested(plane.tell(b.drift())).run_id
    plane.tell(b.drift(drift_id="d2"))
    plane.tell(b.run_finished(run_id=run_id), b.registered(2, run_id=run_id, follows="rollout"))
    plane.tick(HOUR_MS, b.SOURCE)
    withdrawn = c.VersionWithdrawn(model=b.MODEL, version=2, reason="superseded")
    assert requested(plane.tell(withdrawn)).drift_id == "d2"


def on_watch() -> ControlPlane:
    plane = in_rollout()
    plane.tell(b.promoted(2, 1, watch_until_ms=b.T0_MS + DAY_MS), b.rollout_ended())
    return plane


WATCHED = b.drift(drift_id="d2", version=2, position=4_000, watch={"former": 1, "outcomes": 60, "mean_difference": 0.1})


def test_an_alarm_that_the_watch_answers_leads_to_no_run() -> None:
    plane = on_watch()
    assert plane.tell(WATCHED, b.rolled_back(drift_id="d2", by="watch")) == []
    assert plane.tick(DAY_MS, b.SOURCE) == []


def test_an_alarm_for_a_watch_that_ended_first_leads_to_a_run() -> None:
    plane = on_watch()
    assert plane.tell(WATCHED) == []
    assert requested(plane.tell(b.watch_ended())).drift_id == "d2"


def test_a_budget_a_day_of_the_models_clock() -> None:
    retrain = {"budget_per_day": 2, "cooldown": "10m"}
    plane = with_champion(retrain=retrain)
    plane.tell(b.run_failed(run_id=requested(plane.tell(b.drift())).run_id))
    plane.tick(HOUR_MS, b.SOURCE)
    assert plane.tell(b.drift(drift_id="d2")) == []
    to_midnight_ms = DAY_MS - plane.now_ms % DAY_MS
    assert plane.tick(to_midnight_ms - 1, b.SOURCE) == []
    assert requested(plane.tick(1, b.SOURCE)).drift_id == "d2"


def test_policy_every_counts_rows_from_the_last_run() -> None:
    plane = with_champion(**EVERY)
    assert plane.tell(b.drift(position=2_400), measured(2_499)) == []
    request = requested(plane.tell(measured(2_500)))
    assert (request.reason, request.position, request.champion) == (c.RunReason.ROWS, 2_500, 1)
    assert plane.tell(measured(3_000)) == []
    live(plane, 2)
    assert requested(plane.tell(measured(3_100))).champion == 2


def test_policy_never_keeps_the_first() -> None:
    plane = with_champion(**NEVER)
    assert plane.tell(b.drift(), measured(9_000)) == []
    assert plane.tick(DAY_MS, b.SOURCE) == []


def retrain(request_id: str = "q", **over: Any) -> c.RetrainModel:
    return c.RetrainModel.written({"model": b.MODEL, "by": "ann", "request_id": request_id, **over})


def test_a_command_needs_no_cool_down() -> None:
    plane = platform(**NEVER)
    plane.tell(measured(2_000))
    live(plane)
    assert requested(plane.tell(retrain())).reason is c.RunReason.COMMAND


def test_a_command_waits_for_the_run_in_progress() -> None:
    plane = with_champion()
    run_id = requested(plane.tell(b.drift())).run_id
    assert plane.tell(retrain()) == []
    [refused] = plane.tell(retrain("q2"))
    assert isinstance(refused, c.CommandRefused)
    assert "waits already" in refused.reason
    assert requested(plane.tell(b.run_failed(run_id=run_id))).reason is c.RunReason.COMMAND


def test_a_command_is_refused_without_rows_or_model() -> None:
    plane = platform()
    plane.tell(measured(49))
    for command, said in ((retrain(), "49 labelled rows"), (retrain(model="nobody"), "known are card_fraud")):
        [refused] = plane.tell(command)
        assert isinstance(refused, c.CommandRefused)
        assert said in refused.reason
    plane.tell(measured(50))
    assert requested(plane.tell(retrain("q3"))).champion is None


def test_a_run_that_does_not_end_by_its_deadline_has_failed() -> None:
    plane = platform()
    run_id = requested(plane.tell(measured(2_000))).run_id
    assert plane.tick(DEADLINE_MS - 1, b.SOURCE) == []
    [failed] = plane.tick(1, b.SOURCE)
    assert failed == b.run_failed(run_id=run_id, reason="it did not end by its deadline")
    assert plane.platform.model(b.MODEL).run is None
    assert plane.tick(DAY_MS, b.SOURCE) == []


def test_a_run_that_ends_while_it_is_given_up_has_ended() -> None:
    plane = platform()
    run_id = requested(plane.tell(measured(2_000))).run_id
    plane.now_ms += DEADLINE_MS
    plane.put(b.tick(b.SOURCE))
    assert plane.tell(b.run_finished(run_id=run_id)) != []
    assert plane.platform.model(b.MODEL).last_run == b.run_finished(run_id=run_id)
    plane.tell(b.registered(run_id=run_id, follows="promotion"), b.approved(), b.promoted())
    plane.tick(HOUR_MS, b.SOURCE)
    assert requested(plane.tell(b.drift())).champion == 1


def test_seeds_differ_by_run_and_repeat() -> None:
    def seeds() -> list[int]:
        plane = with_champion()
        return [e.seed for e in (*plane.events, *plane.tell(b.drift())) if isinstance(e, c.RunRequested)]

    first, second = seeds()
    assert first != second
    assert seeds() == [first, second]
