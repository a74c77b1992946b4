"""The estimate of accuracy as the judge reports it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.monitoring import estimate_watch
from services.monitoring.app import build
from services.monitoring.estimated_quality import PRIOR_ROWS, ROWS
from services.monitoring.judge_state import JudgeState
from services.monitoring.settings import MonitoringSettings
from services.monitoring.version_facts import VersionFacts
from shared.contracts import control as c
from shared.contracts.envelope import Event
from shared.runtime.history import ControlHistory
from shared.runtime.task import Task
from shared.runtime.task_file import TaskFile
from tests import builders as b
from tests.unit.monitoring.stepping import At, Stepping, decide, history
from tests.unit.monitoring.test_judge import HELD_BACK, REFERENCE, T, monitor, only

# Right in nine of ten rows where the amount is at most 10, in six of ten above.
CALIBRATION: dict[str, Any] = {
    "outputs": 1,
    "columns": [{"input": "amount"}],
    "tree": [[0, 10.0, 1, 2, True, 0], [0, 0.0, -1, -1, True, 0], [0, 0.0, -1, -1, True, 1]],
    "edges": [0.5],
    "cells": [[[250, 25, 25.0], [250, 225, 25.0]], [[250, 100, 100.0], [250, 150, 100.0]]],
}
LATE = 700


def live(calibration: Any = CALIBRATION, **over: Any) -> ControlHistory:
    version = b.registered(1, held_back=HELD_BACK, reference=REFERENCE, calibration=calibration)
    return history(monitor(report_every=100, **over), version, b.approved(1), b.promoted(1))


def records(count: int, value: float = 0.9, amount: float = 5.0, **over: Any) -> list[At | int]:
    """Each scored, and matured LATE records later; three of four labels are 1, so that 0.9 is right."""
    entries: list[At | int] = []
    for i in range(count + LATE):
        if i < count:
            entries.append(At(T + i, b.scored(prediction=said(i, value, amount, **over), scored_ms=T + i), "x"))
        if (known := i - LATE) >= 0:
            made = said(known, value, amount, **over)
            label = 0.0 if known % 4 == 0 else 1.0
            entries.append(At(T + i, b.matured(label=label, prediction=made, scored_ms=T + known), "x"))
    return [*entries, T + count + LATE]


def said(i: int, value: float, amount: float, **over: Any) -> Any:
    return b.prediction(value, record_id=f"t{i:05}", inputs={"amount": amount, "hour": 9.0}, **over)


def reports(control: ControlHistory, entries: list[At | int]) -> list[c.QualityMeasured]:
    return only(c.QualityMeasured, Stepping("judge", control).feed(*entries))


@pytest.mark.parametrize(("amount", "accuracy"), [(5.0, 0.9), (20.0, 0.6)])
def test_a_report_tells_what_is_estimated_and_later_how_far_that_was_off(amount: float, accuracy: float) -> None:
    first, *_, last = reports(live(), records(1_300, amount=amount))
    # The first report comes with the hundredth label, when a hundred rows of the reference are of records here.
    assert first.estimated["accuracy"] == pytest.approx(accuracy, abs=0.05)
    assert first.estimated["loss"] == pytest.approx(1.0 - accuracy, abs=0.05)
    assert first.estimated_rows == ROWS
    assert (first.estimate_error, first.estimate_error_rows) == ({}, 0)
    # The first block ended before any label was known.
    drawn = PRIOR_ROWS * 0.5 / (ROWS + PRIOR_ROWS)
    expected = accuracy + (drawn if accuracy < 0.75 else -drawn) * 0.3
    later = reports(live(), records(1_300, amount=amount))[5]
    assert later.position == 600
    assert later.estimate_error_rows == ROWS
    assert later.estimate_error["accuracy"] == pytest.approx(expected - 0.75)
    assert last.position == 1_300


@pytest.mark.parametrize(
    "calibration",
    [
        None,
        {},
        {**CALIBRATION, "edges": []},
        {**CALIBRATION, "outputs": 3},
        {**CALIBRATION, "cells": "?"},
        {"columns": ["x"]},
    ],
)
def test_without_a_table_that_fits_nothing_is_estimated_and_all_else_is_as_ever(calibration: Any) -> None:
    found, usual = reports(live(calibration), records(600)), reports(live(), records(600))
    assert all((r.estimated, r.estimated_rows, r.estimate_error) == ({}, 0, {}) for r in found)
    nothing: dict[str, Any] = {"estimated": {}, "estimated_rows": 0, "estimate_error": {}, "estimate_error_rows": 0}
    assert found == [r.model_copy(update=nothing) for r in usual]


def test_nothing_is_estimated_of_answers_that_are_none_or_of_another_champion() -> None:
    assert reports(live(), records(600, value=1.7))[-1].estimated == {}
    assert reports(live(), records(600, champion=3))[-1].estimated == {}
    nobody = history(monitor(report_every=100))
    assert all(r.estimated == {} for r in reports(nobody, records(200)))


def test_labels_of_no_class_and_missing_ones_have_no_part_in_the_truth() -> None:
    stepping = Stepping("judge", live())
    entries = [At(T + i, b.scored(prediction=said(i, 0.9, 5.0), scored_ms=T + i), "x") for i in range(600)]
    stepping.feed(*entries, T + 600)
    labels: list[float | None] = [None, 7.0, 1.0, 1.0]
    late = [
        At(T + 600 + i, b.matured(label=labels[i % 4], prediction=said(i, 0.9, 5.0), scored_ms=T + i), "x")
        for i in range(600)
    ]
    stepping.feed(*late, T + 1_300)
    error = stepping.task.state("model").estimate.error
    assert error.rows == 250
    assert error.accuracy == pytest.approx(0.9 - 1.0, abs=0.01)


def test_a_new_champion_begins_anew() -> None:
    control = live()
    stepping = Stepping("judge", control)
    stepping.feed(*records(300))
    assert len(stepping.task.state("model").estimate.places) == 300
    decide(control, b.registered(2, calibration=CALIBRATION, artifact=b.reference(sha256="2" * 64)))
    decide(control, b.promoted(2, former=1, watch_until_ms=T + 10**9))
    outputs = {v: {"artifact_sha256": b.SHA256, "output": [0.9]} for v in (1, 2)}
    made = said(5_000, 0.9, 5.0, outputs=outputs, champion=2, answered_by=2)
    at = T + 5_000
    stepping.feed(At(at, b.scored(prediction=made, scored_ms=at), "x"), at + 1)
    estimate = stepping.task.state("model").estimate
    assert (estimate.version, len(estimate.places)) == (2, 1)


def test_it_is_the_same_with_a_restart_at_any_batch() -> None:
    entries = records(640)
    whole = Stepping("judge", live())
    expected = [m.event for m in whole.feed(*entries)]
    assert any(isinstance(e, c.QualityMeasured) and e.estimate_error for e in expected)
    file, control, found = TaskFile("t", None), live(), list[Event]()
    stepping = Stepping("judge", control, file)
    made = stepping.records(entries)
    for first in range(0, len(made), 97):
        found += [m.event for m in stepping.take(made[first : first + 97])]
        stepping.task.unsent.clear()
        stepping.task = Task(stepping.spec, build(MonitoringSettings()).steps["judge"], file, control)
        stepping.task.unsent.clear()
    assert found == expected
    assert stepping.task.state("model").to_json() == whole.task.state("model").to_json()


def test_the_state_of_an_earlier_release_is_read_and_its_waiting_rows_are_inputs() -> None:
    inputs = {"amount": 5.0, "inputs": 3.0, "output": 1.0, "champion": 1.0}
    stored = JudgeState().put("scored:t1", inputs).to_json()
    del stored["estimate"]
    state = JudgeState.from_json(json.loads(json.dumps(stored)))
    assert state.estimate is None
    row, state = state.take("scored:t1")
    assert estimate_watch.inputs_of(row) == inputs
    after = estimate_watch.take_scored(state, live().newest.model(b.MODEL), row, T, VersionFacts())
    assert after.estimate is not None
    assert after.estimate.places == ()
