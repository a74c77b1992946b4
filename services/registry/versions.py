"""What becomes of a fitted version: its number, the gate, and what follows."""

from __future__ import annotations

from services.registry import gate
from services.registry.case import Case
from services.registry.going_live import AUTO, EVERY, FIRST, answer, goes_live, move, withdraw
from services.registry.line import GoingLive
from services.registry.rollout import ReplicasReady, transition
from shared.contracts import control as c
from shared.contracts.control import Follows
from shared.contracts.definitions import Approval, Policy
from shared.contracts.identity import derived_id


def register(case: Case, run: c.RunFinished) -> None:
    """Number the version that a run has made, judge it, and send it on its way."""
    judged = gate.judge(run.gate, case.line.champion, case.definition.retrain.policy)
    number = len(case.line.versions) + 1
    follows = _follows(case) if judged.passed else Follows.NOTHING
    case.say(
        c.VersionRegistered(
            model=case.model,
            version=number,
            run_id=run.run_id,
            artifact=run.artifact,
            gate_passed=judged.passed,
            gate=run.gate,
            reason=judged.reason,
            follows=follows,
            held_back=run.held_back,
            reference=run.reference,
            calibration=run.calibration,
            classes=run.classes,
            expected_loss=run.expected_loss,
        )
    )
    if follows in (Follows.PROMOTION, Follows.ROLLOUT):
        wait(case, number)


def wait(case: Case, number: int) -> None:
    """Put a version on its way: `settle` takes it further as soon as nothing stands before it."""
    before = case.line.waiting
    if before is not None and before != number:
        withdraw(case, before, f"superseded: version {number} came after it")
    case.change(waiting=number)


def settle(case: Case) -> None:
    """Do what has become possible, until nothing more has."""
    before = None
    while case.line is not before:
        before = case.line
        if case.line.waiting is not None:
            _start(case, case.line.waiting)
        rollout, going = case.line.rollout, case.line.going_live
        if rollout is not None and case.is_ready(rollout.candidate):
            move(case, transition(rollout, case.definition.rollout, ReplicasReady()))
        if going is not None and case.is_ready(going.version):
            answer(case, going)


def _start(case: Case, number: int) -> None:
    line, version = case.line, case.line.versions[number]
    going = line.going_live
    replaceable = going is None or going.by in (FIRST, EVERY)
    if line.rollout is not None or not replaceable:
        return
    if line.champion is None or case.definition.retrain.policy is Policy.EVERY:
        by = FIRST if line.champion is None else EVERY
        case.change(waiting=None)
        if not version.approved:
            case.say(c.VersionApproved(model=case.model, version=number, by=AUTO if by == FIRST else EVERY))
        goes_live(case, GoingLive(version=number, by=by))
    elif version.against != line.champion:
        withdraw(case, number, f"superseded: it was not compared with version {line.champion}, which answers by now")
    elif not version.approved and case.definition.rollout.approval is Approval.MANUAL:
        withdraw(case, number, "a person's approval is needed by now: headrace approve")
    elif going is None:
        _start_rollout(case, number)


def _start_rollout(case: Case, number: int) -> None:
    version, champion = case.line.versions[number], case.line.champion
    if case.line.former == number:  # a person has it tried anew: the rollout takes the place of its watch
        case.say(c.WatchEnded(model=case.model, version=number))
    if not version.approved:
        case.say(c.VersionApproved(model=case.model, version=number, by=AUTO))
    case.say(
        c.RolloutStarted(
            rollout_id=derived_id(case.model, "rollout", str(number), version.tried),
            model=case.model,
            candidate=number,
            champion=champion,
            deadline_ms=case.now_ms + case.definition.rollout.deadline,
        )
    )


def _follows(case: Case) -> Follows:
    if case.line.champion is None or case.definition.retrain.policy is Policy.EVERY:
        return Follows.PROMOTION
    return Follows.APPROVAL if case.definition.rollout.approval is Approval.MANUAL else Follows.ROLLOUT
