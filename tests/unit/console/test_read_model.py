from __future__ import annotations

from typing import Any

import pytest

from services.console.platform_views import model_view
from services.console.record_counts import RawCounts
from services.console.report import counts
from shared.contracts import control as c
from shared.contracts.flow import LabelFate, RejectReason
from shared.contracts.topics import OUTCOMES, PREDICTIONS, RECORDS, REJECTED
from shared.runtime.log import LogRecord
from tests import builders as b
from tests.unit.console.control_log import ControlLog

ACCEPTED = RECORDS.of(b.SOURCE).name
PREDICTED = PREDICTIONS.of(b.MODEL).name
OUTCOME = OUTCOMES.of(b.MODEL).name


def _counts(log: ControlLog, raw: RawCounts | None = None) -> dict[str, Any]:
    return counts(log.model, raw or RawCounts())


def _model(log: ControlLog) -> dict[str, Any]:
    return _counts(log)["models"][b.MODEL]


def test_topics_that_are_followed() -> None:
    log = ControlLog()
    assert set(log.model.topics(log.history.newest)) == {
        ACCEPTED, RECORDS.of(b.LABELS).name, PREDICTED, OUTCOME, REJECTED.name,
    }  # fmt: skip
    assert {b.SOURCE, b.LABELS, "ingestion.dead.v1"} <= set(RawCounts().topics(log.history.newest))


def test_records_of_a_source_each_counted_from_its_own_topic() -> None:
    log, raw = ControlLog(), RawCounts()
    for offset in range(5):
        raw.on_record(LogRecord(b.SOURCE, 0, offset, b.T0_MS, None, b"\xff no event", ()))
    log.take(ACCEPTED, b.accepted(), b.accepted(record_id="t2", late=True))
    log.take(REJECTED.name, b.rejected(), b.rejected(reason=RejectReason.WRONG_TYPE))
    found = _counts(log, raw)["sources"][b.SOURCE]
    assert found == {
        "published": 5,
        "accepted": 2,
        "late": 1,
        "rejected": 2,
        "rejected_by_reason": {"undecodable": 1, "wrong_type": 1},
    }


def test_a_model_counts_the_records_accepted_since_it_was_defined() -> None:
    log = ControlLog()
    log.take(ACCEPTED, b.accepted(), control=2)
    later = b.model(name="later")
    defined_at = log.say(b.applied(later, request_id="q2"))
    log.take(ACCEPTED, b.accepted(record_id="t2"), control=defined_at - 1)
    log.take(ACCEPTED, b.accepted(record_id="t3"), control=defined_at)
    models = _counts(log)["models"]
    assert models[b.MODEL]["accepted"] == 3
    assert models["later"]["accepted"] == 1


def test_streamed_predictions_and_requests_are_counted_apart() -> None:
    log = ControlLog()
    log.take(PREDICTED, b.prediction(None), b.prediction(0.9), b.prediction(0.8))
    log.take(PREDICTED, b.prediction(0.7, origin="http", record_id=None), outside=True)
    found = _model(log)
    assert (found["before_first_model"], found["scored"]) == (1, 2)
    assert (found["requests"], found["answered_requests"]) == (1, 1)


def test_a_request_that_a_replica_sends_again_counts_once() -> None:
    log = ControlLog()
    event = b.prediction(0.7, origin="http", request_id="r1")
    log.take(PREDICTED, event, event, outside=True)
    assert _model(log)["requests"] == 1


def test_outcomes_of_the_answers_that_went_out() -> None:
    log = ControlLog(b.registered(), b.promoted())
    for record_id in ("t1", "t2", "t3", "t4"):
        log.take(OUTCOME, b.scored(prediction=b.prediction(record_id=record_id)))
    log.take(OUTCOME, b.matured(0.9, 1.0, prediction=b.prediction(0.9, record_id="t1")))
    log.take(OUTCOME, b.matured(0.9, 0.0, prediction=b.prediction(0.9, record_id="t2")))
    log.take(OUTCOME, b.matured(label=None, prediction=b.prediction(record_id="t3")))
    found = _model(log)
    assert (found["joined"], found["unlabelled"], found["unmatured"]) == (2, 1, 1)
    assert found["quality"] == 0.5
    assert found["metric"] == "accuracy"


def test_streamed_records_that_were_asked_about_first_are_counted_by_the_outcome_of_the_request() -> None:
    log = ControlLog(b.registered(), b.promoted())
    for n, label in enumerate((1.0, None, 1.0)):
        asked = b.prediction(record_id=f"t{n}", origin="http")
        log.take(PREDICTED, b.prediction(record_id=f"t{n}"))
        log.take(OUTCOME, b.scored(prediction=asked), b.streamed(record_id=f"t{n}"))
        assert _model(log)["unmatured"] == 1
        log.take(OUTCOME, b.matured(label=label, prediction=asked))
    only_asked = b.prediction(record_id="t3", origin="http")
    log.take(OUTCOME, b.scored(prediction=only_asked), b.matured(prediction=only_asked))
    for status in ("labelled", "absent", "unlabelled"):
        log.take(PREDICTED, b.prediction(record_id=f"t-{status}"))
        log.take(OUTCOME, b.streamed(record_id=f"t-{status}", status=status))
    found = _model(log)
    assert (found["scored"], found["joined"], found["unlabelled"], found["unmatured"]) == (6, 4, 2, 0)
    assert found["joined_requests"] == 3


def test_what_had_no_answer_joins_nothing_and_has_no_quality() -> None:
    log = ControlLog()
    silent = b.prediction(None)
    log.take(OUTCOME, b.scored(prediction=silent), b.matured(label=1.0, prediction=silent))
    found = _model(log)
    assert (found["joined"], found["unlabelled"], found["unmatured"]) == (0, 0, 0)
    assert found["matured_before_first_model"] == 1
    assert found["quality"] is None


def test_an_outcome_that_comes_before_its_version_is_known_gets_its_figure_later() -> None:
    log = ControlLog()
    log.take(OUTCOME, b.matured(0.9, 1.0))
    assert _model(log)["quality"] is None
    log.say(b.registered())
    assert _model(log)["quality"] == 1.0
    assert _model(log)["joined"] == 1


def test_an_absent_label_is_joined() -> None:
    log = ControlLog(b.registered())
    log.take(OUTCOME, b.matured(0.2, 0.0, status="absent", label_id=None))
    assert _model(log)["joined"] == 1
    assert _model(log)["quality"] == 1.0


def test_labels_that_revise_or_are_not_used() -> None:
    log = ControlLog()
    log.take(OUTCOME, b.revised(), b.unused(), b.unused(label_id="l3", fate=LabelFate.LATE))
    assert _model(log)["revised"] == 1
    assert _model(log)["labels_unused"] == {"late": 1, "without_record": 1}


def told(n: int, value: float, before: float | None, label: float | str | None, **over: Any) -> Any:
    return b.revised(record_id=f"t{n}", before=before, label=label, answers=b.answers(outputs={1: [value]}, **over))


def test_corrected_labels_revise_the_quality_and_leave_that_of_the_time() -> None:
    log = ControlLog(b.registered(), b.promoted())
    for n, label in enumerate((1.0, 1.0, 0.0, None)):
        log.take(OUTCOME, b.matured(0.9, label, prediction=b.prediction(0.9, record_id=f"t{n}")))
    assert (_model(log)["quality"], _model(log)["quality_revised"]) == (2 / 3, 2 / 3)
    # Wrong after all, and right in the end; wrong; not known, and right; then one that means nothing any more.
    log.take(OUTCOME, told(0, 0.9, 1.0, 0.0), told(0, 0.9, 0.0, 1.0), told(1, 0.9, 1.0, 0.0), told(3, 0.9, None, 1.0))
    log.take(OUTCOME, told(2, 0.9, 0.0, "perhaps"), told(9, 0.9, 1.0, 0.0, answered_by=None), b.revised())
    found = _model(log)
    assert (found["quality"], found["revised"]) == (2 / 3, 7)
    assert found["quality_revised"] == 2 / 3
    log.take(OUTCOME, told(1, 0.9, 0.0, 1.0))
    assert _model(log)["quality_revised"] == 1.0


def test_a_revision_that_comes_before_its_version_is_known_counts_later() -> None:
    log = ControlLog()
    log.take(OUTCOME, b.matured(0.9, 1.0), told(1, 0.9, 1.0, 0.0))
    assert _model(log)["quality_revised"] is None
    log.say(b.registered())
    assert (_model(log)["quality"], _model(log)["quality_revised"]) == (1.0, 0.0)


def test_figures_of_the_time_stay_where_they_were_said_after_a_revision() -> None:
    log = ControlLog(b.registered(), b.promoted())
    then = log.say(b.quality(total={"accuracy": 0.9}))
    log.say(b.quality(position=2_200, total={"accuracy": 0.9}, revised=40, total_revised={"accuracy": 0.7}))
    was, now = (
        model_view(platform, platform.definitions.models[b.MODEL])["quality"]
        for platform in (log.history.at(then), log.history.newest)
    )
    assert (was["position"], was["total"], was["revised"], was["total_revised"]) == (2_100, {"accuracy": 0.9}, 0, {})
    assert (now["total"], now["revised"], now["total_revised"]) == ({"accuracy": 0.9}, 40, {"accuracy": 0.7})


def test_a_rollout_in_progress_shows_where_it_stands() -> None:
    figures = {
        "rollout_id": "o2", "outcomes": 40, "invalid": 1, "mean_difference": -0.1, "lower": -0.5, "upper": 0.3,
        "e_value": 2.5, "e_value_harm": 1.0, "threshold": 100.0,
    }  # fmt: skip
    log = ControlLog(b.registered(), b.promoted(), b.registered(2), b.rollout_started(), b.quality(rollout=figures))
    platform = log.history.newest
    shown = model_view(platform, platform.definitions.models[b.MODEL])["rollout"]["figures"]
    assert (shown["mean_difference"], shown["upper"], shown["outcomes"]) == (-0.1, 0.3, 40)
    log.say(b.rollout_ended(), b.registered(3), b.rollout_started(rollout_id="o3", candidate=3))
    platform = log.history.newest
    assert model_view(platform, platform.definitions.models[b.MODEL])["rollout"]["figures"] is None


def test_retrainings_and_promotions_are_those_after_the_first_version() -> None:
    log = ControlLog(b.run_requested(), b.run_finished(), b.registered(1), b.promoted(1))
    found = _model(log)
    assert (found["retrainings"], found["promotions"]) == (0, 0)
    log.say(
        b.drift(),
        b.run_requested(run_id="r2", reason=c.RunReason.DRIFT, drift_id="d1"),
        b.run_finished(run_id="r2"),
        b.run_finished(run_id="r2", family="the same run ends once"),
        b.registered(2),
        b.promoted(2, former=1),
    )
    found = _model(log)
    assert (found["retrainings"], found["promotions"], found["rollbacks"]) == (1, 1, 0)
    [alarm] = found["alarms"]
    assert (alarm["position"], alarm["since"], alarm["control"]) == (3_000, 2_800, 7)


def test_inputs_that_moved_are_listed_apart_from_alarms() -> None:
    found = _model(ControlLog(b.registered(1), b.promoted(1), b.inputs_moved()))
    assert found["alarms"] == []
    [moved] = found["inputs_moved"]
    assert (moved["position"], moved["features"][0]["feature"]) == (1_900, "amount")


def test_what_lost_its_traffic_is_rolled_back() -> None:
    log = ControlLog(b.registered(1), b.promoted(1), b.registered(2))
    log.say(b.rollout_started(), b.rollout_ended(phase=c.Phase.REJECTED))
    assert _model(log)["rollbacks"] == 0
    log.say(b.rollout_ended(phase=c.Phase.ROLLED_BACK, reason="worse"))
    log.say(b.promoted(2, former=1), b.rolled_back())
    assert _model(log)["rollbacks"] == 2


def test_a_failed_run_is_no_retraining() -> None:
    log = ControlLog(b.registered(1), b.promoted(1), b.run_requested(run_id="r2"), b.run_failed(run_id="r2"))
    found = _model(log)
    assert (found["retrainings"], found["failed_runs"]) == (0, 1)


def test_a_run_is_told_from_its_request_to_its_version() -> None:
    log = ControlLog(b.run_requested(), b.run_progressed(fraction=0.5, doing="search"))
    [run] = log.model.story.models()[b.MODEL].runs.values()
    assert (run.status, run.fraction, run.doing) == ("running", 0.5, "search")
    log.say(b.run_finished(), b.registered(1))
    shown = run.shown() if log.model.story.models() else {}
    assert (shown["status"], shown["version"], shown["family"]) == ("finished", 1, "linear")
    assert shown["gate"] == "better than a constant predictor"


def test_newest_rejected_are_kept_with_their_reason() -> None:
    log = ControlLog()
    for offset in range(1_100):
        log.take(REJECTED.name, b.rejected(offset=offset))
    kept = log.model.records.newest_rejected
    assert len(kept) == 1_000
    assert kept[-1].event == b.rejected(offset=1_099)
    assert _counts(log)["sources"][b.SOURCE]["rejected"] == 1_100


@pytest.mark.parametrize("family", [PREDICTIONS, OUTCOMES])
def test_events_of_a_model_nobody_defined_change_nothing(family: Any) -> None:
    log = ControlLog()
    log.take(family.of("other").name, b.prediction(model="other"), b.matured())
    assert set(_counts(log)["models"]) == {b.MODEL}


def test_a_version_that_waits_for_a_person_says_so() -> None:
    log = ControlLog(b.registered(1), b.approved(1), b.promoted(1), b.registered(2, follows="approval"))
    shown = model_view(log.history.newest, log.history.newest.definitions.models[b.MODEL])
    assert [version["status"] for version in shown["versions"]] == ["champion", "waits for approval"]
