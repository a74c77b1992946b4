"""What is said of a candidate, and when: each step that it reaches, and once that it is worse, or cannot be judged.

The registry refuses a step on figures that are stale (the stream is being caught up with), so a step is said again
after so many outcomes more in which the rollout has not moved.

A step is not said while labels that were corrected since it was judged take the difference away: what is decided from
now on is decided by what is known now. What was said before is revised by an event of its own (`verdict_revisions`).

Only outcomes whose prediction was made under the rollout in force count, and only where both versions of it have an
output. One that is no prediction (missing figures, NaN) is counted as such and can only stand against a promotion.
"""

from __future__ import annotations

from services.monitoring import canary_judge, revised_pairs
from services.monitoring.judge_state import FinalVerdict, JudgeState, RolloutJudge
from services.monitoring.outcome_losses import Judged, measure_of
from shared.contracts.control import VerdictKind, VerdictReached
from shared.contracts.definitions import Model
from shared.contracts.identity import derived_id
from shared.contracts.platform import ModelState, RolloutState

SAID_AGAIN_AFTER = 200
# Of verdicts on rollouts that are over: a version and the one before it.
ENDED = 2


def judge_rollout(
    state: JudgeState, model: Model, decided: ModelState, outcome: Judged
) -> tuple[JudgeState, list[VerdictReached]]:
    """The rollout in force after one more outcome, and what is new to say of it."""
    state, rollout = without_ended(state, decided), decided.rollout
    if rollout is None or rollout.champion is None:
        return state, []
    judge = state.rollout
    if judge is None or judge.rollout_id != rollout.rollout_id:
        judge = RolloutJudge(rollout.rollout_id)
    if not _is_pair(rollout, outcome):
        return state._replace(rollout=judge), []
    losses = outcome.losses
    pairs = canary_judge.update(judge.pairs, losses[rollout.champion], losses[rollout.candidate], outcome.ordinal)
    if not _may_say_more(judge, pairs) and not _is_unheard(judge, rollout, outcome):
        return state._replace(rollout=judge._replace(pairs=pairs)), []
    judge, verdicts = _new_verdicts(judge._replace(pairs=pairs), model, decided, rollout, outcome)
    return state._replace(rollout=judge), verdicts


def without_ended(state: JudgeState, decided: ModelState) -> JudgeState:
    """A rollout that is over leaves its verdict."""
    judge, rollout = state.rollout, decided.rollout
    if judge is None or (rollout is not None and rollout.rollout_id == judge.rollout_id):
        return state
    ended = state.ended if judge.final is None else (*state.ended, judge.final)[-ENDED:]
    return state._replace(rollout=None, ended=ended)


def _is_pair(rollout: RolloutState, outcome: Judged) -> bool:
    return (
        outcome.labelled
        and outcome.row["rollout_id"] == rollout.rollout_id
        and rollout.champion in outcome.losses
        and rollout.candidate in outcome.losses
    )


def _may_say_more(judge: RolloutJudge, after: canary_judge.JudgeState) -> bool:
    # A verdict follows from the two maxima and the share of what was left out: while none of them moves, it stays.
    before = judge.pairs
    return (
        after.log_e_max > before.log_e_max
        or after.log_e_harm_max > before.log_e_harm_max
        or after.count == before.count
        or VerdictKind.INVALID in judge.said
    )


def _new_verdicts(
    judge: RolloutJudge, model: Model, decided: ModelState, rollout: RolloutState, outcome: Judged
) -> tuple[RolloutJudge, list[VerdictReached]]:
    steps = len(model.rollout.steps)
    figures = canary_judge.verdict(judge.pairs, model.rollout.alpha, steps)
    if figures.kind in (VerdictKind.WORSE, VerdictKind.INVALID):
        if figures.kind in judge.said:
            return judge, []
        said = _said(figures.kind, judge.step, figures, model, decided, rollout, outcome)
        judge = judge._replace(said=(*judge.said, figures.kind.value))
        return (_ended_by(judge, said, model) if figures.kind is VerdictKind.WORSE else judge), [said]
    first = judge.step if _is_unheard(judge, rollout, outcome) else judge.step + 1
    new = range(first, figures.step_reached + 1)
    if not new or _is_taken_away(judge, model):
        return judge, []
    verdicts = [_said(VerdictKind.BETTER, step, figures, model, decided, rollout, outcome) for step in new]
    judge = judge._replace(step=figures.step_reached, said_at=outcome.ordinal)
    return (_ended_by(judge, verdicts[-1], model) if figures.step_reached == steps else judge), verdicts


def _is_taken_away(judge: RolloutJudge, model: Model) -> bool:
    if not judge.corrections.revisions:
        return False
    pairs = revised_pairs.applied(judge.pairs, judge.corrections)
    return revised_pairs.says(pairs, model.rollout.alpha, VerdictKind.BETTER) is not VerdictKind.BETTER


def _ended_by(judge: RolloutJudge, said: VerdictReached, model: Model) -> RolloutJudge:
    final = FinalVerdict(
        verdict_id=said.verdict_id,
        rollout_id=said.rollout_id,
        champion=said.champion,
        candidate=said.candidate,
        position=said.position,
        last=(said.last_time_ms, said.last_record_id),
        alpha=model.rollout.alpha,
        measure=measure_of(model),
        says=said.kind,
        pairs=judge.pairs,
        corrections=judge.corrections,
    )
    return judge._replace(final=final)


def _is_unheard(judge: RolloutJudge, rollout: RolloutState, outcome: Judged) -> bool:
    """Whether a step was said long ago, and the rollout is not there yet."""
    return judge.step > rollout.step and outcome.ordinal - judge.said_at >= SAID_AGAIN_AFTER


def _said(
    kind: VerdictKind, step: int, figures: canary_judge.Verdict, model: Model, decided: ModelState,
    rollout: RolloutState, outcome: Judged,
) -> VerdictReached:  # fmt: skip
    champion = rollout.champion or 0
    return VerdictReached(
        verdict_id=derived_id(rollout.rollout_id, f"verdict:{kind}:{step}", outcome.record_id, outcome.ordinal),
        model=model.name,
        rollout_id=rollout.rollout_id,
        step=step,
        kind=kind,
        position=outcome.position,
        last_record_id=outcome.record_id,
        last_time_ms=outcome.time_ms,
        champion=champion,
        candidate=rollout.candidate,
        champion_sha256=decided.versions[champion].artifact.sha256,
        candidate_sha256=decided.versions[rollout.candidate].artifact.sha256,
        outcomes=figures.count,
        invalid=figures.invalid,
        mean_difference=figures.mean_difference,
        e_value=figures.e_value_max,
        e_value_harm=figures.e_value_harm_max,
        alpha=model.rollout.alpha,
        threshold=_threshold(kind, step, model),
        lower=figures.lower,
        upper=figures.upper,
        champion_loss=figures.champion_mean,
        candidate_loss=figures.candidate_mean,
        first_position=figures.first_position,
        last_position=figures.last_position,
        champion_invalid=figures.champion_invalid,
        candidate_invalid=figures.candidate_invalid,
        both_invalid=figures.both_invalid,
    )


def _threshold(kind: VerdictKind, step: int, model: Model) -> float | None:
    """What the evidence had to reach."""
    if kind is VerdictKind.INVALID:
        return None
    share = step / len(model.rollout.steps) if kind is VerdictKind.BETTER else 1.0
    return (1.0 / model.rollout.alpha) ** share
