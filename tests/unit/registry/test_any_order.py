"""Random events in random order, landing late: the invariants hold of the log, registry and schedule together."""

from __future__ import annotations

import random

import pytest

from services.registry.decide import decide
from services.training.schedule import schedule
from shared.contracts import control as c
from shared.contracts.definitions import HOUR_MS
from shared.contracts.envelope import Event
from tests import builders as b
from tests.unit.control_plane import ControlPlane
from tests.unit.registry import story as s
from tests.unit.registry.invariants import violations

RETRAIN = (
    {"policy": "evidence", "cooldown": "10m"},
    {"policy": "evidence", "cooldown": "2h", "budget_per_day": 3},
    {"policy": "every", "rows": 100},
    {"policy": "never"},
)
PLANS = ({}, {"shadow": False}, {"approval": "manual"}, {"steps": [100]}, {"watch": "0s"}, {"deadline": "2h"})


class Chaos:
    """One seed's history: an event from outside, or one decided event that lands, at each step."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.plane = ControlPlane(decide(), schedule())
        self.position = 0
        self.ended: list[str] = []
        self.plane.tell(b.founded(), b.applied(*self.definitions()))
        self.plane.tell(b.tick(b.SOURCE), b.tick(), c.ReplicaSeen(replica="a"))

    def definitions(self) -> tuple[c.Published, ...]:
        rollout = {**self.random.choice(PLANS), "revise": self.random.choice(("report", "roll_back"))}
        model = b.model(retrain=self.random.choice(RETRAIN), rollout=rollout, training={"minimum_rows": 100})
        return b.source(), b.label_source(), b.view(), model

    def go(self, steps: int) -> ControlPlane:
        for _ in range(steps):
            waiting = [name for name, outbox in self.plane.outboxes.items() if outbox]
            if waiting and self.random.random() < 0.7:
                self.plane.land(self.random.choice(waiting))
            else:
                self.plane.put(self.event())
            self.check_deadline()
        self.plane.tell(b.tick())
        return self.plane

    def check_deadline(self) -> None:
        """17: the tick at which a deadline is reached ends the rollout."""
        decided = self.plane.states["decide"]
        rollout = decided.lines[b.MODEL].rollout if b.MODEL in decided.lines else None
        assert rollout is None or rollout.deadline_ms > self.plane.platform.now_ms(b.MODEL)

    def event(self) -> Event:
        makers = (
            self.tick, self.quality, self.quality, self.drift, self.end_of_run, self.end_of_run, self.verdict,
            self.verdict, self.revised, self.revised, self.replica, self.replica, self.replica, self.replica,
            self.command, self.definition,
        )  # fmt: skip
        return self.random.choice(makers)()

    def tick(self) -> Event:
        self.plane.now_ms += self.random.choice((0, 60_000, HOUR_MS))
        return self.random.choice((b.tick(), b.tick(b.SOURCE), b.tick(b.SOURCE)))

    def quality(self) -> Event:
        self.position += self.random.randrange(80)
        return b.quality(labelled=self.position, position=self.position, last_record_id=f"t{self.position}")

    def drift(self) -> Event:
        state = self.plane.platform.model(b.MODEL)
        figures = {"former": state.former or 1, "outcomes": self.random.choice((10, 80)), "mean_difference": 0.1}
        return b.drift(
            drift_id=f"d{self.random.randrange(12)}",
            version=self.random.choice((state.champion or 1, state.champion or 1, self.number())),
            position=self.position,
            watch=self.random.choice((None, figures)),
        )

    def end_of_run(self) -> Event:
        run = self.plane.platform.model(b.MODEL).run
        if run is not None and self.random.random() < 0.8:
            self.ended.append(run.run_id)
        run_id = self.random.choice(self.ended[-3:] or ["nobody's"])
        if self.random.random() < 0.15:
            return b.run_failed(run_id=run_id)
        number = len(self.ended)
        against = run.request.champion if run else None
        gate = b.gate(against=against, candidate_loss=self.random.choice((0.1, 0.1, 0.3)))
        artifact = b.reference(sha256=f"{number:064d}")
        return b.run_finished(run_id=run_id, gate=gate, artifact=artifact)

    def verdict(self) -> Event:
        state = self.plane.platform.model(b.MODEL)
        rollout, versions = state.rollout, state.versions
        if rollout is None or rollout.champion is None:
            return b.verdict(step=3)
        return b.verdict(
            verdict_id=f"v{len(self.plane.log)}",
            rollout_id=self.random.choice((rollout.rollout_id, rollout.rollout_id, "o9")),
            step=self.random.randint(rollout.step, 3),
            kind=self.random.choice(("better",) * 8 + ("worse", "undecided", "invalid")),
            champion=rollout.champion,
            candidate=rollout.candidate,
            champion_sha256=versions[rollout.champion].artifact.sha256,
            candidate_sha256=versions[rollout.candidate].artifact.sha256,
            mean_difference=self.random.choice((-0.1, -0.1, None)),
            outcomes=self.random.choice((200, 200, 0)),
        )

    def revised(self) -> Event:
        """Mostly of the rollout that the champion was promoted by."""
        promotions = [event for event in self.plane.events if isinstance(event, c.VersionPromoted) and event.rollout_id]
        promoted = self.random.choice((promotions[-1], *promotions)) if promotions else b.promoted(2, 1)
        return b.verdict_revised(
            revision_id=f"w{len(self.plane.log)}",
            rollout_id=promoted.rollout_id or "o9",
            champion=promoted.former or 1,
            candidate=promoted.version,
            after=self.random.choice(("better", "undecided", "worse", "invalid")),
        )

    def replica(self) -> Event:
        state, name = self.plane.platform.model(b.MODEL), self.random.choice("aab")
        version = self.random.choice((*state.to_load, self.number()))
        chance = self.random.random()
        if chance < 0.1:
            return c.ReplicaSeen(replica=name)
        if chance < 0.12:
            return c.ReplicaFailed(replica=name, model=b.MODEL, version=version, reason="no memory")
        sha256 = state.versions[version].artifact.sha256 if version in state.versions else b.SHA256
        return b.replica_ready(replica=name, version=version, artifact_sha256=sha256)

    def command(self) -> Event:
        asked = {
            "model": b.MODEL,
            "by": self.random.choice(("ann", "ann", "rollout")),
            "request_id": f"q{self.position}",
        }
        kind = self.random.choice(
            (c.ApproveVersion, c.ApproveVersion, c.PromoteVersion, c.RollBackModel, c.RetrainModel)
        )
        if kind is c.RetrainModel and self.random.random() < 0.7:
            return self.quality()
        named = {"version": self.number()} if kind in (c.ApproveVersion, c.PromoteVersion) else {}
        return kind.written({**asked, **named})

    def definition(self) -> Event:
        if self.random.random() < 0.8:
            return self.drift()
        based_on = self.random.choice((len(self.plane.log), 1))
        return c.ApplyDefinitions(request_id="q", based_on=based_on, definitions=self.definitions(), by="ann")

    def number(self) -> int:
        return self.random.randint(1, len(self.plane.platform.model(b.MODEL).versions) + 1)


def check_folds_agree(plane: ControlPlane) -> None:
    """What the registry has decided is, once it has landed, what everybody reads."""
    state, line = plane.platform.model(b.MODEL), s.line(plane)
    assert (state.champion, state.former, state.watch_until_ms) == (line.champion, line.former, line.watch_until_ms)
    assert set(state.versions) == set(line.versions)
    assert (state.rollout is None) == (line.rollout is None)
    if state.rollout is not None and line.rollout is not None:
        rollout = line.rollout
        assert (state.rollout.rollout_id, state.rollout.phase, state.rollout.step) == (
            rollout.rollout_id, rollout.phase, rollout.step,
        )  # fmt: skip
    going = line.going_live.version if line.going_live else None
    candidate = line.rollout.candidate if line.rollout else None
    assert set(state.pending) <= {going, candidate, line.waiting}
    assert set(state.to_load) == line.loaded


@pytest.mark.parametrize("first_seed", range(0, 60, 20))
def test_whatever_comes_in_whatever_order(first_seed: int) -> None:
    seen: set[str] = set()
    for seed in range(first_seed, first_seed + 20):
        plane = Chaos(seed).go(400)
        assert violations(plane) == [], f"seed {seed}"
        check_folds_agree(plane)
        seen |= set(s.kinds(plane.events))
    assert {"VersionPromoted", "RolloutEnded", "ModelRolledBack", "VersionWithdrawn", "CommandRefused"} <= seen


@pytest.mark.proof
def test_whatever_comes_in_whatever_order_at_length() -> None:
    returned: set[str] = set()
    for seed in range(1_000, 1_600):
        plane = Chaos(seed).go(400)
        assert violations(plane) == [], f"seed {seed}"
        check_folds_agree(plane)
        returned |= {event.by for event in plane.events if isinstance(event, c.ModelRolledBack)}
    assert returned == {"watch", "revision", "ann"}


FIRST = (b.registered(1), b.approved(1), b.promoted(1))
SECOND = (b.registered(2), b.approved(2), b.rollout_started())
REQUESTED = b.run_requested(drift_id="d1")


@pytest.mark.parametrize(
    ("number", "events"),
    [
        ("1:", (*FIRST, b.registered(2), b.approved(2), b.promoted(2, 3, by="ann"))),
        ("2: not registered", (b.promoted(1),)),
        ("2: not approved", (b.registered(1), b.promoted(1))),
        ("2: not gated", (b.registered(1, gate_passed=False), b.approved(1), b.promoted(1))),
        ("11:", (REQUESTED, b.run_failed(), b.run_requested(run_id="r2", drift_id="d1"))),
        ("12:", (REQUESTED, b.run_requested(run_id="r2"))),
        ("13:", (b.registered(1), b.registered(2, run_id="r1"))),
        ("16:", (*FIRST, *SECOND, b.promoted(2, 1, rollout_id="o2"))),
        ("16:", (*FIRST, *SECOND, b.verdict(outcomes=0), b.promoted(2, 1, rollout_id="o2", verdict_id="v1"))),
        ("18:", (*FIRST, *SECOND, b.rollout_ended(phase="rejected"), b.promoted(2, 1))),
    ],
)
def test_each_check_fails_on_a_damaged_history(number: str, events: tuple[Event, ...]) -> None:
    plane = ControlPlane()
    plane.tell(b.founded(), b.applied(), *events)
    assert any(text.startswith(number) for text in violations(plane))
