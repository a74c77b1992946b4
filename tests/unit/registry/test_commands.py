from __future__ import annotations

from typing import Any

import pytest

from shared.contracts import control as c
from shared.contracts.control import Phase
from shared.contracts.envelope import Event
from tests import builders as b
from tests.unit.registry import story as s


def approve(version: int, **over: Any) -> c.ApproveVersion:
    return c.ApproveVersion.written({"model": b.MODEL, "version": version, "by": "ann", "request_id": "q", **over})


def promote(version: int, **over: Any) -> c.PromoteVersion:
    return c.PromoteVersion.written({"model": b.MODEL, "version": version, "by": "ann", "request_id": "q", **over})


def roll_back(**over: Any) -> c.RollBackModel:
    return c.RollBackModel.written({"model": b.MODEL, "by": "ann", "request_id": "q", **over})


def refusal(events: list[Event]) -> str:
    [refused] = events
    assert isinstance(refused, c.CommandRefused)
    assert refused.request_id == "q"
    return refused.reason


def test_a_person_lets_a_version_answer_that_did_not_pass() -> None:
    plane = s.with_champion()
    s.run(plane, 2, candidate_loss=0.9)
    assert plane.tell(promote(2)) == [b.approved(2, by="ann")]
    [promoted] = s.ready(plane, 2)
    assert isinstance(promoted, c.VersionPromoted)
    assert (promoted.version, promoted.former, promoted.by, promoted.rollout_id) == (2, 1, "ann", None)
    assert promoted.watch_until_ms is not None


def test_promoting_ends_the_rollout_in_progress() -> None:
    plane = s.in_shadow()
    followed = plane.tell(promote(2))
    assert s.kinds(followed) == ["RolloutEnded", "VersionApproved", "VersionPromoted"]


def test_whoever_asked_is_told_that_a_replica_cannot_load_it() -> None:
    plane = s.with_champion()
    s.run(plane, 2, candidate_loss=0.9)
    plane.tell(promote(2))
    refused, withdrawn = plane.tell(c.ReplicaFailed(replica="serving-0", model=b.MODEL, version=2, reason="no file"))
    assert "no file" in refusal([refused])
    assert isinstance(withdrawn, c.VersionWithdrawn)
    assert plane.platform.model(b.MODEL).to_load == (1,)


def test_rolling_back_ends_the_rollout_in_progress() -> None:
    plane = s.in_shadow()
    s.verdict(plane, 1)
    [ended] = plane.tell(roll_back())
    assert isinstance(ended, c.RolloutEnded)
    assert ended.phase is Phase.ROLLED_BACK


def test_rolling_back_returns_to_the_former_champion_at_once_while_it_is_on_watch() -> None:
    plane = s.in_shadow()
    s.verdict(plane, 3)
    [back] = plane.tell(roll_back())
    assert isinstance(back, c.ModelRolledBack)
    assert (back.version, back.former, back.by) == (1, 2, "ann")


def test_rolling_back_after_the_watch_loads_the_version_that_answered_before() -> None:
    plane = s.in_shadow()
    s.verdict(plane, 3)
    plane.tick(2 * b.model().rollout.watch, b.SOURCE)
    assert plane.tell(roll_back()) == [b.approved(1, by="ann")]
    assert "returns as soon as" in refusal(plane.tell(roll_back()))
    [back] = s.ready(plane, 1)
    assert isinstance(back, c.ModelRolledBack)
    assert "answered before version 1" in refusal(plane.tell(roll_back()))


def test_a_version_that_was_rolled_back_returns_by_a_new_approval() -> None:
    plane = s.in_shadow()
    s.verdict(plane, 3)
    plane.tell(roll_back())
    approved, started = plane.tell(approve(2))
    assert approved == b.approved(2, by="ann")
    assert isinstance(started, c.RolloutStarted)
    first = next(e for e in plane.events if isinstance(e, c.RolloutStarted))
    assert started.rollout_id != first.rollout_id


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (approve(9), "versions 1 to 3 are registered"),
        (approve(1), "answers already"),
        (approve(2), "in its rollout"),
        (approve(3), "did not pass the gate"),
        (promote(1), "answers already"),
        (promote(2, by="rollout"), "no person's name"),
        (promote(2, model="nobody"), "known are card_fraud"),
        (roll_back(model="nobody"), "known are card_fraud"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(command: Event, said: str) -> None:
    plane = s.in_shadow()
    s.run(plane, 3, candidate_loss=0.9)
    assert said in refusal(plane.tell(command))


def test_without_a_version_there_is_nothing_to_return_to() -> None:
    assert "no version answers yet" in refusal(s.platform().tell(roll_back()))


def test_a_version_compared_with_another_champion_is_not_approved() -> None:
    plane = s.in_shadow()
    s.run(plane, 3)
    s.verdict(plane, 3)
    assert "headrace retrain" in refusal(plane.tell(approve(3)))


def test_stopping_a_promotion_that_waits_for_replicas() -> None:
    plane = s.with_champion()
    s.run(plane, 2, candidate_loss=0.9)
    plane.tell(promote(2))
    refused, withdrawn = plane.tell(roll_back(by="bob", request_id="q2"))
    assert "stopped by bob" in refusal([refused])
    assert isinstance(withdrawn, c.VersionWithdrawn)
    assert s.ready(plane, 2) == []


def test_a_new_rollout_of_the_version_on_watch_takes_the_place_of_the_watch() -> None:
    plane = s.in_shadow()
    plane.tell(promote(2))
    plane.tell(promote(1))
    followed = plane.tell(approve(2))
    assert s.kinds(followed) == ["VersionApproved", "WatchEnded", "RolloutStarted", "RolloutAdvanced"]
