"""When a corrected label turns a verdict: VerdictRevised.

Corrections count for the pairs that the verdict was reached on, while its rollout goes on and after; the rollout's
outcomes that were decided later are no part of it. A rollout that ended without a verdict has none to revise. Verdicts
of the two newest rollouts are kept, in a few numbers each, however late labels may come; a label that is corrected
after the model's losses are by another measure (`monitor` in its definition) revises none of those before.
"""

from __future__ import annotations

from services.monitoring import canary_judge, revised_pairs
from services.monitoring.judge_state import FinalVerdict, JudgeState
from services.monitoring.outcome_losses import Judged, measure_of
from services.monitoring.verdicts import without_ended
from shared.contracts.control import VerdictRevised
from shared.contracts.definitions import Model
from shared.contracts.identity import derived_id
from shared.contracts.platform import ModelState


def revise(
    state: JudgeState, model: Model, decided: ModelState, before: Judged, after: Judged, label_id: str
) -> tuple[JudgeState, list[VerdictRevised]]:
    """One corrected label, as the outcome by the old one and by the new; what it makes of the verdicts."""
    state, rollout_id = without_ended(state, decided), after.row["rollout_id"]
    if rollout_id is None:
        return state, []
    said: list[VerdictRevised] = []
    ended: list[FinalVerdict] = []
    for verdict in state.ended:
        revised, event = _revised(verdict, model, before, after, label_id)
        ended.append(revised)
        said += [event] if event else []
    judge, rollout = state.rollout, decided.rollout
    if judge is not None and rollout is not None and judge.rollout_id == rollout_id and rollout.champion is not None:
        corrections = revised_pairs.corrected(judge.corrections, rollout.champion, rollout.candidate, before, after)
        judge = judge._replace(corrections=corrections)
        if judge.final is not None:
            final, event = _revised(judge.final, model, before, after, label_id)
            judge = judge._replace(final=final)
            said += [event] if event else []
    return state._replace(ended=tuple(ended), rollout=judge), said


def _revised(
    verdict: FinalVerdict, model: Model, before: Judged, after: Judged, label_id: str
) -> tuple[FinalVerdict, VerdictRevised | None]:
    of_it = verdict.rollout_id == after.row["rollout_id"] and after.place <= verdict.last
    if not of_it or verdict.measure != measure_of(model):
        return verdict, None
    corrections = revised_pairs.corrected(verdict.corrections, verdict.champion, verdict.candidate, before, after)
    if corrections is verdict.corrections:
        return verdict, None
    now = verdict._replace(corrections=corrections)
    says = revised_pairs.says(revised_pairs.applied(now.pairs, corrections), now.alpha, now.says)
    if says is now.says:
        return now, None
    now = now._replace(says=says)
    return now, _turned(verdict, now, model, after, label_id)


def _turned(was: FinalVerdict, now: FinalVerdict, model: Model, outcome: Judged, label_id: str) -> VerdictRevised:
    figures = canary_judge.verdict(revised_pairs.applied(now.pairs, now.corrections), now.alpha, 1)
    return VerdictRevised(
        revision_id=derived_id(now.verdict_id, f"revised:{now.says}", label_id, now.corrections.revisions),
        verdict_id=now.verdict_id,
        model=model.name,
        rollout_id=now.rollout_id,
        champion=now.champion,
        candidate=now.candidate,
        before=was.says,
        after=now.says,
        position=now.position,
        decided=outcome.position,
        last_record_id=outcome.record_id,
        label_id=label_id,
        revisions=now.corrections.revisions,
        records=now.corrections.records,
        outcomes=figures.count,
        invalid=figures.invalid,
        mean_difference=figures.mean_difference,
        lower=figures.lower,
        upper=figures.upper,
        champion_loss=figures.champion_mean,
        candidate_loss=figures.candidate_mean,
        e_value=figures.e_value,
        e_value_harm=figures.e_value_harm,
        alpha=now.alpha,
        threshold=figures.threshold,
    )
