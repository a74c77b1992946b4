"""The rollout state machine: from preparing through shadow and steps to an end, in one transition function.

PREPARING -> SHADOW -> STEP 1 .. K-1 -> PROMOTED, or REJECTED before it had traffic, ROLLED_BACK after, EXPIRED.
A rollout of one step goes through shadow whatever the definition says: without, it would be promoted on no figures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from services.registry.line import Rollout
from shared.contracts import control as c
from shared.contracts.control import Phase
from shared.contracts.definitions import Rollout as Plan


@dataclass(frozen=True, slots=True)
class ReplicasReady:
    """Every replica has loaded the candidate."""


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    now_ms: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """By a person, a guardrail, a replica that cannot load it, or a champion that is gone."""

    reason: str


_ROUNDING = 1 - 1e-9  # the judge compares logarithms

Signal = ReplicasReady | c.VerdictReached | DeadlinePassed | Stopped


@dataclass(frozen=True, slots=True)
class Move:
    """Where the rollout goes next; `share` of live traffic in [0, 1]."""

    phase: Phase
    step: int
    share: float
    reason: str
    verdict_id: str | None = None


def transition(rollout: Rollout, plan: Plan, signal: Signal) -> Move | None:
    """The one way in which a rollout moves; None: the signal changes nothing."""
    match signal:
        case ReplicasReady() if rollout.phase is Phase.PREPARING:
            if plan.shadow or len(plan.steps) == 1:
                return Move(Phase.SHADOW, 0, 0.0, "replicas are ready")
            return Move(Phase.STEP, 1, plan.steps[0] / 100, "replicas are ready")
        case c.VerdictReached() if rollout.phase in (Phase.SHADOW, Phase.STEP):
            return _judged(rollout, plan, signal)
        case DeadlinePassed(now_ms=now_ms) if now_ms >= rollout.deadline_ms:
            return Move(Phase.EXPIRED, rollout.step, 0.0, "the evidence did not suffice by the deadline")
        case Stopped(reason=reason):
            return _end(rollout, reason)
        case _:
            return None


def _judged(rollout: Rollout, plan: Plan, verdict: c.VerdictReached) -> Move | None:
    match verdict.kind:
        case c.VerdictKind.WORSE:
            return _end(rollout, f"worse than the champion{_figures(verdict)}", verdict.verdict_id)
        case c.VerdictKind.BETTER if verdict.step > rollout.step and has_figures(verdict, plan):
            reason = f"better than the champion{_figures(verdict)}"
            if verdict.step >= len(plan.steps):
                return Move(Phase.PROMOTED, rollout.step, 1.0, reason, verdict.verdict_id)
            share = plan.steps[verdict.step - 1] / 100
            return Move(Phase.STEP, verdict.step, share, reason, verdict.verdict_id)
        case _:
            return None


def _end(rollout: Rollout, reason: str, verdict_id: str | None = None) -> Move:
    phase = Phase.ROLLED_BACK if rollout.phase is Phase.STEP else Phase.REJECTED
    return Move(phase, rollout.step, 0.0, reason, verdict_id)


def has_figures(verdict: c.VerdictReached, plan: Plan) -> bool:
    """No data is no success: whether the figures are finite, and enough for the step that they are said to reach.

    Enough is what the definition asks for, evidence of (1/alpha)^(k/K) at step k of K; and as no outcome can more than
    double the evidence (a loss difference lies in [-1, 1], a bet in [0, 1]), so many outcomes as that takes.
    """
    difference, evidence = verdict.mean_difference, verdict.e_value
    if difference is None or not math.isfinite(difference) or not math.isfinite(evidence):
        return False
    needed = plan.alpha ** (-verdict.step / len(plan.steps))
    return evidence >= needed * _ROUNDING and verdict.outcomes >= math.log2(evidence)


def _figures(verdict: c.VerdictReached) -> str:
    difference = verdict.mean_difference
    return "" if difference is None else f": mean loss difference {difference:+.4g} over {verdict.outcomes} outcomes"
