"""river's detectors on a model's loss: the same alarms as river gives, from whatever state they go on."""

from __future__ import annotations

import json
import random
from functools import partial
from typing import Any

import pytest
from river import drift

from services.monitoring import loss_watch, reference_loss, river_adapters, river_detector, river_missing
from services.monitoring.app import build
from services.monitoring.judge_state import ChampionWatch
from services.monitoring.loss_monitor import LossAlarm
from services.monitoring.river_detector import RiverState
from services.monitoring.settings import MonitoringSettings
from shared.contracts import control as c
from shared.contracts.definitions import Monitor
from shared.contracts.detectors import Detector, complete
from shared.runtime.task import Task
from shared.runtime.task_file import TaskFile
from tests.unit.monitoring.stepping import Stepping, decide
from tests.unit.monitoring.test_judge import T, drifting, live, matured, monitor, only

RIVERS: dict[Detector, Any] = {
    Detector.ADWIN: drift.ADWIN,
    Detector.PAGE_HINKLEY: partial(drift.PageHinkley, mode="up"),
    Detector.KSWIN: drift.KSWIN,
}
GIVEN: dict[Detector, dict[str, float | int]] = {
    Detector.ADWIN: {},
    Detector.PAGE_HINKLEY: {"threshold": 15.0},
    Detector.KSWIN: {"alpha": 0.0001},
}


def rising(n: int = 900, at: int = 500, seed: int = 1) -> list[float]:
    """Losses whose mean rises from .15 to .6."""
    rng = random.Random(seed)
    return [min(1.0, rng.random() * 0.3 + (0.45 if i >= at else 0.0)) for i in range(n)]


def stored_and_read(state: RiverState) -> RiverState:
    return RiverState.from_json(json.loads(json.dumps(state.to_json())))


def fed(state: RiverState, losses: list[float], first: int = 0) -> tuple[RiverState, list[LossAlarm], list[int]]:
    """Put away and taken up again between any two losses; the alarms, and where the detector started again."""
    alarms, restarts = list[LossAlarm](), list[int]()
    for position, loss in enumerate(losses, first):
        state, alarm = river_detector.update(stored_and_read(state), loss, position)
        alarms += [alarm] if alarm else []
        restarts += [position] if state.count == 0 else []
    return state, alarms, restarts


@pytest.mark.parametrize("detector", RIVERS)
@pytest.mark.parametrize("seed", [1, 2])
def test_put_away_after_every_loss_it_detects_what_rivers_own_detects(detector: Detector, seed: int) -> None:
    losses = [*rising(seed=seed), *rising(at=200, seed=seed + 10)]
    theirs, detected = RIVERS[detector](**complete(detector, GIVEN[detector])), list[int]()
    for position, loss in enumerate(losses):
        theirs.update(loss)
        detected += [position] if theirs.drift_detected else []
    assert detected
    assert fed(river_detector.start(detector, GIVEN[detector]), losses)[2] == detected


@pytest.mark.parametrize("detector", RIVERS)
def test_an_alarm_names_the_change_and_the_means_before_and_since(detector: Detector) -> None:
    losses = rising()
    _, alarms, _ = fed(river_detector.start(detector, GIVEN[detector], 1_000), losses, 1_000)
    alarm = alarms[0]
    assert 1_500 <= alarm.position < 1_560
    assert abs(alarm.change_position - 1_500) <= (30 if detector is Detector.KSWIN else 100)  # as far as noise puts it
    since = losses[alarm.change_position - 1_000 : alarm.position - 999]
    assert alarm.count_since_change == len(since)
    assert alarm.since_change_mean == pytest.approx(sum(since) / len(since))
    before = losses[alarm.first_position - 1_000 : alarm.change_position - 1_000]
    assert alarm.reference_mean_upper == pytest.approx(sum(before) / len(before))


@pytest.mark.parametrize("detector", [Detector.ADWIN, Detector.KSWIN])
def test_a_fall_is_no_alarm_but_the_detector_starts_again(detector: Detector) -> None:
    falling = rising(at=0, n=500) + [loss - 0.45 for loss in rising(at=0, n=300, seed=5)]
    _, alarms, restarts = fed(river_detector.start(detector, GIVEN[detector]), falling)
    assert restarts
    assert alarms == []


@pytest.mark.parametrize("detector", RIVERS)
def test_a_state_stays_small(detector: Detector) -> None:
    rng = random.Random(3)
    run = river_detector.RiverRun(river_detector.start(detector, {}))
    for position in range(3_000):
        run.take(rng.random() * 0.2, position)
    assert len(json.dumps(run.state().to_json())) < 7_000


@pytest.mark.parametrize("loss", [None, float("nan"), -0.1, 1.1])
def test_what_is_no_loss_moves_nothing_but_the_position(loss: float | None) -> None:
    state = fed(river_detector.start(Detector.ADWIN, {}), rising(50))[0]
    after, alarm = river_detector.update(state, loss, 77)
    assert (after.position, alarm) == (77, None)
    assert after.to_json() == {**state.to_json(), "position": 77}


def test_where_outcomes_lack_a_loss_the_change_is_placed_among_all_outcomes() -> None:
    state, found = river_detector.start(Detector.KSWIN, GIVEN[Detector.KSWIN]), list[LossAlarm]()
    for n, loss in enumerate(rising()):
        state, alarm = river_detector.update(state, loss, 3 * n)
        found += [alarm] if alarm else []
    assert abs(found[0].change_position - 1_500) <= 90


STORED_BY_RIVER_0_26 = {  # as stored at 40 losses 0, 1, 0, 1, ..: a release that keeps its state otherwise is noticed
    "page_hinkley": "[40.0, 0.5",
    "kswin": '{"n": 40, "window": [0.0, 1.0, 0.0, 1.0',
    "adwin": "/Knx0k1iYD8gAAAABQAAAAAAAAAAAAAAAAAUQAAAAAAAACRAAAAAAAAANEAAAAAAAAAkQAAAAAAAAERA",
}


@pytest.mark.parametrize("detector", RIVERS)
def test_a_stored_state_has_the_form_that_it_had(detector: Detector) -> None:
    state = fed(river_detector.start(detector, {}), [0.0, 1.0] * 20)[0]
    assert state.inner is not None
    assert state.inner.startswith(STORED_BY_RIVER_0_26[detector.value])


def test_outcomes_before_the_first_loss_do_not_move_the_change() -> None:
    state, found = river_detector.start(Detector.ADWIN, {}, 1_000), list[LossAlarm]()
    for position, loss in [*((n, None) for n in range(1_000, 1_300)), *enumerate(rising(), 1_300)]:
        state, alarm = river_detector.update(state, loss, position)
        found += [alarm] if alarm else []
    at_once = fed(river_detector.start(Detector.ADWIN, {}, 1_300), rising(), 1_300)[1]
    assert [alarm.change_position for alarm in found] == [alarm.change_position for alarm in at_once] != []


# --- in the watch of a version


def watch(**monitor: Any) -> tuple[loss_watch.WatchState, Monitor]:
    chosen = Monitor.written(monitor)
    reference = reference_loss.start(100, 1000.0, held_back_mean=0.15, held_back_upper=0.2)
    return loss_watch.detecting(loss_watch.start(reference, 0.0, 1000.0), chosen), chosen


def test_the_selected_detector_alarms_and_the_monitor_rests() -> None:
    state, _ = watch(detector="adwin")
    alarms = list[LossAlarm]()
    for loss in rising():
        state, alarm = loss_watch.update(loss_watch.WatchState.from_json(json.loads(json.dumps(state.to_json()))), loss)
        alarms += [alarm] if alarm else []
    assert [alarm.position for alarm in alarms] == [
        a.position for a in fed(river_detector.start(Detector.ADWIN, {}), rising())[1]
    ]
    assert state.monitor is not None
    assert state.monitor.count == 0
    assert loss_watch.watching(state) is reference_loss.ReferenceSource.IN_SERVICE


def test_another_detector_begins_with_the_next_outcome_and_the_same_one_goes_on() -> None:
    state, chosen = watch(detector="adwin")
    for loss in rising(150):
        state, _ = loss_watch.update(loss_watch.detecting(state, chosen), loss)
    assert state.river is not None
    assert state.river.count == 150
    other = loss_watch.detecting(state, Monitor.written({"detector": "adwin", "detector_parameters": {"delta": 0.1}}))
    assert other.river is not None
    assert (other.river.count, other.river.first_position) == (0, 150)
    assert other.reference == state.reference
    ours = loss_watch.detecting(state, Monitor.written({}))
    assert ours.river is None
    assert ours.monitor is not None
    assert ours.monitor.first_position == 150


def test_a_state_that_was_stored_before_there_were_other_detectors_is_read() -> None:
    state = watch()[0].to_json()
    del state["river"]
    assert loss_watch.WatchState.from_json(state) == watch()[0]


# --- in the judge


def test_the_judge_raises_the_alarm_of_the_selected_detector_and_names_it() -> None:
    stepping = Stepping("judge", live(detector="adwin", detector_parameters={"delta": 0.01}))
    (alarm,) = (one for one in only(c.DriftDetected, stepping.feed(*drifting())) if one.monitor != "saving")
    assert (alarm.detector, alarm.monitor, alarm.evidence) == ("adwin", "loss", 0.0)
    assert 200 < alarm.position < 260
    assert alarm.reference == pytest.approx(0.1, abs=0.05)
    assert [shift.feature for shift in alarm.shifts][:1] == ["amount"]
    kept = stepping.task.state("model").champion
    assert ChampionWatch.from_json(json.loads(json.dumps(kept.to_json()))) == kept


def test_the_e_detectors_alarm_names_no_detector() -> None:
    assert {a.detector for a in only(c.DriftDetected, Stepping("judge", live()).feed(*drifting()))} == {None}


def test_a_restart_at_any_batch_changes_nothing() -> None:
    entries = [*drifting(300, since=150)]
    whole = Stepping("judge", live(detector="page_hinkley", detector_parameters={"threshold": 5.0}))
    expected = only(c.DriftDetected, whole.feed(*entries))
    file, control = TaskFile("t", None), whole.control
    stepping, found = Stepping("judge", control, file), list[c.DriftDetected]()
    for record in stepping.records(entries):
        found += only(c.DriftDetected, stepping.take([record]))
        stepping.task = Task(stepping.spec, build(MonitoringSettings()).steps["judge"], file, control)
        stepping.task.unsent.clear()
    assert expected
    assert found == expected
    assert stepping.task.state("model").to_json() == whole.task.state("model").to_json()


@pytest.fixture
def no_river(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(river_missing, "installed", lambda: False)
    monkeypatch.setattr(river_adapters, "installed", lambda: False)


@pytest.mark.usefixtures("no_river")
def test_without_river_the_task_waits_and_says_what_to_install() -> None:
    stepping = Stepping("judge", live(detector="kswin"))
    records = stepping.records([matured(0), T + 10])
    assert stepping.task.process(records, 0.0) == 0
    assert stepping.task.held is not None
    assert "selects detector kswin" in stepping.task.held
    assert "pip install 'river==0.26.*'" in stepping.task.held
    assert stepping.task.position == 0


@pytest.mark.usefixtures("no_river")
def test_without_river_a_mark_under_such_a_definition_waits_too_and_fires_nothing() -> None:
    control = live()
    stepping = Stepping("judge", control)
    stepping.feed(matured(0))
    decide(control, monitor(detector="adwin"))
    assert stepping.task.process(stepping.records([T + 10]), 0.0) == 0
    assert stepping.task.held is not None
    assert "adwin" in stepping.task.held


@pytest.mark.usefixtures("no_river")
def test_without_river_the_default_detector_works() -> None:
    assert only(c.DriftDetected, Stepping("judge", live()).feed(*drifting()))


@pytest.mark.usefixtures("no_river")
def test_without_river_a_detector_is_refused_with_what_to_install() -> None:
    with pytest.raises(river_adapters.RiverMissing, match=r"adwin is river's.*pip install"):
        river_detector.update(river_detector.start(Detector.ADWIN, {}), 0.5, 0)
