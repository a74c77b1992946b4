"""What people ask of a model's versions: each command is answered by an effect, or refused with what helps."""

from __future__ import annotations

from services.registry.case import Case
from services.registry.going_live import LABELS, WATCH, goes_live, refuse, stop_rollout, withdraw
from services.registry.line import GoingLive, VersionLine
from services.registry.versions import wait
from shared.contracts import control as c

Command = c.ApproveVersion | c.PromoteVersion | c.RollBackModel


def carry_out(case: Case, command: Command) -> None:
    """An effect, or CommandRefused."""
    if command.by in LABELS or not command.by.strip():
        refuse(case, command.request_id, f"{command.by!r} is no person's name: say who asks, with --by NAME")
        return
    match command:
        case c.ApproveVersion():
            _approve(case, command)
        case c.PromoteVersion():
            _promote(case, command)
        case c.RollBackModel():
            _roll_back(case, command)


def _approve(case: Case, command: c.ApproveVersion) -> None:
    version = _known(case, command)
    if version is None:
        return
    number, line = command.version, case.line
    promote = f"headrace promote {case.model} {number}"
    if not version.passed:
        reason = f"version {number} did not pass the gate ({version.reason}); to let it answer all the same: {promote}"
    elif line.champion is None:
        reason = f"nothing answers yet, so there is nothing to compare version {number} with: {promote}"
    elif version.against != line.champion:
        reason = (
            f"version {number} was not compared with version {line.champion}, which answers by now: "
            f"headrace retrain {case.model}, or {promote}"
        )
    elif number == line.waiting and version.approved:
        reason = f"version {number} is approved, and waits for what is in progress: headrace status"
    else:
        case.say(c.VersionApproved(model=case.model, version=number, by=command.by))
        wait(case, number)
        return
    refuse(case, command.request_id, reason)


def _promote(case: Case, command: c.PromoteVersion) -> None:
    if _known(case, command) is None:
        return
    stop_rollout(case, f"{command.by} lets version {command.version} answer")
    case.say(c.VersionApproved(model=case.model, version=command.version, by=command.by))
    going = GoingLive(version=command.version, by=command.by, request_id=command.request_id)
    goes_live(case, going)
    if case.line.waiting == command.version:
        case.change(waiting=None)


def _known(case: Case, command: c.ApproveVersion | c.PromoteVersion) -> VersionLine | None:
    """The version that is named, if something can be done with it; otherwise the command is refused."""
    number, line = command.version, case.line
    version = line.versions.get(number)
    if version is None:
        count = len(line.versions)
        known = f"versions 1 to {count} are registered" if count else "no version is registered yet"
        refuse(case, command.request_id, f"{case.model} has no version {number}: {known}; see headrace models")
    elif number == line.champion:
        refuse(case, command.request_id, f"version {number} answers already; see headrace models")
    elif line.going_live is not None and line.going_live.version == number:
        reason = f"version {number} goes live as soon as replicas have loaded it: headrace status"
        refuse(case, command.request_id, reason)
    elif isinstance(command, c.ApproveVersion) and line.rollout is not None and line.rollout.candidate == number:
        refuse(case, command.request_id, f"version {number} is in its rollout: headrace status")
    else:
        return version
    return None


def _roll_back(case: Case, command: c.RollBackModel) -> None:
    line = case.line
    if line.rollout is not None:
        stop_rollout(case, f"stopped by {command.by}")
    elif line.going_live is not None and line.going_live.back:
        reason = f"version {line.going_live.version} returns as soon as replicas have loaded it: headrace status"
        refuse(case, command.request_id, reason)
    elif line.going_live is not None:
        withdraw(case, line.going_live.version, f"stopped by {command.by}")
    elif line.champion is not None and line.former is not None:
        return_to_former(case, f"{command.by} returned to version {line.former}", command.by)
    elif len(line.lived) > 1:
        number = line.lived[-2]
        case.say(c.VersionApproved(model=case.model, version=number, by=command.by))
        goes_live(case, GoingLive(version=number, by=command.by, request_id=command.request_id, back=True))
    else:
        version = "no version answers yet" if line.champion is None else f"none answered before version {line.champion}"
        reason = f"{version}, so there is nothing to return to; another version: headrace promote {case.model} VERSION"
        refuse(case, command.request_id, reason)


def return_to_former(
    case: Case, reason: str, by: str = WATCH, drift_id: str | None = None, revision_id: str | None = None
) -> None:
    """The former champion, on watch and so loaded, answers again at once."""
    champion, former = case.line.champion, case.line.former
    if champion is None or former is None:
        return
    stop_rollout(case, f"version {former} answers again, with which it was not compared")
    case.say(
        c.ModelRolledBack(
            model=case.model, version=former, former=champion, reason=reason, by=by, drift_id=drift_id,
            revision_id=revision_id,
        )
    )  # fmt: skip
