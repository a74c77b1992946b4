"""Loss and residual of the champion, as the judge tells them: which is first, and that one stands for both."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from services.monitoring import loss_monitor
from services.monitoring.judge_state import JudgeState
from services.monitoring.loss_monitor import Statistic
from shared.contracts import control as c
from shared.contracts.expected_loss import ExpectedLoss
from shared.runtime.history import ControlHistory
from tests import builders as b
from tests.unit.monitoring.stepping import At, Stepping, decide, history

T = b.T0_MS
HELD_BACK = {"mean": 0.13, "upper": 0.15, "rows": 500}
RUN_LENGTH = 5_000.0
# On large amounts the version is wrong four times in ten, on small ones hardly ever.
EXPECTED: dict[str, Any] = {
    "base": 0.2,
    "cap": 0.4,
    "columns": [{"input": "amount"}],
    "trees": [[[0, 50.0, 1, 2, True, 0.0], [0, 0.0, -1, -1, True, -0.15], [0, 0.0, -1, -1, True, 0.2]]],
}
Row = tuple[float, bool]  # an amount, and whether the answer was wrong


def live(expected_loss: dict[str, Any] | None = EXPECTED, **monitor: Any) -> ControlHistory:
    version = b.registered(1, held_back=HELD_BACK, expected_loss=expected_loss)
    return history(definitions(**monitor), version, b.approved(1), b.promoted(1))


def definitions(**over: Any) -> c.DefinitionsApplied:
    monitor = {"metric": "zero_one", "expected_run_length": RUN_LENGTH, "reference_outcomes": 500, **over}
    return b.applied(b.source(), b.label_source(), b.view(), b.model(monitor=monitor, retrain={"policy": "never"}))


def rows(count: int, seed: int, large: float, wrong: Callable[[float], float]) -> list[Row]:
    """`large`: the share of large amounts. `wrong`: how often an answer on an amount is wrong."""
    rng = random.Random(seed)
    amounts = [90.0 if rng.random() < large else 10.0 for _ in range(count)]
    return [(amount, rng.random() < wrong(amount)) for amount in amounts]


def as_expected(amount: float) -> float:
    return 0.4 if amount > 50.0 else 0.05


def as_well(amount: float) -> float:
    return 0.8 * as_expected(amount)


def outcome(n: int, row: Row, label: Any = 1.0) -> At:
    amount, wrong = row
    inputs = {**b.inputs(), "amount": amount}
    made = b.prediction(0.1 if wrong else 0.9, record_id=f"t{n:05}", inputs=inputs)
    return At(T + n, b.matured(label=label, prediction=made), f"t{n:05}")


def told(stepping: Stepping, given: list[Row], first: int = 0) -> list[c.DriftDetected]:
    derived = stepping.feed(*(outcome(n, row) for n, row in enumerate(given, first)), T + first + len(given))
    return [message.event for message in derived if isinstance(message.event, c.DriftDetected)]


QUIET = rows(900, 1, 0.2, as_expected)
# The season: many more records are hard, and the version does on each as well as ever.
SEASON = rows(600, 2, 0.7, as_expected)
# The concept: what was easy is hard, while easy records are so many that the loss as a whole is what it was.
TURNED = rows(900, 3, 0.0, lambda amount: 0.12)


def test_a_season_that_the_inputs_show_raises_the_loss_alone() -> None:
    stepping = Stepping("judge", live())
    [alarm] = told(stepping, [*QUIET, *SEASON])
    assert alarm.monitor == "loss"
    residual = stepping.task.state("model").champion.residual
    assert residual.monitor.alarms == 0
    assert residual.monitor.count > 900


def test_a_change_that_the_loss_does_not_show_is_found_in_the_residual() -> None:
    stepping = Stepping("judge", live())
    [alarm] = told(stepping, [*QUIET, *TURNED])
    assert (alarm.monitor, alarm.version) == ("residual", 1)
    assert 900 < alarm.position < 1_500
    assert abs(alarm.since - 900) < 120
    assert alarm.mean_since == pytest.approx(0.09, abs=0.04)  # of loss beyond what was expected
    assert alarm.reference < 0.05
    assert told(Stepping("judge", live(residual=False)), [*QUIET, *TURNED]) == []


def test_an_alarm_can_be_recomputed_from_its_evidence() -> None:
    given = [*QUIET, *TURNED]
    [alarm] = told(Stepping("judge", live()), given)
    figures, expected = alarm.figures, ExpectedLoss.from_json(EXPECTED)
    assert figures is not None
    assert figures.cap == expected.cap
    units = [
        expected.to_unit(expected.residual(float(wrong), expected.of({"amount": amount}, [])))
        for amount, wrong in given[figures.first : alarm.position]
    ]
    state = loss_monitor.start(
        figures.reference_upper, figures.tolerance, figures.threshold * figures.block, block=figures.block,
        first_position=figures.first, statistic=Statistic.RESIDUAL,
    )  # fmt: skip
    _, [again] = loss_monitor.update_many(state, units)
    assert (again.evidence, again.position + 1, again.change_position) == (
        alarm.evidence, alarm.position, alarm.since
    )  # fmt: skip
    assert (again.null_mean, again.leading_bet, again.count, again.run_mean, again.count_since_change) == (
        figures.null_mean, figures.leading_bet, figures.count, figures.run_mean, figures.count_since_change
    )  # fmt: skip
    assert alarm.mean_since == pytest.approx(
        sum(units[-figures.count_since_change :]) / figures.count_since_change * 1.4 - 0.4
    )


def test_each_of_two_monitors_is_given_twice_the_run_length_and_one_alone_the_whole() -> None:
    wrong = [*QUIET, *rows(200, 4, 0.2, lambda amount: 0.9)]
    [both], [alone] = told(Stepping("judge", live()), wrong), told(Stepping("judge", live(expected_loss=None)), wrong)
    assert (both.figures and both.figures.threshold, alone.figures and alone.figures.threshold) == (
        2 * RUN_LENGTH,
        RUN_LENGTH,
    )
    assert both.position >= alone.position


def test_one_alarm_stands_for_the_change_whichever_monitor_alarms_next() -> None:
    stepping = Stepping("judge", live())
    [first] = told(stepping, [*QUIET, *rows(900, 5, 0.2, lambda amount: 0.6)])
    champion = stepping.task.state("model").champion
    assert champion.watch.monitor.alarms > 1
    assert champion.residual.monitor.alarms > 1
    assert champion.standing.monitor == first.monitor


def test_a_standing_alarm_of_the_residual_ends_when_the_residual_recovers() -> None:
    stepping = Stepping("judge", live())
    given = [*QUIET, *TURNED, *rows(1_200, 6, 0.2, as_well), *rows(600, 7, 0.0, lambda amount: 0.2)]
    alarms = told(stepping, given)
    assert [alarm.monitor for alarm in alarms] == ["residual", "residual"]
    assert alarms[1].since > 2_900


def test_after_an_attempt_in_vain_the_other_monitor_tells_the_change_from_its_beginning() -> None:
    control = history(
        definitions(), b.registered(1, held_back=HELD_BACK, expected_loss=EXPECTED), b.approved(1), b.promoted(1)
    )
    stepping = Stepping("judge", control)
    [first] = told(stepping, [*QUIET, *TURNED])
    decide(control, b.run_requested(reason=c.RunReason.DRIFT, drift_id=first.drift_id, run_id="r2"))
    decide(control, b.run_failed(run_id="r2"))
    # Only the loss rises: hard records, on which the version does as well as was expected.
    alarms = told(stepping, rows(400, 8, 1.0, lambda amount: 0.36), first=1_800)
    assert alarms[0].monitor == "loss"
    assert alarms[0].since == first.since
    assert alarms[0].figures is not None
    assert alarms[0].figures.change > first.since
    assert alarms[0].mean_since == alarms[0].figures.since_change_mean


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {**EXPECTED, "trees": []},
        {**EXPECTED, "trees": [[]]},
        {**EXPECTED, "trees": [[[0, 1.0, 0, 0, True, 0.0]]]},  # a node that is its own child
        {**EXPECTED, "trees": [[[0, 1.0, -1, -1, True, "much"]]]},
        {**EXPECTED, "columns": ["amount"]},
        {**EXPECTED, "columns": [{"input": "amount", "means": ["a"], "other": 0.1}]},
        {**EXPECTED, "base": None},
    ],
)
def test_without_an_expected_loss_that_can_be_read_the_loss_is_watched_alone(broken: dict[str, Any]) -> None:
    wrong = [*QUIET, *rows(100, 4, 0.2, lambda amount: 0.9)]
    stepping = Stepping("judge", live(expected_loss=broken))
    assert told(stepping, wrong) == told(Stepping("judge", live(expected_loss=None)), wrong)
    assert stepping.task.state("model").champion.residual is None


def test_switched_off_the_residual_and_its_standing_alarm_are_gone_at_once() -> None:
    control = live()
    stepping = Stepping("judge", control)
    assert len(told(stepping, [*QUIET, *TURNED])) == 1
    decide(control, definitions(residual=False))
    told(stepping, TURNED[:1], first=1_800)
    champion = stepping.task.state("model").champion
    assert (champion.residual, champion.standing) == (None, None)


@pytest.mark.parametrize("label", ["maybe", 7.0])
def test_labels_outside_the_classes_and_outputs_that_are_none_move_nothing(label: Any) -> None:
    stepping = Stepping("judge", live())
    unusual = [outcome(n, (90.0, True), label) for n in range(40)]
    made = b.prediction(record_id="x", inputs={"amount": None}, outputs={1: {"artifact_sha256": "", "output": []}})
    assert stepping.feed(*unusual, At(T + 40, b.matured(prediction=made), "x"), T + 41) == []
    champion = stepping.task.state("model").champion
    assert champion.watch.monitor.invalid == 41
    assert champion.residual.reference.levels == ()


def test_an_outcome_that_comes_twice_counts_twice_and_breaks_nothing() -> None:
    stepping = Stepping("judge", live())
    stepping.feed(*(outcome(n // 2, (10.0, False)) for n in range(20)), T + 20)
    assert stepping.task.state("model").position == 20


def test_the_state_of_an_earlier_release_is_read() -> None:
    stepping = Stepping("judge", live(expected_loss=None))
    told(stepping, QUIET[:50])
    state = stepping.task.state("model").to_json()
    del state["scored"], state["champion"]["residual"], state["champion"]["watch"]["statistic"]
    read = JudgeState.from_json(json.loads(json.dumps(state)))
    assert read.champion == stepping.task.state("model").champion
    assert read.scored == 50


def test_state_comes_back_from_json_bit_for_bit() -> None:
    stepping = Stepping("judge", live())
    told(stepping, [*QUIET, *TURNED])
    state = stepping.task.state("model").to_json()
    assert state["champion"]["residual"]["monitor"]["statistic"] == "residual"
    assert JudgeState.from_json(json.loads(json.dumps(state))).to_json() == state


def test_the_report_of_quality_says_what_each_monitor_compares_with() -> None:
    stepping = Stepping("judge", live(report_every=600))
    derived = stepping.feed(*(outcome(n, row) for n, row in enumerate(QUIET)), T + 900)
    [quality] = [m.event for m in derived if isinstance(m.event, c.QualityMeasured)]
    assert quality.monitored == {
        "loss": "against its first 500 outcomes",
        "residual": "against its first 500 outcomes",
        "inputs": "nothing: the run of this version gave no reference that can be read",
    }
