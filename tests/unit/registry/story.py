"""The registry's log up to a first version that answers, and on to a second one in its rollout."""

from __future__ import annotations

from typing import Any

from services.registry.decide import Decided, decide
from services.registry.line import Line
from shared.contracts import control as c
from shared.contracts.definitions import Model
from shared.contracts.envelope import Event
from tests import builders as b
from tests.unit.control_plane import ControlPlane

SECOND_SHA256 = "1" * 64
HOUR_MS = 3_600_000


def platform(**over: Any) -> ControlPlane:
    """Founded, with the default definitions, a tick of each clock, and one replica."""
    plane = ControlPlane(decide())
    plane.tell(b.founded(), b.applied(b.source(), b.label_source(), b.view(), b.model(**over)))
    plane.tell(b.tick(b.SOURCE), b.tick(), c.ReplicaSeen(replica="serving-0"))
    return plane


def define(plane: ControlPlane, model: Model) -> None:
    plane.tell(b.applied(model, request_id="again"))


def run(plane: ControlPlane, version: int, **gate: Any) -> list[Event]:
    """A run that ends with this version's artifact."""
    run_id, against = f"r{version}", plane.platform.model(b.MODEL).champion
    figures = b.gate(**{"against": against, **gate})
    artifact = b.reference(uri=f"models/{version}", sha256=sha256(version))
    return plane.tell(
        b.run_requested(run_id=run_id, champion=against),
        b.run_finished(run_id=run_id, gate=figures, artifact=artifact),
    )


def sha256(version: int) -> str:
    return str(version - 1) * 64


def ready(plane: ControlPlane, version: int, replica: str = "serving-0") -> list[Event]:
    return plane.tell(b.replica_ready(replica=replica, version=version, artifact_sha256=sha256(version)))


def with_champion(**over: Any) -> ControlPlane:
    plane = platform(**over)
    run(plane, 1)
    ready(plane, 1)
    return plane


def in_shadow(**over: Any) -> ControlPlane:
    """Version 2 in shadow beside champion 1."""
    plane = with_champion(**over)
    run(plane, 2)
    ready(plane, 2)
    return plane


def line(plane: ControlPlane) -> Line:
    decided = plane.states["decide"]
    assert isinstance(decided, Decided)
    return decided.lines[b.MODEL]


def verdict(plane: ControlPlane, step: int, kind: str = "better", **over: Any) -> list[Event]:
    """A verdict on the rollout in progress."""
    rollout = line(plane).rollout
    assert rollout is not None
    named = {
        "rollout_id": rollout.rollout_id,
        "champion": rollout.champion,
        "candidate": rollout.candidate,
        "champion_sha256": sha256(rollout.champion),
        "candidate_sha256": sha256(rollout.candidate),
    }
    return plane.tell(b.verdict(**{**named, "step": step, "kind": c.VerdictKind(kind), **over}))


def kinds(events: list[Event]) -> list[str]:
    return [type(event).__name__ for event in events]
