from __future__ import annotations

import math
from typing import Any

import pytest

from services.registry.line import Rollout
from services.registry.rollout import transition
from shared.contracts import control as c
from shared.contracts.control import Phase
from shared.contracts.definitions import Rollout as Plan
from tests import builders as b
from tests.unit.registry import story as s

SEEN = {"requests": 120, "errors": 0, "latency_p50_ms": 5.0, "latency_p99_ms": 20.0}
GUARDED: dict[str, Any] = {"rollout": {"guardrails": {"error_rate": 0.01, "latency_p99": "50ms"}}}


def shares(events: list[Any]) -> list[float]:
    return [event.share for event in events if isinstance(event, c.RolloutAdvanced)]


def test_from_shadow_through_its_steps_to_promotion() -> None:
    plane = s.with_champion()
    s.run(plane, 2)
    [shadow] = s.ready(plane, 2)
    assert (shadow.phase, shadow.share) == (Phase.SHADOW, 0.0)  # pyright: ignore[reportAttributeAccessIssue]
    assert shares(s.verdict(plane, 1)) == [0.05]
    assert shares(s.verdict(plane, 2)) == [0.25]
    promoted, ended = s.verdict(plane, 3, verdict_id="last")
    assert isinstance(promoted, c.VersionPromoted)
    assert (promoted.version, promoted.former, promoted.by, promoted.verdict_id) == (2, 1, "rollout", "last")
    assert promoted.watch_until_ms == plane.now_ms + b.model().rollout.watch
    assert isinstance(ended, c.RolloutEnded)
    assert ended.phase is Phase.PROMOTED


def test_without_a_shadow_the_first_step_begins_at_once() -> None:
    plane = s.with_champion(rollout={"shadow": False})
    s.run(plane, 2)
    assert shares(s.ready(plane, 2)) == [0.05]
    assert s.verdict(plane, 1) == []
    assert shares(s.verdict(plane, 2)) == [0.25]


def test_a_rollout_of_one_step_is_never_promoted_on_readiness_alone() -> None:
    plane = s.with_champion(rollout={"shadow": False, "steps": [100]})
    s.run(plane, 2)
    assert shares(s.ready(plane, 2)) == [0.0]
    assert s.kinds(s.verdict(plane, 1)) == ["VersionPromoted", "RolloutEnded"]


@pytest.mark.parametrize(("steps", "phase"), [((), Phase.REJECTED), ((1,), Phase.ROLLED_BACK)])
def test_a_worse_candidate_is_stopped(steps: tuple[int, ...], phase: Phase) -> None:
    plane = s.in_shadow()
    for step in steps:
        s.verdict(plane, step)
    [ended] = s.verdict(plane, 0, "worse", mean_difference=0.1)
    assert isinstance(ended, c.RolloutEnded)
    assert ended.phase is phase
    assert "+0.1" in ended.reason
    assert plane.platform.model(b.MODEL).champion == 1
    assert s.ready(plane, 2) == []


@pytest.mark.parametrize("kind", ["undecided", "invalid"])
def test_what_is_undecided_changes_nothing(kind: str) -> None:
    assert s.verdict(s.in_shadow(), 3, kind) == []


@pytest.mark.parametrize(
    "over",
    [
        {"mean_difference": None},
        {"outcomes": 0},
        {"outcomes": 7},
        {"e_value": 99.9},
        {"rollout_id": "another"},
        {"champion": 7},
        {"champion_sha256": "f" * 64},
        {"candidate_sha256": "f" * 64},
    ],
    ids=lambda over: "-".join(f"{name}={value}" for name, value in over.items()),
)
def test_a_verdict_without_enough_figures_or_on_something_else_never_promotes(over: dict[str, Any]) -> None:
    assert s.verdict(s.in_shadow(), 3, **over) == []


def test_each_step_needs_its_share_of_the_evidence() -> None:
    """Alpha 0.01 in three steps: 4.64, 21.5 and 100."""
    plane = s.in_shadow()
    assert s.verdict(plane, 1, e_value=4.6) == []
    assert shares(s.verdict(plane, 1, e_value=4.65, outcomes=3)) == [0.05]
    assert s.verdict(plane, 2, e_value=21.5) == []
    assert shares(s.verdict(plane, 2, e_value=21.6)) == [0.25]


def test_stale_figures_never_promote_and_stop_all_the_same() -> None:
    plane = s.in_shadow()
    newest_ms = plane.now_ms - b.model().label.expires_after - b.source().time.allowed_lateness
    assert s.verdict(plane, 1, last_time_ms=newest_ms - 1) == []
    assert shares(s.verdict(plane, 1, last_time_ms=newest_ms)) == [0.05]
    assert s.kinds(s.verdict(plane, 0, "worse", last_time_ms=newest_ms - 1)) == ["RolloutEnded"]


@pytest.mark.parametrize("figure", ["mean_difference", "e_value"])
def test_a_verdict_whose_figures_are_not_finite_never_promotes(figure: str) -> None:
    rollout = Rollout(rollout_id="o2", candidate=2, champion=1, phase=Phase.SHADOW, deadline_ms=0)
    verdict = b.verdict(step=3).model_copy(update={figure: math.nan})
    assert transition(rollout, Plan(), verdict) is None


def test_a_verdict_on_a_step_that_is_past_changes_nothing() -> None:
    plane = s.in_shadow()
    s.verdict(plane, 2)
    assert s.verdict(plane, 1) == []
    assert s.verdict(plane, 2) == []


def test_while_replicas_load_it_no_verdict_counts() -> None:
    plane = s.with_champion()
    s.run(plane, 2)
    assert s.verdict(plane, 3) == []


def test_it_expires_on_a_tick_of_the_models_clock() -> None:
    plane = s.in_shadow(rollout={"deadline": "1h"})
    plane.now_ms += s.HOUR_MS
    assert plane.tick() == []
    assert plane.tick(-1, b.SOURCE) == []
    [ended] = plane.tick(1, b.SOURCE)
    assert isinstance(ended, c.RolloutEnded)
    assert ended.phase is Phase.EXPIRED


def test_a_replica_that_cannot_load_it_ends_it() -> None:
    plane = s.with_champion()
    s.run(plane, 2)
    [ended] = plane.tell(c.ReplicaFailed(replica="serving-0", model=b.MODEL, version=2, reason="out of memory"))
    assert isinstance(ended, c.RolloutEnded)
    assert (ended.phase, "out of memory" in ended.reason) == (Phase.REJECTED, True)


def on_wall_clock(**rollout: Any) -> Any:
    plane = s.ControlPlane(s.decide())
    wall = {"field": "at", "clock": "wall"}
    model = b.model(**rollout)
    plane.tell(b.founded(), b.applied(b.source(time=wall), b.label_source(time=wall), b.view(), model), b.tick())
    plane.tell(c.ReplicaSeen(replica="serving-0"))
    for version in (1, 2):
        s.run(plane, version)
        s.ready(plane, version)
    s.verdict(plane, 1)
    return plane


@pytest.mark.parametrize(
    ("figures", "said"),
    [({"errors": 2}, "1.67% of 120 requests failed"), ({"latency_p99_ms": 80.0}, "80 ms")],
    ids=["errors", "latency"],
)
def test_a_guardrail_rolls_it_back(figures: dict[str, Any], said: str) -> None:
    plane = on_wall_clock(**GUARDED)
    seen = c.ReplicaSeen.written({"replica": "serving-0", "figures": {f"{b.MODEL}/2": {**SEEN, **figures}}})
    [ended] = plane.tell(seen)
    assert isinstance(ended, c.RolloutEnded)
    assert ended.phase is Phase.ROLLED_BACK
    assert said in ended.reason


def test_errors_count_over_several_signs_of_life() -> None:
    plane = on_wall_clock(**GUARDED)
    seen = {**SEEN, "requests": 50, "errors": 1}
    event = c.ReplicaSeen.written({"replica": "serving-0", "figures": {f"{b.MODEL}/2": seen}})
    assert plane.tell(event) == []
    assert s.kinds(plane.tell(event)) == ["RolloutEnded"]


def test_guardrails_have_no_part_where_the_clock_is_that_of_events() -> None:
    plane = s.in_shadow(**GUARDED)
    s.verdict(plane, 1)
    figures = {f"{b.MODEL}/2": {**SEEN, "errors": 120}}
    assert plane.tell(c.ReplicaSeen.written({"replica": "serving-0", "figures": figures})) == []


def promoted_by_rollout() -> s.ControlPlane:
    plane = s.in_shadow()
    s.verdict(plane, 3)
    return plane


def watch(difference: float = 0.1, outcomes: int = 60, former: int = 1) -> c.DriftDetected:
    figures = {"former": former, "outcomes": outcomes, "mean_difference": difference}
    return b.drift(version=2, watch=figures)


def test_on_watch_the_former_champion_takes_over_again_on_an_alarm() -> None:
    plane = promoted_by_rollout()
    [back] = plane.tell(watch())
    assert isinstance(back, c.ModelRolledBack)
    assert (back.version, back.former, back.by, back.drift_id) == (1, 2, "watch", "d1")


@pytest.mark.parametrize(
    "drift", [watch(-0.1), watch(0.0), watch(outcomes=49), watch(former=7), b.drift(version=2), b.drift(version=1)]
)
def test_an_alarm_that_does_not_speak_for_the_former_champion_changes_nothing(drift: c.DriftDetected) -> None:
    assert promoted_by_rollout().tell(drift) == []


def test_the_watch_ends_on_a_tick_behind_it() -> None:
    plane = promoted_by_rollout()
    assert plane.tick(b.model().rollout.watch, b.SOURCE) == []
    assert plane.tick(1, b.SOURCE) == [c.WatchEnded(model=b.MODEL, version=1)]
    assert plane.tell(watch()) == []


def test_a_rollout_beside_a_champion_that_leaves_ends() -> None:
    plane = promoted_by_rollout()
    s.run(plane, 3)
    s.ready(plane, 3)
    assert s.kinds(plane.tell(watch())) == ["RolloutEnded", "ModelRolledBack"]
