"""The label join as a task sees it: in either order, at maturity, after it, and at expiry."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.monitoring.rekey import key_prediction
from shared.contracts.envelope import Message
from shared.contracts.flow import (
    LabelFate,
    LabelObserved,
    LabelStatus,
    LabelUnused,
    OutcomeMatured,
    OutcomeRevised,
    OutcomeScored,
    RecordStreamed,
)
from shared.contracts.topics import PREDICTIONS
from shared.contracts.topology import TaskSpec
from shared.runtime.step import Context
from tests import builders as b
from tests.unit.monitoring.stepping import At, Stepping, history

E = TypeVar("E")
T = b.T0_MS
MINUTE = 60_000
DUE = T + 10 * MINUTE
EXPIRY = T + 1440 * MINUTE
FORGOTTEN = b.source().retention.duplicates


def said(time_ms: int = T, **over: Any) -> At:
    return At(time_ms, b.prediction(**over), "t1")


def told(value: float | str | bool | None = 1.0, time_ms: int = T + MINUTE, **over: Any) -> At:
    return At(time_ms, b.label(value, **over), "t1")


def join(*entries: At | int, absent: float | None = None) -> list[Message]:
    label = {**b.model().label.model_dump(), "absent": absent}
    return Stepping("join", history(b.applied(b.source(), b.label_source(), b.view(), b.model(label=label)))).feed(
        *entries
    )


def only(kind: type[E], messages: list[Message]) -> list[E]:
    return [message.event for message in messages if isinstance(message.event, kind)]


@pytest.mark.parametrize("entries", [(said(), told(), DUE + 1), (told(), said(), DUE + 1)])
def test_prediction_and_label_meet_in_either_order(entries: tuple[At | int, ...]) -> None:
    scored, matured = join(*entries)
    assert isinstance(scored.event, OutcomeScored)
    assert (scored.time_ms, scored.event.scored_ms) == (T, T)
    assert isinstance(matured.event, OutcomeMatured)
    assert (matured.time_ms, matured.event.status, matured.event.label) == (DUE, LabelStatus.LABELLED, 1.0)
    assert matured.event.label_id == "l1"


def test_the_newest_label_by_then_counts_and_the_others_are_superseded() -> None:
    labels = [told(i, T + at * MINUTE, label_id=f"l{i}") for i, at in enumerate((3, 5, 1, 5))]
    derived = join(labels[0], said(), *labels[1:], DUE + 1)
    assert [event.label_id for event in only(OutcomeMatured, derived)] == ["l3"]
    unused = only(LabelUnused, derived)
    assert {(event.label_id, event.fate) for event in unused} == {(f"l{i}", LabelFate.SUPERSEDED) for i in range(3)}


def test_of_two_labels_with_one_id_the_first_counts() -> None:
    derived = join(said(), told(1.0), told(0.0, T + 2 * MINUTE), DUE + 1)
    assert [event.label for event in only(OutcomeMatured, derived)] == [1.0]
    assert [event.fate for event in only(LabelUnused, derived)] == [LabelFate.SUPERSEDED]


def test_without_a_label_it_is_unlabelled_or_absent() -> None:
    assert [e.status for e in only(OutcomeMatured, join(said(), DUE + 1))] == [LabelStatus.UNLABELLED]
    (absent,) = only(OutcomeMatured, join(said(), DUE + 1, absent=0.0))
    assert (absent.status, absent.label, absent.label_id) == (LabelStatus.ABSENT, 0.0, None)


def test_nothing_is_decided_before_the_watermark_has_passed_the_due_time() -> None:
    assert only(OutcomeMatured, join(said(), told(), DUE)) == []


def test_a_label_dated_after_the_due_time_revises_even_if_it_came_before() -> None:
    derived = join(said(), told(0.0), told(1.0, DUE + 1, label_id="l2"), DUE + 1)
    assert [event.label for event in only(OutcomeMatured, derived)] == [0.0]
    (revised,) = only(OutcomeRevised, derived)
    assert (revised.record_id, revised.label, revised.before, revised.label_id) == ("t1", 1.0, 0.0, "l2")


def test_a_late_label_never_decides_whenever_it_comes() -> None:
    early = join(said(), told(1.0, late=True), DUE + 1)
    after = join(said(), DUE + 1, told(1.0, late=True))
    for derived in (early, after):
        assert [event.status for event in only(OutcomeMatured, derived)] == [LabelStatus.UNLABELLED]
        assert [event.label for event in only(OutcomeRevised, derived)] == [1.0]
    assert early[-1].event == after[-1].event


def test_a_late_label_s_revision_is_dated_by_when_it_was_known_however_far_the_watermark_has_come() -> None:
    known = DUE + 10 * MINUTE
    late = told(1.0, late=True, known_ms=known)
    dates = [
        [message.time_ms for message in derived if isinstance(message.event, OutcomeRevised)]
        for derived in (
            join(said(), late, DUE + 1),
            join(said(), DUE + 1, late),
            join(said(), DUE + 5 * MINUTE, late),
            join(said(), known, late),
        )
    ]
    assert dates == [[known]] * 4


def test_a_late_label_that_changes_nothing_is_late() -> None:
    derived = join(said(), told(1.0), DUE + 1, told(1.0, T + 2 * MINUTE, label_id="l2", late=True))
    assert [(e.label_id, e.fate) for e in only(LabelUnused, derived)] == [("l2", LabelFate.LATE)]
    older = join(said(), told(1.0), DUE + 1, told(0.0, T, label_id="l2", late=True))
    assert [(e.label_id, e.fate) for e in only(LabelUnused, older)] == [("l2", LabelFate.LATE)]
    assert only(OutcomeRevised, derived + older) == []


def test_after_expiry_all_is_forgotten_but_the_id_and_later_that_too() -> None:
    stepping = Stepping("join", history())
    stepping.feed(said(), told(), EXPIRY + 1)
    held = stepping.task.state("t1")
    assert (held.model_dump(exclude_defaults=True), held.expired) == ({"status": "labelled"}, True)
    stepping.feed(T + FORGOTTEN + 1)
    assert stepping.task.state("t1") is None
    assert list(stepping.task.timers()) == []
    derived = stepping.feed(told(0.0, EXPIRY, label_id="l2", late=True), T + FORGOTTEN + 1440 * MINUTE + 1)
    assert [event.fate for event in only(LabelUnused, derived)] == [LabelFate.WITHOUT_RECORD]
    assert stepping.task.state("t1") is None


def test_a_matured_state_holds_no_inputs_and_an_expired_one_no_answers() -> None:
    stepping = Stepping("join", history())
    stepping.feed(said(), told(), DUE + 1)
    state = stepping.task.state("t1")
    assert state.prediction is None
    assert state.decided.answers.outputs == {1: (0.9,)}
    assert len(state.model_dump_json()) < 320
    stepping.feed(T + 1440 * MINUTE + 1)
    assert len(stepping.task.state("t1").model_dump_json()) < 150


def test_a_label_without_a_record_is_told_so_when_it_expires() -> None:
    derived = join(told(), T + MINUTE + 1440 * MINUTE + 1)
    assert [(m.time_ms, m.event) for m in derived] == [
        (T + 1441 * MINUTE, b.unused(fate=LabelFate.WITHOUT_RECORD)),
    ]


def test_streamed_and_http_predictions_of_a_record_make_one_outcome_and_an_answer_goes_first() -> None:
    derived = join(said(value=None), said(T + 1, origin="http", value=0.2), said(T + 2, value=0.7), DUE + 1)
    assert len(only(OutcomeScored, derived)) == 1
    (matured,) = only(OutcomeMatured, derived)
    assert matured.prediction.outputs[1].output == (0.2,)
    (first,) = only(OutcomeMatured, join(said(value=0.3), said(T + 1, origin="http", value=0.2), DUE + 1))
    assert first.prediction.outputs[1].output == (0.3,)


@pytest.mark.parametrize(
    ("before", "status"),
    [
        ([], None),
        ([told(), DUE + 1], LabelStatus.LABELLED),
        ([DUE + 1], LabelStatus.UNLABELLED),
        ([DUE + 1, told(1.0, DUE + 1, late=True)], LabelStatus.UNLABELLED),
        ([told(), EXPIRY + 1], LabelStatus.LABELLED),
    ],
    ids=["open", "labelled", "unlabelled", "revised", "expired"],
)
def test_a_record_that_was_asked_about_before_it_came_is_told_as_streamed(
    before: list[At | int], status: LabelStatus | None
) -> None:
    now = max([T, *(entry if isinstance(entry, int) else entry.time_ms for entry in before)])
    derived = join(said(origin="http"), *before, said(now + 1))
    assert len(only(OutcomeScored, derived)) == 1
    assert [event.status for event in only(RecordStreamed, derived)] == [status]


def test_told_as_streamed_is_what_was_answered_on_the_stream_and_made_no_outcome() -> None:
    assert only(RecordStreamed, join(said(), said(T + 1, origin="http"))) == []
    assert only(RecordStreamed, join(said(origin="http"), said(T + 1, value=None))) == []
    assert len(only(RecordStreamed, join(said(origin="http", value=None), said(T + 1)))) == 1


def test_a_prediction_whose_due_time_has_passed_promises_nothing_of_the_past() -> None:
    now = DUE + 5 * MINUTE
    derived = join(now, told(1.0, late=True), said(T), now + 1)
    assert [type(message.event) for message in derived] == [OutcomeScored, OutcomeMatured, OutcomeRevised]
    assert all(message.time_ms >= now for message in derived)
    assert derived[0].event.scored_ms == T  # type: ignore[union-attr]


def test_a_null_label_says_that_it_is_not_known() -> None:
    (matured,) = only(OutcomeMatured, join(said(), told(1.0), told(None, T + 2 * MINUTE, label_id="l2"), DUE + 1))
    assert (matured.status, matured.label, matured.label_id) == (LabelStatus.UNLABELLED, None, "l2")


def test_a_truth_value_becomes_a_number() -> None:
    (matured,) = only(OutcomeMatured, join(said(), told(True), DUE + 1))
    assert matured.label == 1.0


_LABELS = st.tuples(
    st.sampled_from(["l0", "l1", "l2", "l3"]), st.integers(-20, 20), st.sampled_from([0.0, 1.0]), st.booleans()
)
_ENTRIES = st.lists(
    st.one_of(
        _LABELS,
        st.integers(-20, 1600).map(lambda minutes: T + minutes * MINUTE),
        st.integers(0, 5).map(lambda minutes: said(T + minutes * MINUTE)),
    ),
    max_size=14,
)


@settings(max_examples=150, deadline=None)
@given(_ENTRIES)
def test_every_label_has_one_fate_and_nothing_goes_behind_the_watermark(entries: list[Any]) -> None:
    stepping = Stepping("join", history())
    accepted: list[str] = []
    derived: list[Message] = []
    watermark_ms = T - 10_000 * MINUTE
    for n, entry in enumerate([*entries, EXPIRY + 5000 * MINUTE + FORGOTTEN]):
        if isinstance(entry, tuple):
            label_id, at, value, late = entry
            label = b.label(value, label_id=f"{label_id}.{n % 3}", late=late or T + at * MINUTE < watermark_ms)
            entry = At(T + at * MINUTE, label, "t1")
            accepted.append(label.label_id)
        found = stepping.feed(entry)
        assert all(message.time_ms >= watermark_ms for message in found)
        derived += found
        if isinstance(entry, int):
            watermark_ms = max(watermark_ms, entry)
    fates = [m.event.label_id for m in derived if isinstance(m.event, OutcomeMatured | OutcomeRevised | LabelUnused)]
    assert sorted(fate for fate in fates if fate is not None) == sorted(accepted)
    assert stepping.task.state("t1") is None
    matured = only(OutcomeMatured, derived)
    assert len(matured) == len(only(OutcomeScored, derived))


@pytest.mark.parametrize("origin", ["http", "stream"])
def test_a_prediction_after_the_outcome_has_expired_makes_no_second_one(origin: str) -> None:
    later = said(EXPIRY + MINUTE, origin=origin, request_id="q9")
    derived = join(
        said(), told(), DUE + 1, EXPIRY + 1, later, told(0.0, EXPIRY + 2 * MINUTE, label_id="l2"), EXPIRY * 2
    )
    told_again = [RecordStreamed] if origin == "stream" else []
    assert [type(message.event) for message in derived] == [OutcomeScored, OutcomeMatured, *told_again, LabelUnused]
    assert [(event.label_id, event.fate) for event in only(LabelUnused, derived)] == [("l2", LabelFate.LATE)]


def test_a_prediction_after_its_label_has_expired_makes_one_outcome_without_it() -> None:
    late = T + MINUTE + 1440 * MINUTE + 1
    again = said(late + 1, origin="http", request_id="q10")
    derived = join(told(), late, said(late, origin="http", request_id="q9"), again, late + 20 * MINUTE)
    assert [event.fate for event in only(LabelUnused, derived)] == [LabelFate.WITHOUT_RECORD]
    assert [event.status for event in only(OutcomeMatured, derived)] == [LabelStatus.UNLABELLED]


def test_a_label_record_goes_to_each_model_that_it_labels() -> None:
    control = history(b.applied(b.source(), b.label_source(), b.view(), b.model(), b.model(name="other")))
    value = {"transaction_id": "t9", "chargeback_id": "c1", "is_fraud": True}
    record = b.accepted(source=b.LABELS, record_id="c1", value=value, late=True, known_ms=T + MINUTE)
    derived = Stepping("key_labels", control).feed(At(T, record, "t9"))
    assert [(m.key, m.time_ms, m.event) for m in derived] == [
        ("t9", T, LabelObserved(model=name, join_id="t9", label_id="c1", value=True, late=True, known_ms=T + MINUTE))
        for name in (b.MODEL, "other")
    ]


def test_predictions_go_by_record_id_and_requests_never_behind_the_watermark() -> None:
    stepping = Stepping("key_predictions", history())
    stream, http = b.prediction(), b.prediction(origin="http", record_id="t2")
    derived = stepping.feed(
        T + MINUTE, At(T, stream, "c1"), At(T, http, "c1"), At(T, b.prediction(record_id=None, origin="http"), "c1")
    )
    assert [(m.key, m.time_ms) for m in derived] == [("t1", T), ("t2", T + MINUTE)]


def test_a_request_about_a_time_that_the_events_have_not_reached_is_dated_by_them() -> None:
    asked = At(T + 366 * 1440 * MINUTE, b.prediction(origin="http"), "c1")
    [dated] = Stepping("key_predictions", history()).feed(T, asked)
    assert dated.time_ms == T + 10 * MINUTE
    wall = b.applied(b.source(time={"field": "at", "clock": "wall"}), *b.declared()[1:])
    [as_asked] = Stepping("key_predictions", history(wall)).feed(T, asked)
    assert as_asked.time_ms == asked.time_ms


def test_a_request_that_comes_when_its_record_may_be_forgotten_makes_no_outcome() -> None:
    stepping, http = Stepping("key_predictions", history()), b.prediction(origin="http", request_id="q1")
    assert len(stepping.feed(T + FORGOTTEN, At(T, http, "c1"))) == 1
    assert stepping.feed(T + FORGOTTEN + 1, At(T, http, "c1")) == []
    assert len(stepping.feed(At(T, b.prediction(record_id="t2"), "c1"))) == 1


def test_a_request_that_comes_before_its_log_has_shown_the_model_makes_no_outcome_and_no_dead_letter() -> None:
    known, task = history(), TaskSpec("monitoring", "key_predictions", b.MODEL, PREDICTIONS.of(b.MODEL).name, 0, ())
    early, late = (Context(known.at(position), T, task) for position in (1, known.position))
    asked = Message("q1", "serving/http/r1", T, "c1", b.prediction(origin="http", answered_by=None, outputs={}))
    assert key_prediction(None, asked, early) == (None, [])
    assert len(key_prediction(None, asked, late)[1]) == 1
