"""What the registry has decided of one model, at once: its own events need not come back first to count."""

from __future__ import annotations

from pydantic import Field

from shared.contracts import control as c
from shared.contracts.contract import Contract
from shared.contracts.envelope import Event

REMEMBERED = 50  # how many changes of champion can be rolled back one after the other


class VersionLine(Contract):
    """`passed`: the gate. `tried`: rollouts so far."""

    run_id: str
    sha256: str
    against: int | None
    passed: bool
    reason: str
    approved: bool = False
    tried: int = 0


class Rollout(Contract):
    """The rollout in progress. `requests` and `errors` of the candidate since the guardrails last judged."""

    rollout_id: str
    candidate: int
    champion: int
    phase: c.Phase = c.Phase.PREPARING
    step: int = 0
    deadline_ms: int
    requests: int = 0
    errors: int = 0


class GoingLive(Contract):
    """A version that answers as soon as replicas are ready. `back`: it was champion before, and returns; `reason` and
    `revision_id`: why, where a revised verdict leads to it."""

    version: int
    by: str
    request_id: str | None = None
    back: bool = False
    reason: str | None = None
    revision_id: str | None = None


class Line(Contract):
    """`lived`: the champions in order, the present one last. `ready`: replicas that have loaded a version.

    `promoted_in`: the rollout that the champion was promoted by, if it was by one.
    """

    versions: dict[int, VersionLine] = Field(default_factory=dict[int, VersionLine])
    champion: int | None = None
    lived: tuple[int, ...] = ()
    former: int | None = None
    watch_until_ms: int | None = None
    rollout: Rollout | None = None
    going_live: GoingLive | None = None
    waiting: int | None = None
    ready: dict[int, tuple[str, ...]] = Field(default_factory=dict[int, tuple[str, ...]])
    promoted_in: str | None = None

    @property
    def loaded(self) -> frozenset[int]:
        """The versions that replicas keep ready, by what is decided."""
        waiting = self.waiting if self.waiting is not None and self.versions[self.waiting].approved else None
        candidate = self.rollout.candidate if self.rollout else None
        going = self.going_live.version if self.going_live else None
        return frozenset(v for v in (self.champion, self.former, candidate, going, waiting) if v is not None)

    def changed(self, **changes: object) -> Line:
        return self.model_copy(update=changes)

    def _with_version(self, number: int, **changes: object) -> Line:
        known = self.versions[number].model_copy(update=changes)
        return self.changed(versions={**self.versions, number: known})

    def after(self, event: Event) -> Line:
        """The line once `event`, an event of the registry's own, is decided."""
        match event:
            case c.VersionRegistered() as v:
                version = VersionLine(
                    run_id=v.run_id,
                    sha256=v.artifact.sha256,
                    against=v.gate.against,
                    passed=v.gate_passed,
                    reason=v.reason,
                )
                return self.changed(versions={**self.versions, v.version: version})
            case c.VersionApproved(version=number):
                return self._with_version(number, approved=True)
            case c.VersionWithdrawn(version=number):
                return self._without(number)._not_back_to(number)
            case c.VersionPromoted() as v:
                former = v.former if v.watch_until_ms is not None else None
                lived = (*self.lived, v.version)[-REMEMBERED:]
                return self.changed(
                    champion=v.version, lived=lived, former=former, watch_until_ms=v.watch_until_ms,
                    promoted_in=v.rollout_id,
                )._without(v.version)  # fmt: skip
            case c.ModelRolledBack() as r:
                back = self._without(r.version)
                return back.changed(
                    champion=r.version, lived=self.lived[:-1], former=None, watch_until_ms=None, promoted_in=None
                )
            case c.WatchEnded():
                return self.changed(former=None, watch_until_ms=None)
            case _:
                return self._after_rollout(event)

    def _after_rollout(self, event: Event) -> Line:
        match event:
            case c.RolloutStarted() as r if r.champion is not None:
                rollout = Rollout(
                    rollout_id=r.rollout_id, candidate=r.candidate, champion=r.champion, deadline_ms=r.deadline_ms
                )
                tried = self.versions[r.candidate].tried + 1
                return self._with_version(r.candidate, tried=tried)._without(r.candidate).changed(rollout=rollout)
            case c.RolloutAdvanced() as r if self.rollout:
                return self.changed(rollout=self.rollout.model_copy(update={"phase": r.phase, "step": r.step}))
            case c.RolloutEnded(candidate=number):
                return self.changed(rollout=None)._not_back_to(number)
            case _:
                return self

    def _without(self, number: int) -> Line:
        """Nothing waits for this version any more."""
        going = None if self.going_live and self.going_live.version == number else self.going_live
        return self.changed(going_live=going, waiting=None if self.waiting == number else self.waiting)

    def _not_back_to(self, number: int) -> Line:
        """A former champion that was found wanting since: what led away from it is no longer taken back."""
        return self.changed(promoted_in=None) if self.lived[-2:-1] == (number,) else self

    def forgetting_unloaded(self) -> Line:
        """Replicas drop what is not to be kept ready, and report it anew when it is asked for again."""
        kept = {number: replicas for number, replicas in self.ready.items() if number in self.loaded}
        return self if kept == self.ready else self.changed(ready=kept)
