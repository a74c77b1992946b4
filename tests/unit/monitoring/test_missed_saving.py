"""When a retraining pays: what is counted, when it is said, and when it begins anew."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from services.monitoring import missed_saving
from services.monitoring.missed_saving import Excess, Missed
from services.monitoring.outcome_losses import judged
from shared.contracts import control as c
from shared.contracts.definitions import Model
from shared.contracts.platform import ModelState
from shared.runtime.history import ControlHistory
from shared.runtime.outcome_segments import row_of
from tests import builders as b
from tests.unit.monitoring.stepping import decide, history

T = b.T0_MS


def live(policy: str = "evidence", cost: float = 10.0, horizon: int = 10_000) -> ControlHistory:
    model = b.model(
        monitor={"metric": "log_loss"}, retrain={"policy": policy, "rows": 100, "cost": cost, "horizon": horizon}
    )
    definitions = b.applied(b.source(), b.label_source(), b.view(), model)
    return history(definitions, b.registered(1), b.approved(1), b.promoted(1))


def fed(
    control: ControlHistory,
    state: Missed | None,
    first: int,
    following: int,
    *,
    right: bool,
    excess: Excess | None = None,
) -> tuple[Missed | None, list[c.DriftDetected]]:  # fmt: skip
    """Outcomes [first, following) of an answer of .9 that is as right as it says, or not; and what was said."""
    platform, said = control.newest, list[c.DriftDetected]()
    model = platform.definitions.models[b.MODEL]
    for n in range(first, following):
        made = b.prediction(0.9, record_id=f"t{n:05}", champion=1)
        label = float(n % 10 != 0) if right else float(n % 5 == 0)
        row = {"ordinal": n, **row_of(b.matured(label=label, prediction=made), T + n)}
        outcome = judged(model, platform, row, n + 1)
        state, found = missed_saving.watch(state, model, platform.model(b.MODEL), outcome, excess)
        said += [found] if found else []
    return state, said


def test_a_model_that_is_right_misses_nothing() -> None:
    state, said = fed(live(), None, 0, 2_000, right=True)
    assert said == []
    assert state is not None
    assert state.amount < 1.0


def test_it_is_said_once_when_what_was_missed_reaches_the_cost() -> None:
    control = live()
    state, _ = fed(control, None, 0, 500, right=True)
    state, [said] = fed(control, state, 500, 1_500, right=False)
    assert said.monitor == "saving"
    assert said.saving is not None
    assert (said.saving.by, said.saving.pays, said.saving.cost) == ("correction", True, 10.0)
    assert said.evidence >= 10.0
    assert 490 <= said.since <= 510
    assert said.mean_since > said.reference


def test_the_figures_let_a_person_compute_it_again() -> None:
    _, [said] = fed(live(), None, 0, 1_000, right=False)
    figures = said.saving
    assert figures is not None
    assert figures.mean_loss is not None
    assert figures.corrected_loss is not None
    counted = figures.outcomes * (figures.mean_loss - figures.corrected_loss - figures.cost / figures.horizon)
    assert counted == pytest.approx(figures.missed)


def test_a_saving_that_would_not_pay_within_the_horizon_is_not_counted() -> None:
    state, said = fed(live(cost=10.0, horizon=10), None, 0, 1_000, right=False)
    assert said == []
    assert state is not None
    assert state.amount == 0.0


@pytest.mark.parametrize("policy", ["never", "every"])
def test_where_nobody_retrains_on_evidence_nothing_is_counted(policy: str) -> None:
    assert fed(live(policy), None, 0, 100, right=False) == (None, [])


def test_a_version_that_answers_anew_is_counted_anew() -> None:
    control = live()
    state, _ = fed(control, None, 0, 200, right=False)
    for event in (b.registered(2), b.approved(2), b.promoted(2, former=1)):
        decide(control, event)
    again, _ = fed(control, state, 200, 201, right=True)
    assert again == Missed(2, control.newest.model(b.MODEL).promoted_at or 0)


def test_after_a_run_in_vain_it_begins_anew() -> None:
    control = live()
    state, [said] = fed(control, None, 0, 1_000, right=False)
    decide(control, b.run_requested(reason=c.RunReason.DRIFT, drift_id=said.drift_id, run_id="r2"))
    assert fed(control, state, 1_000, 2_000, right=False)[1] == []
    decide(control, b.run_failed(run_id="r2"))
    state, again = fed(control, state, 2_000, 2_010, right=False)
    assert again == []
    assert state is not None
    assert (state.said, state.outcomes <= 10) == (False, True)


def test_the_run_in_vain_may_have_been_on_another_alarm() -> None:
    control = live()
    state, [_] = fed(control, None, 0, 1_000, right=False)
    decide(control, b.run_requested(reason=c.RunReason.DRIFT, drift_id="another", run_id="r2"))
    decide(control, b.run_failed(run_id="r2"))
    state, again = fed(control, state, 1_000, 3_000, right=False)
    assert len(again) == 1
    # The run that is over is so once.
    assert fed(control, state, 3_000, 5_000, right=False)[1] == []


def test_of_an_alarm_only_what_came_since_the_run_in_vain_counts_but_of_another_all() -> None:
    control = live()
    state, [said] = fed(control, None, 0, 1, right=True, excess=Excess(0, 200.0))
    decide(control, b.run_requested(reason=c.RunReason.DRIFT, drift_id=said.drift_id, run_id="r2"))
    decide(control, b.run_failed(run_id="r2"))
    state, again = fed(control, state, 1, 2, right=True, excess=Excess(0, 219.0))
    assert again == []
    state, again = fed(control, state, 2, 3, right=True, excess=None)
    assert again == []
    _, [other] = fed(control, state, 3, 4, right=True, excess=Excess(3, 21.0))
    assert other.saving is not None
    assert (other.since, other.saving.missed) == (3, 10.5)


def test_an_alarm_counts_by_half_of_what_was_lost_since_its_change() -> None:
    control = live()
    state, said = fed(control, None, 0, 10, right=True, excess=Excess(3, 19.0))
    assert said == []
    _, [said] = fed(control, state, 10, 11, right=True, excess=Excess(3, 20.5))
    assert said.saving is not None
    assert (said.saving.by, said.since, said.saving.missed) == ("alarm", 3, 10.25)


def test_outcomes_without_a_loss_are_passed_over() -> None:
    control = live()
    platform, state = control.newest, None
    model: Model = platform.definitions.models[b.MODEL]
    decided: ModelState = platform.model(b.MODEL)
    for value, label in ((0.9, 7.0), (1.5, 1.0), (-0.1, 0.0)):
        made = b.prediction(value, record_id="t", champion=1)
        row: dict[str, Any] = {"ordinal": 0, **row_of(b.matured(label=label, prediction=made), T)}
        state, found = missed_saving.watch(state, model, decided, judged(model, platform, row, 1), None)
        assert found is None
    assert state is not None
    assert state.correction.seen == 0


def test_the_state_goes_through_json() -> None:
    state, _ = fed(live(), None, 0, 300, right=False)
    assert state is not None
    assert Missed.from_json(orjson.loads(orjson.dumps(state.to_json()))) == state
