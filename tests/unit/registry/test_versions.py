from __future__ import annotations

import math
from typing import Any

import pytest

from services.registry.gate import judge
from shared.contracts import control as c
from shared.contracts.control import Follows
from shared.contracts.definitions import Policy
from shared.contracts.envelope import Event
from tests import builders as b
from tests.unit.registry import story as s

EVERY: dict[str, Any] = {"retrain": {"policy": "every", "rows": 500}}
MANUAL: dict[str, Any] = {"rollout": {"approval": "manual"}}


def test_the_first_version_goes_live_once_replicas_are_ready() -> None:
    plane = s.platform()
    registered, approved = s.run(plane, 1)
    assert isinstance(registered, c.VersionRegistered)
    assert (registered.version, registered.gate_passed, registered.follows) == (1, True, Follows.PROMOTION)
    assert approved == b.approved(1)
    assert s.ready(plane, 1) == [b.promoted(1)]


@pytest.mark.parametrize(
    "gate",
    [{"candidate_loss": 0.2}, {"candidate_loss": 0.3}, {"rows": 29}, {"against": 7}],
    ids=["equal", "worse", "too few rows", "another champion"],
)
@pytest.mark.parametrize("policy", [{}, EVERY], ids=["evidence", "every"])
def test_a_first_version_that_does_not_beat_the_constant_predictor_is_recorded_only(
    gate: dict[str, Any], policy: dict[str, Any]
) -> None:
    plane = s.platform(**policy)
    [registered] = s.run(plane, 1, **gate)
    assert isinstance(registered, c.VersionRegistered)
    assert (registered.gate_passed, registered.follows) == (False, Follows.NOTHING)
    assert s.ready(plane, 1) == []


@pytest.mark.parametrize("figure", ["candidate_loss", "reference_loss", "mean_difference"])
@pytest.mark.parametrize("value", [math.nan, -math.inf, math.inf])
def test_figures_that_are_not_finite_never_pass(figure: str, value: float) -> None:
    figures = b.gate().model_copy(update={figure: value})
    assert not judge(figures, None, Policy.EVIDENCE).passed


def test_a_second_version_is_approved_and_starts_its_rollout() -> None:
    plane = s.with_champion()
    registered, approved, started = s.run(plane, 2)
    assert isinstance(registered, c.VersionRegistered)
    assert (registered.version, registered.follows) == (2, Follows.ROLLOUT)
    assert approved == b.approved(2, by="auto")
    assert isinstance(started, c.RolloutStarted)
    assert (started.candidate, started.champion) == (2, 1)
    assert started.deadline_ms == plane.platform.now_ms(b.MODEL) + b.model().rollout.deadline


def test_with_manual_approval_it_waits_for_a_person() -> None:
    plane = s.with_champion(**MANUAL)
    [registered] = s.run(plane, 2)
    assert isinstance(registered, c.VersionRegistered)
    assert registered.follows is Follows.APPROVAL
    approved, started = plane.tell(c.ApproveVersion(model=b.MODEL, version=2, by="ann", request_id="q"))
    assert approved == b.approved(2, by="ann")
    assert isinstance(started, c.RolloutStarted)


def test_by_policy_every_a_version_that_is_worse_goes_live_labelled_so_and_without_a_watch() -> None:
    plane = s.with_champion(**EVERY)
    registered, approved = s.run(plane, 2, candidate_loss=0.4, mean_difference=0.2)
    assert isinstance(registered, c.VersionRegistered)
    assert registered.gate_passed
    assert "policy every" in registered.reason
    assert "not better" in registered.reason
    assert approved == b.approved(2, by="every")
    assert s.ready(plane, 2) == [b.promoted(2, 1, by="every")]


def test_one_run_makes_one_version() -> None:
    plane = s.with_champion()
    s.run(plane, 2)
    again = b.run_finished(run_id="r2", gate=b.gate(against=1), artifact=b.reference(sha256=s.sha256(2)))
    assert plane.tell(again) == []
    assert plane.tell(b.run_finished(run_id="r1")) == []


def test_a_run_that_was_given_up_makes_no_version() -> None:
    plane = s.platform()
    assert plane.tell(b.run_requested(), b.run_failed(), b.run_finished()) == []


def test_a_version_waits_for_the_rollout_before_it() -> None:
    plane = s.in_shadow()
    [third] = s.run(plane, 3)
    assert s.kinds([third]) == ["VersionRegistered"]
    followed = s.verdict(plane, 0, "worse")
    assert s.kinds(followed) == ["RolloutEnded", "VersionApproved", "RolloutStarted"]
    assert s.line(plane).rollout is not None


def test_a_version_is_superseded_by_a_new_champion() -> None:
    plane = s.in_shadow()
    s.run(plane, 3)
    followed = s.verdict(plane, 3)
    assert s.kinds(followed) == ["VersionPromoted", "RolloutEnded", "VersionWithdrawn"]
    assert plane.platform.model(b.MODEL).pending == ()


def test_of_two_versions_that_wait_the_newer_one_stays() -> None:
    plane = s.in_shadow()
    s.run(plane, 3)
    assert s.kinds(s.run(plane, 4)) == ["VersionRegistered", "VersionWithdrawn"]
    assert s.line(plane).waiting == 4


def test_a_version_that_no_replica_can_load_goes_no_further() -> None:
    plane = s.platform()
    s.run(plane, 1)
    [withdrawn] = plane.tell(c.ReplicaFailed(replica="serving-0", model=b.MODEL, version=1, reason="sha256 differs"))
    assert isinstance(withdrawn, c.VersionWithdrawn)
    assert "sha256 differs" in withdrawn.reason
    assert s.ready(plane, 1) == []


def test_a_version_waits_for_every_replica_that_was_heard_lately() -> None:
    plane = s.platform()
    plane.tell(c.ReplicaSeen(replica="serving-1"))
    s.run(plane, 1)
    assert s.ready(plane, 1) == []
    followed: list[list[Event]] = []
    for _ in range(3):
        plane.now_ms += 10_000
        assert plane.tell(c.ReplicaSeen(replica="serving-0")) == []
        followed.append(plane.tell(b.tick()))
    assert followed == [[], [], [b.promoted(1)]]


def test_an_artifact_that_differs_is_not_ready() -> None:
    plane = s.platform()
    s.run(plane, 1)
    assert plane.tell(b.replica_ready(artifact_sha256="f" * 64)) == []


def test_what_monitors_compare_with_goes_from_the_run_to_the_version() -> None:
    plane, said = s.platform(), {"base": 0.1, "cap": 0.2, "columns": [], "trees": []}
    told = plane.tell(b.run_requested(), b.run_finished(expected_loss=said, reference={"rows": 100}))
    [registered] = [event for event in told if isinstance(event, c.VersionRegistered)]
    assert (registered.expected_loss, registered.reference) == (said, {"rows": 100})
