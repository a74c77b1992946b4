"""What corrected labels make of the quality, and that the figures of the time stay."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.monitoring import prequential, revised_quality
from services.monitoring.judge_state import JudgeState
from services.monitoring.revised_quality import RevisedQuality
from shared.contracts import control as c
from shared.contracts.envelope import Message
from tests import builders as b
from tests.unit.monitoring.stepping import At, Stepping, decide, history

T = b.T0_MS
EVERY = 20


def definitions(**monitor: Any) -> c.DefinitionsApplied:
    settings = {"metric": "zero_one", "report": ["accuracy"], "report_every": EVERY, **monitor}
    return b.applied(b.source(), b.label_source(), b.view(), b.model(monitor=settings))


def live() -> Stepping:
    return Stepping("judge", history(definitions(), b.registered(1), b.approved(1), b.promoted(1)))


def matured(n: int, label: float | None = 1.0) -> At:
    return At(T + n, b.matured(label=label, prediction=b.prediction(0.9, record_id=f"t{n:04}")), f"t{n:04}")


def revised(n: int, before: float | None, label: float | str | None, at: int, **over: Any) -> At:
    answers = b.answers(**{"due_ms": T + n, **over})
    event = b.revised(record_id=f"t{n:04}", before=before, label=label, label_id=f"l{n}", answers=answers)
    return At(T + at, event, f"t{n:04}")


def measured(derived: list[Message]) -> list[c.QualityMeasured]:
    return [message.event for message in derived if isinstance(message.event, c.QualityMeasured)]


def test_figures_of_the_time_stay_and_revised_ones_stand_beside_them() -> None:
    stepping = live()
    entries = [
        *(matured(n, None if n == 5 else 1.0) for n in range(EVERY)),
        # Two turn out wrong, one of them is right all the same; of one nobody knew; one means nothing any more.
        revised(1, 1.0, 0.0, EVERY), revised(2, 1.0, 0.0, EVERY), revised(2, 0.0, 1.0, EVERY + 1),
        revised(3, 1.0, "perhaps", EVERY), revised(5, None, 0.0, EVERY), revised(6, 1.0, None, EVERY),
        *(matured(n) for n in range(EVERY + 2, 2 * EVERY + 2)),
    ]  # fmt: skip
    first, second = measured(stepping.feed(*entries, T + 3 * EVERY))
    assert (first.total, first.revised, first.total_revised) == ({"accuracy": 1.0}, 0, {})
    assert (second.total, second.since_first_version) == ({"accuracy": 1.0}, 39)
    # Of 39 answered two are out (3, 6) and one has come in (5); of these 38 two are wrong (1, 5).
    assert second.revised == 6
    assert second.total_revised == {"accuracy": pytest.approx(36 / 38)}


def test_what_nobody_answered_or_what_comes_twice_revises_nothing() -> None:
    stepping = live()
    stepping.feed(*(matured(n) for n in range(EVERY)))
    silent = [revised(n, 1.0, 0.0, EVERY, answered_by=None) for n in range(5)]
    records = stepping.records([*silent, revised(7, 1.0, 0.0, EVERY)])
    stepping.take([*records, *records])
    stepping.feed(T + EVERY + 1)
    state = stepping.task.state("model").revised
    assert (state.revisions, state.outcomes) == (1, 0)


def test_outcomes_that_were_measured_by_other_metrics_are_no_longer_corrected() -> None:
    stepping = live()
    stepping.feed(*(matured(n) for n in range(10)), T + 10)
    decide(stepping.control, definitions(report=["brier"]))
    stepping.feed(*(matured(n) for n in range(10, 20)), T + 20)
    stepping.feed(revised(3, 1.0, 0.0, 30), revised(12, 1.0, 0.0, 30), T + 31)
    state = stepping.task.state("model").revised
    assert (state.revisions, state.since) == (1, (T + 10, "t0010"))
    assert state.totals == pytest.approx((1.0, 0.8))


def test_a_change_of_the_measure_keeps_what_was_corrected_before() -> None:
    kept = revised_quality.corrected(RevisedQuality("a", (0, ""), 0, 0, (0.0,)), "a", (1, "t"), (0.0,), (1.0,))
    after = revised_quality.following(kept, "b", (9, "t9"), 1, anew=False)
    assert (after.revisions, after.totals, after.since) == (1, (1.0,), (9, "t9"))
    assert revised_quality.corrected(after, "b", (8, "t8"), (0.0,), (1.0,)) == after
    assert revised_quality.corrected(after, "a", (9, "t9"), (0.0,), (1.0,)) == after
    assert revised_quality.corrected(after, "b", (9, "t9"), (0.0,), (1.0,)).totals == (2.0,)


def test_where_every_outcome_is_taken_out_no_figure_is_left() -> None:
    quality = prequential.update(prequential.start(("loss",)), "answers", {"loss": 0.5})
    state = revised_quality.corrected(RevisedQuality("a", (0, ""), 0, 0, (0.0,)), "a", (1, "t"), (0.5,), None)
    assert revised_quality.total(state, quality, "answers") == {}
    assert revised_quality.total(None, quality, "answers") == {}


def test_the_state_survives_json_bit_for_bit() -> None:
    stepping = live()
    stepping.feed(*(matured(n) for n in range(EVERY)), revised(1, 1.0, 0.0, EVERY), T + EVERY + 1)
    text = json.dumps(stepping.task.state("model").to_json())
    again = JudgeState.from_json(json.loads(text))
    assert json.dumps(again.to_json()) == text
    assert again.revised == stepping.task.state("model").revised
