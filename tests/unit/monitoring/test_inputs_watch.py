"""Inputs that move, as the judge tells them: once, with evidence, and whatever the inputs are."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from services.monitoring import feature_monitor
from services.monitoring.app import build
from services.monitoring.feature_reference import read_reference
from services.monitoring.feature_statistics import statistics_of
from services.monitoring.inputs_watch import ROWS_AT_ONCE, inputs_seen
from services.monitoring.judge_state import JudgeState
from services.monitoring.settings import MonitoringSettings
from services.monitoring.version_facts import VersionFacts
from shared.contracts import control as c
from shared.contracts.envelope import Event
from shared.contracts.platform import ModelState, VersionState
from shared.runtime.history import ControlHistory
from shared.runtime.task import Task
from shared.runtime.task_file import TaskFile
from tests import builders as b
from tests.unit.monitoring.stepping import At, Stepping, decide, history

T = b.T0_MS
RUN_LENGTH = 10_000.0
MEAN, COUNT = f"{b.VIEW}.spend_mean_1h", f"{b.VIEW}.count_24h"
KNOTS = [i / 32 for i in range(33)]
REFERENCE: dict[str, Any] = {
    "rows": 5_000,
    "numbers": {
        "amount": {"quantiles": KNOTS, "missing": 0.0},
        "hour": {"quantiles": KNOTS, "missing": 0.1},
        MEAN: {"quantiles": KNOTS, "missing": 0.05},
        COUNT: {"quantiles": KNOTS, "missing": 0.0},
    },
    "categories": {"category": {"frequencies": {"food": 0.7, "travel": 0.3}, "other": 0.0, "missing": 0.0}},
    "views": {b.VIEW: {"inputs": [MEAN, COUNT], "empty": 0.02}},
}
Inputs = dict[str, Any]


def live(reference: dict[str, Any] | None = REFERENCE, **monitor: Any) -> ControlHistory:
    version = b.registered(1, reference=reference)
    return history(definitions(**monitor), version, b.approved(1), b.promoted(1))


def definitions(**monitor: Any) -> c.DefinitionsApplied:
    model = b.model(monitor={"expected_run_length": RUN_LENGTH, **monitor})
    return b.applied(b.source(), b.label_source(), b.view(), model)


def inputs(count: int, seed: int, change: Callable[[random.Random], Inputs] | None = None) -> list[Inputs]:
    rng, made = random.Random(seed), list[Inputs]()
    for _ in range(count):
        row: Inputs = {"amount": rng.random(), "hour": None if rng.random() < 0.1 else rng.random()}
        row |= {"category": "food" if rng.random() < 0.7 else "travel", MEAN: rng.random(), COUNT: rng.random()}
        made.append(row | (change(rng) if change else {}))
    return made


def entries(given: Sequence[Inputs], first: int = 0) -> list[At | int]:
    made = (b.prediction(record_id=f"t{n:05}", inputs=row) for n, row in enumerate(given, first))
    scored = [At(T + n, b.scored(prediction=one, scored_ms=T + n), "x") for n, one in enumerate(made, first)]
    return [*scored, T + first + len(given)]


def told(stepping: Stepping, given: Sequence[Inputs], first: int = 0) -> list[c.InputsMoved]:
    derived = stepping.feed(*entries(given, first))
    assert all(isinstance(message.event, c.InputsMoved) for message in derived)
    return [message.event for message in derived if isinstance(message.event, c.InputsMoved)]


def higher(name: str) -> Callable[[random.Random], Inputs]:
    return lambda rng: {name: 0.5 + rng.random() / 2}


QUIET = inputs(500, 1)
HIGHER = inputs(500, 2, higher("amount"))


def test_an_input_that_moved_is_told_once_with_what_it_was_and_is() -> None:
    [moved] = told(Stepping("judge", live()), [*QUIET, *HIGHER])
    assert (moved.version, moved.first, moved.told) == (1, 0, ("amount",))
    assert 500 < moved.position < 600
    assert moved.last_record_id == f"t{moved.position - 1:05}"
    amount = moved.features[0]
    assert (amount.feature, amount.statistic, amount.count) == ("amount", "higher", moved.position)
    assert amount.share > 0.9
    assert amount.reference_mean == pytest.approx(0.5, abs=0.01)
    assert amount.reference_mean < amount.null_mean < amount.mean
    assert amount.recent is not None
    assert amount.recent.startswith("quartiles")


def test_an_alarm_can_be_recomputed_from_its_evidence() -> None:
    rows = [*QUIET, *HIGHER]
    [moved] = told(Stepping("judge", live()), rows)
    statistics = statistics_of(read_reference(REFERENCE), moved.threshold)
    assert statistics is not None
    state = feature_monitor.start(statistics, moved.threshold, moved.first)
    _, [again] = feature_monitor.update_many(state, statistics, rows[moved.first : moved.position])
    assert (again.evidence, again.position + 1) == (moved.evidence, moved.position)
    for found, said in zip(again.features, moved.features, strict=True):
        assert (found.feature, found.share, found.mean, found.count) == (
            said.feature,
            said.share,
            said.mean,
            said.count,
        )


def test_while_one_input_stays_moved_another_is_told_as_well() -> None:
    also = inputs(700, 3, lambda rng: {"amount": 0.5 + rng.random() / 2, "category": "travel"})
    first, second = told(Stepping("judge", live()), [*QUIET, *HIGHER, *also])
    assert (first.told, second.told) == (("amount",), ("category",))
    assert second.first == first.position
    assert 1_000 < second.position < 1_100
    assert [one.feature for one in second.features if one.feature == "amount"] == []


def test_under_another_version_it_is_told_anew() -> None:
    control = live()
    stepping = Stepping("judge", control)
    assert len(told(stepping, [*QUIET, *HIGHER])) == 1
    decide(control, b.registered(2, reference=REFERENCE, artifact=b.reference(sha256="2" * 64)))
    decide(control, b.promoted(2))
    [again] = told(stepping, HIGHER, first=1_000)
    assert (again.version, again.first, again.told) == (2, 1_000, ("amount",))


def test_wherever_batches_end_and_after_any_restart_the_same_is_told() -> None:
    rows = [*QUIET[:90], *HIGHER[:200]]
    whole = Stepping("judge", live())
    expected = [(m.id, m.event) for m in whole.feed(*entries(rows))]
    assert len(expected) == 1
    file, control = TaskFile("t", None), live()
    stepping, found = Stepping("judge", control, file), list[tuple[str, Event]]()
    records = stepping.records(entries(rows))
    watermark = records[-1]
    for record in records[:-1]:
        stepping.take([record])
        stepping.task = Task(stepping.spec, build(MonitoringSettings()).steps["judge"], file, control)
    found += [(m.id, m.event) for m in stepping.take([watermark])]
    assert [event for _, event in found] == [event for _, event in expected]
    assert stepping.task.state("model").to_json() == whole.task.state("model").to_json()


def test_the_state_is_the_same_from_json_before_every_record() -> None:
    rows, facts = [*QUIET[:90], *HIGHER[:200]], VersionFacts()
    decided = platform(REFERENCE)
    plain = again = JudgeState()
    said, said_again = list[c.InputsMoved](), list[c.InputsMoved]()
    for n, row in enumerate(rows):
        plain, moved = inputs_seen(plain, MODEL, decided, f"t{n}", row, facts)
        said += moved
        again = JudgeState.from_json(json.loads(json.dumps(again.to_json())))
        again, moved = inputs_seen(again, MODEL, decided, f"t{n}", row, facts)
        said_again += moved
    assert said == said_again
    assert len(said) == 1
    assert plain.to_json() == again.to_json()


MODEL = b.model(monitor={"expected_run_length": RUN_LENGTH})


def platform(reference: dict[str, Any]) -> ModelState:
    version = VersionState(1, "r1", b.reference(), True, b.gate(), 1, reference=reference)
    return ModelState(versions={1: version}, champion=1)


def seen(given: Sequence[Inputs], reference: dict[str, Any] = REFERENCE) -> list[c.InputsMoved]:
    """What is told of these rows, of which some could not stand in an event."""
    state, facts, found = JudgeState(), VersionFacts(), list[c.InputsMoved]()
    for n, row in enumerate(given):
        state, moved = inputs_seen(state, MODEL, platform(reference), f"t{n}", row, facts)
        found += moved
    return found


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, "many", 10**400])
def test_what_is_no_number_counts_as_missing(value: Any) -> None:
    [moved] = seen([*QUIET, *inputs(200, 4, lambda rng: {"amount": value})])
    assert (moved.told, moved.features[0].statistic) == (("amount",), "missing")


def test_inputs_absent_for_weeks_are_told_each_once() -> None:
    found = seen([*QUIET, *({} for _ in range(3_000))])
    named = [name for moved in found for name in moved.told]
    assert sorted(named) == sorted({*REFERENCE["numbers"], "category", b.VIEW})


def test_an_input_that_stands_still_is_told() -> None:
    [moved] = seen([*QUIET, *inputs(300, 5, lambda rng: {"amount": 0.5})])
    assert (moved.told, moved.features[0].statistic) == (("amount",), "narrower")


def test_entities_that_the_view_does_not_know_are_told_as_new() -> None:
    def new(rng: random.Random) -> Inputs:
        return {MEAN: None, COUNT: 0.0} if rng.random() < 0.3 else {}

    found = seen([*QUIET, *inputs(400, 6, new)])
    assert b.VIEW in [name for moved in found for name in moved.told]
    [entity] = [one for moved in found for one in moved.features if one.feature == b.VIEW and b.VIEW in moved.told]
    assert entity.statistic == "new entities"
    assert entity.reference_mean == 0.02
    assert entity.reference is None


def test_what_hangs_together_too_much_is_not_monitored_and_named() -> None:
    numbers = {**REFERENCE["numbers"], "hour": {**REFERENCE["numbers"]["hour"], "time": 400.0}}
    [moved] = seen(
        [*QUIET, *inputs(300, 7, lambda rng: {"hour": 1.0, "amount": 1.0})], {**REFERENCE, "numbers": numbers}
    )
    assert moved.told == ("amount",)
    assert list(moved.unmonitored) == ["hour"]
    assert "400 rows" in moved.unmonitored["hour"]


UNKNOWN: list[dict[str, Any] | None] = [
    None,
    {**REFERENCE, "rows": 29},
    {name: REFERENCE[name] for name in ("numbers", "categories")},  # of a release that did not say how many rows
    {**REFERENCE, "rows": "many"},
    {**REFERENCE, "numbers": ["amount"]},
    {**REFERENCE, "numbers": {"amount": {"quantiles": KNOTS, "missing": 0.0, "time": math.inf}}},
]
SAID = [
    "gave no reference", "29 rows is too small, it takes 30", "does not say how many rows", "gave no reference",
    "gave no reference", "gave no reference",
]  # fmt: skip


@pytest.mark.parametrize(("reference", "said"), list(zip(UNKNOWN, SAID, strict=True)))
def test_a_reference_that_bounds_nothing_monitors_nothing_and_says_so(
    reference: dict[str, Any] | None, said: str
) -> None:
    if reference is None or math.inf not in [one.get("time") for one in _entries(reference)]:
        stepping = Stepping("judge", live(reference, report_every=10))
        assert told(stepping, [*QUIET, *HIGHER]) == []
        report = stepping.feed(*(At(T + 2_000 + n, b.matured(), "x") for n in range(10)), T + 3_000)
        assert [said in m.event.monitored["inputs"] for m in report if isinstance(m.event, c.QualityMeasured)] == [True]
    if reference is not None:
        assert seen([*QUIET, *HIGHER], reference) == []


def _entries(reference: dict[str, Any]) -> list[dict[str, Any]]:
    numbers = reference["numbers"]
    return list(numbers.values()) if isinstance(numbers, dict) else []


def test_what_is_monitored_and_what_was_told_is_reported() -> None:
    stepping = Stepping("judge", live(report_every=10))
    told(stepping, [*QUIET, *HIGHER])
    report = stepping.feed(*(At(T + 2_000 + n, b.matured(), "x") for n in range(10)), T + 3_000)
    [quality] = [m.event for m in report if isinstance(m.event, c.QualityMeasured)]
    assert quality.monitored["inputs"] == "5 against 5000 rows; not amount: told already"


def test_switched_off_nothing_is_told_and_switched_on_it_is() -> None:
    control = live(features=False)
    stepping = Stepping("judge", control)
    assert told(stepping, [*QUIET, *HIGHER]) == []
    decide(control, definitions())
    [moved] = told(stepping, HIGHER, first=1_000)
    assert moved.first >= 1_000 - ROWS_AT_ONCE
    assert moved.told == ("amount",)


def test_another_run_length_begins_anew_and_what_was_told_stays_told() -> None:
    control = live()
    stepping = Stepping("judge", control)
    assert len(told(stepping, [*QUIET, *HIGHER])) == 1
    decide(control, definitions(expected_run_length=5_000))
    assert told(stepping, HIGHER, first=1_000) == []
    assert stepping.task.state("model").shift.monitor.threshold == 5_000.0


def test_the_state_of_an_earlier_release_is_read() -> None:
    stepping = Stepping("judge", live())
    told(stepping, QUIET[:40])
    state = stepping.task.state("model").to_json()
    del state["shift"]["ids"], state["shift"]["monitor"]
    read = JudgeState.from_json(json.loads(json.dumps(state)))
    assert read.shift is not None
    assert (len(read.shift.rows), read.shift.ids, read.shift.monitor) == (8, ("",) * 8, None)
