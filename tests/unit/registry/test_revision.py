"""What a verdict that later labels turn leads to, by definition."""

from __future__ import annotations

from typing import Any

import pytest

from shared.contracts import control as c
from shared.contracts.definitions import DAY_MS
from shared.contracts.envelope import Event
from tests import builders as b
from tests.unit.control_plane import ControlPlane
from tests.unit.registry import story as s
from tests.unit.registry.invariants import violations


def promoted(**over: Any) -> ControlPlane:
    """Version 2 answers, promoted by its rollout in place of version 1, which is on watch."""
    plane = s.in_shadow(rollout={"revise": "roll_back", **over})
    s.verdict(plane, 3)
    assert s.line(plane).champion == 2
    return plane


def turned(plane: ControlPlane, **over: Any) -> list[Event]:
    return plane.tell(b.verdict_revised(**{"rollout_id": rollout_id(plane), **over}))


def rollout_id(plane: ControlPlane) -> str:
    """Of version 2."""
    started = [event for event in plane.events if isinstance(event, c.RolloutStarted)]
    return next(event.rollout_id for event in started if event.candidate == 2)


@pytest.mark.parametrize("after", [c.VerdictKind.UNDECIDED, c.VerdictKind.WORSE])
def test_a_promotion_that_is_taken_back_gives_way_at_once_while_the_former_is_on_watch(after: c.VerdictKind) -> None:
    plane = promoted()
    [back] = turned(plane, after=after)
    assert isinstance(back, c.ModelRolledBack)
    assert (back.version, back.former, back.by, back.revision_id) == (1, 2, "revision", "w1")
    assert f"{after} by 12 corrected outcomes, mean loss difference +0.01 over 200 outcomes" in back.reason
    assert violations(plane) == []


def test_after_the_watch_it_gives_way_once_the_former_is_loaded() -> None:
    plane = promoted(watch="0s")
    assert s.kinds(turned(plane)) == ["VersionApproved"]
    assert s.line(plane).champion == 2
    [back] = s.ready(plane, 1)
    assert isinstance(back, c.ModelRolledBack)
    assert (back.version, back.former, back.by, back.revision_id) == (1, 2, "revision", "w1")
    assert "later labels" in back.reason
    assert violations(plane) == []


def test_a_watch_that_has_ended_is_as_one_that_never_was() -> None:
    plane = promoted(watch="1h")
    plane.tick(DAY_MS, b.SOURCE)
    assert s.line(plane).former is None
    assert s.kinds(turned(plane)) == ["VersionApproved"]
    assert s.kinds(s.ready(plane, 1)) == ["ModelRolledBack"]


def test_it_is_said_twice_and_done_once() -> None:
    plane = promoted(watch="0s")
    turned(plane)
    assert turned(plane, revision_id="w2", after=c.VerdictKind.WORSE) == []
    s.ready(plane, 1)
    assert turned(plane, revision_id="w3") == []


def test_by_default_it_is_reported_and_nothing_is_done() -> None:
    plane = s.in_shadow()
    s.verdict(plane, 3)
    assert turned(plane) == []
    assert s.line(plane).champion == 2


@pytest.mark.parametrize(
    "over",
    [
        {"after": c.VerdictKind.BETTER, "before": c.VerdictKind.UNDECIDED},
        {"after": c.VerdictKind.INVALID},
        {"rollout_id": "another"},
        {"candidate": 3},
        {"champion": 3},
    ],
)
def test_what_does_not_take_this_promotion_back_changes_nothing(over: dict[str, Any]) -> None:
    assert turned(promoted(), **over) == []


def test_a_rejected_candidate_that_was_better_is_for_a_person() -> None:
    plane = s.in_shadow(rollout={"revise": "roll_back"})
    s.verdict(plane, 1, "worse")
    assert turned(plane, before=c.VerdictKind.WORSE, after=c.VerdictKind.BETTER) == []
    assert s.line(plane).champion == 1


def test_a_person_s_promotion_is_not_taken_back() -> None:
    plane = promoted()
    plane.tell(c.RollBackModel(model=b.MODEL, by="ann", request_id="q1"))
    plane.tell(c.PromoteVersion(model=b.MODEL, version=2, by="ann", request_id="q2"))
    s.ready(plane, 2)
    assert s.line(plane).champion == 2
    assert turned(plane) == []


def test_a_version_that_a_person_lets_answer_comes_first() -> None:
    plane = promoted(watch="0s")
    s.run(plane, 3, candidate_loss=0.3)
    plane.tell(c.PromoteVersion(model=b.MODEL, version=3, by="ann", request_id="q1"))
    assert turned(plane) == []
    s.ready(plane, 3)
    assert s.line(plane).champion == 3


def test_a_rollout_beside_the_version_that_gives_way_ends() -> None:
    plane = promoted(watch="0s")
    s.run(plane, 3)
    s.ready(plane, 3)
    assert s.kinds(turned(plane)) == ["RolloutEnded", "VersionApproved"]
    assert s.kinds(s.ready(plane, 1)) == ["ModelRolledBack"]
    assert violations(plane) == []


def test_a_former_champion_that_no_replica_can_load_is_not_tried_twice() -> None:
    plane = promoted(watch="0s")
    turned(plane)
    failed = c.ReplicaFailed(replica="serving-0", model=b.MODEL, version=1, reason="it is gone")
    assert s.kinds(plane.tell(failed)) == ["VersionWithdrawn"]
    assert turned(plane, revision_id="w2") == []
    assert s.line(plane).champion == 2
    assert violations(plane) == []
