"""What a revised verdict leads to: with `rollout.revise: roll_back` a promotion that it no longer bears is taken back.

Only while the version that was promoted by that rollout still answers, and the champion that it was compared with was
the one before it. A person's word stands above it: a version that a person lets answer is on its way, or was promoted
by them. Whatever else a revised verdict says, as that a rejected candidate was better, is for a person to act on.
"""

from __future__ import annotations

from services.registry.case import Case
from services.registry.commands import return_to_former
from services.registry.going_live import EVERY, REVISION, goes_live, stop_rollout
from services.registry.line import GoingLive, Line
from shared.contracts import control as c

_TAKEN_BACK = (c.VerdictKind.UNDECIDED, c.VerdictKind.WORSE)


def carry_out(case: Case, revised: c.VerdictRevised) -> None:
    """Return to the former champion: at once while it is on watch, otherwise as soon as replicas have loaded it."""
    line, going = case.line, case.line.going_live
    if going is not None and going.by != EVERY:
        return
    if case.definition.rollout.revise != "roll_back" or revised.after not in _TAKEN_BACK or not _bears(line, revised):
        return
    reason = (
        f"later labels take the verdict back: {revised.after} by {revised.revisions} corrected outcomes, mean loss "
        f"difference {_figure(revised.mean_difference)} over {revised.outcomes} outcomes"
    )
    if line.former == revised.champion:
        return_to_former(case, reason, by=REVISION, revision_id=revised.revision_id)
        return
    stop_rollout(case, f"version {revised.champion} answers again, with which it was not compared")
    case.say(c.VersionApproved(model=case.model, version=revised.champion, by=REVISION))
    back = GoingLive(version=revised.champion, by=REVISION, back=True, reason=reason, revision_id=revised.revision_id)
    goes_live(case, back)


def _bears(line: Line, revised: c.VerdictRevised) -> bool:
    """Whether what answers was promoted on this verdict, in place of the version that it was compared with."""
    return (
        line.champion == revised.candidate
        and line.promoted_in == revised.rollout_id
        and line.lived[-2:] == (revised.champion, revised.candidate)
    )


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:+.4g}"
