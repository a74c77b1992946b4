"""How a version comes to answer without a rollout: the first one, by policy `every`, by a person, or by returning."""

from __future__ import annotations

from services.registry.case import Case
from services.registry.line import GoingLive
from services.registry.rollout import Move, Stopped, transition
from shared.contracts import control as c
from shared.contracts.control import Phase

FIRST, EVERY, ROLLOUT, WATCH, AUTO, REVISION = "first", "every", "rollout", "watch", "auto", "revision"
LABELS = frozenset({FIRST, EVERY, ROLLOUT, WATCH, AUTO, REVISION})  # what stands where a person's name may stand


def goes_live(case: Case, going: GoingLive) -> None:
    """Let an approved version answer as soon as replicas are ready, in place of whatever was to."""
    before = case.line.going_live
    if before is not None and before.version != going.version:
        withdraw(case, before.version, f"version {going.version} came before it")
    case.change(going_live=going)


def answer(case: Case, going: GoingLive) -> None:
    """Replicas are ready: the version answers from here on."""
    champion = case.line.champion
    if going.back and champion is not None:
        case.say(
            c.ModelRolledBack(
                model=case.model,
                version=going.version,
                former=champion,
                reason=going.reason or f"{going.by} returned to version {going.version}",
                by=going.by,
                revision_id=going.revision_id,
            )
        )
        return
    watched = champion is not None and going.by not in (FIRST, EVERY)
    case.say(
        c.VersionPromoted(
            model=case.model,
            version=going.version,
            former=champion,
            by=going.by,
            watch_until_ms=_watch_until_ms(case) if watched else None,
        )
    )


def withdraw(case: Case, version: int, reason: str) -> None:
    """A version that was on its way goes no further; whoever asked for it is told."""
    going = case.line.going_live
    if going is not None and going.version == version and going.request_id is not None:
        refuse(case, going.request_id, f"version {version} does not go live: {reason}")
    case.say(c.VersionWithdrawn(model=case.model, version=version, reason=reason))


def refuse(case: Case, request_id: str, reason: str) -> None:
    case.say(c.CommandRefused(request_id=request_id, model=case.model, reason=reason))


def move(case: Case, to: Move | None) -> None:
    """Say what the rollout's transition decided."""
    rollout = case.line.rollout
    if rollout is None or to is None:
        return
    if to.phase in (Phase.SHADOW, Phase.STEP):
        case.say(
            c.RolloutAdvanced(
                rollout_id=rollout.rollout_id,
                model=case.model,
                candidate=rollout.candidate,
                phase=to.phase,
                step=to.step,
                share=to.share,
                verdict_id=to.verdict_id,
            )
        )
        return
    if to.phase is Phase.PROMOTED:
        case.say(
            c.VersionPromoted(
                model=case.model,
                version=rollout.candidate,
                former=rollout.champion,
                by=ROLLOUT,
                rollout_id=rollout.rollout_id,
                verdict_id=to.verdict_id,
                watch_until_ms=_watch_until_ms(case),
            )
        )
    case.say(
        c.RolloutEnded(
            rollout_id=rollout.rollout_id,
            model=case.model,
            candidate=rollout.candidate,
            phase=to.phase,
            reason=to.reason,
            verdict_id=to.verdict_id,
        )
    )


def stop_rollout(case: Case, reason: str) -> None:
    """End the rollout in progress, if there is one."""
    if case.line.rollout is not None:
        move(case, transition(case.line.rollout, case.definition.rollout, Stopped(reason)))


def _watch_until_ms(case: Case) -> int | None:
    watch_ms = case.definition.rollout.watch
    return case.now_ms + watch_ms if watch_ms > 0 else None
