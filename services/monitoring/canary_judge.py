"""Whether a candidate is better than the champion: a paired e-process that may be looked at after every outcome.

Both versions scored the same records. d = candidate loss - champion loss, both in [0, 1], so d lies in [-1, 1].
  promotion  E = mean_k prod(1 - bet_k d)   a test martingale of "the candidate is no better" (conditional mean d >= 0)
  harm       H = mean_k prod(1 + bet_k d)   the same of "the candidate is no worse" (conditional mean d <= 0)

Guarantee: by Ville's inequality sup E reaches 1/alpha with probability at most alpha if the candidate is no better,
whatever the losses' distribution and however often one looks; the running maximum is therefore kept, and a threshold
once reached stays reached. The same for H. Sources: Ville 1939; Waudby-Smith and Ramdas, "Estimating means of bounded
random variables by betting" (2020); Ramdas and others, "Game-theoretic statistics and safe anytime-valid inference"
(2023).

Pairs without two losses are left out of both, but for one thing: where the champion has a loss and the candidate has
none, the promotion process takes the candidate's for 1, the worst there is. Otherwise a candidate that fails on what
it would lose looks better on the rest, and the first few failures, which `Limits` lets pass, would be enough.

Beside it stands a confidence sequence of the mean d, at level 1 - alpha for all times together: how much better or
worse (`confidence_sequence`). It is two-sided and holds whatever the mean is, so it is wider than what the processes
need to decide: a candidate may be promoted while it still holds 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from services.monitoring import confidence_sequence
from services.monitoring.json_state import JsonState
from shared.contracts.control import VerdictKind

BETS = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.9)
# exp() of more is no double; the log figures stay exact.
_LARGEST_EXPONENT = 700.0


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on pairs without two losses make a rollout Invalid.

    Left-out pairs are not at random: what has no loss is often what is hard. So the candidate's own failures (the
    champion answered) may be at most `candidate_share` of all pairs, and pairs left out for any reason at most
    `any_share`; the first `candidate_grace` and `any_grace` of them are let pass.
    """

    candidate_share: float = 0.01
    candidate_grace: int = 5
    any_share: float = 0.2
    any_grace: int = 50


@dataclass(frozen=True, slots=True)
class JudgeState(JsonState):
    """Log wealth of each bet, running maxima of the logs of both mixtures, sums over the pairs judged."""

    promote: tuple[float, ...] = (0.0,) * len(BETS)
    harm: tuple[float, ...] = (0.0,) * len(BETS)
    log_e_max: float = 0.0
    log_e_harm_max: float = 0.0
    count: int = 0
    total: float = 0.0
    total_squares: float = 0.0
    champion_total: float = 0.0
    candidate_total: float = 0.0
    champion_invalid: int = 0
    candidate_invalid: int = 0
    both_invalid: int = 0
    first_position: int | None = None
    last_position: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict(JsonState):
    """The judgement with its figures.

    step_reached: 0 to `steps`; the step whose threshold (1/alpha)^(k/steps) the promotion process has passed.
    e_value, e_value_harm: the mixtures now (at most 1e304); *_max: the running maxima, which decide.
    mean_difference: candidate - champion, negative when the candidate is better; None without a pair. lower, upper:
    the confidence sequence of it, [-1, 1] without a pair.
    count: pairs judged. invalid: pairs left out, for the loss of one version or of both.
    """

    kind: VerdictKind
    step_reached: int
    e_value: float
    e_value_harm: float
    e_value_max: float
    e_value_harm_max: float
    threshold: float
    mean_difference: float | None
    champion_mean: float | None
    candidate_mean: float | None
    count: int
    invalid: int
    champion_invalid: int
    candidate_invalid: int
    both_invalid: int
    first_position: int | None
    last_position: int | None
    lower: float
    upper: float


def update(
    state: JudgeState, champion_loss: float | None, candidate_loss: float | None, position: int | None = None
) -> JudgeState:
    """One matured pair. With a loss that is None, not finite or outside [0, 1] it is left out and counted; where only
    the candidate's is none, it counts as lost against a promotion.

    position: the outcome's ordinal in the order of decision, kept as evidence.
    """
    champion, candidate = _is_loss(champion_loss), _is_loss(candidate_loss)
    if champion_loss is None or candidate_loss is None or not (champion and candidate):
        lost = 1.0 - champion_loss if champion_loss is not None and champion and not candidate else 0.0
        return replace(
            state,
            promote=_wealth(state.promote, -lost),
            champion_invalid=state.champion_invalid + (candidate and not champion),
            candidate_invalid=state.candidate_invalid + (champion and not candidate),
            both_invalid=state.both_invalid + (not champion and not candidate),
        )
    difference = candidate_loss - champion_loss
    promote, harm = _wealth(state.promote, -difference), _wealth(state.harm, difference)
    return replace(
        state,
        promote=promote,
        harm=harm,
        log_e_max=max(state.log_e_max, _log_mean_exp(promote)),
        log_e_harm_max=max(state.log_e_harm_max, _log_mean_exp(harm)),
        count=state.count + 1,
        total=state.total + difference,
        total_squares=state.total_squares + difference * difference,
        champion_total=state.champion_total + champion_loss,
        candidate_total=state.candidate_total + candidate_loss,
        first_position=position if state.count == 0 else state.first_position,
        last_position=position,
    )


def verdict(state: JudgeState, alpha: float, steps: int, limits: Limits | None = None) -> Verdict:
    """The judgement now, for wrong-promotion probability `alpha` (in (0, 1)) and a rollout of `steps` >= 1 steps.

    Worse goes before all; Invalid before Better: what was left out may have hidden the harm. Raises ValueError.
    """
    if not 0.0 < alpha < 1.0 or steps < 1:
        raise ValueError(f"alpha {alpha} and steps {steps}: alpha lies above 0 and below 1, steps is at least 1")
    needed = -math.log(alpha)
    lower, upper = confidence_sequence.bounds(state.count, state.total, state.total_squares, alpha)
    step = sum(state.log_e_max >= needed * k / steps for k in range(1, steps + 1))
    invalid = state.champion_invalid + state.candidate_invalid + state.both_invalid
    return Verdict(
        kind=_kind(state, step == steps, state.log_e_harm_max >= needed, limits or Limits()),
        step_reached=step,
        e_value=_exp(_log_mean_exp(state.promote)),
        e_value_harm=_exp(_log_mean_exp(state.harm)),
        e_value_max=_exp(state.log_e_max),
        e_value_harm_max=_exp(state.log_e_harm_max),
        threshold=1.0 / alpha,
        mean_difference=_mean(state.total, state.count),
        champion_mean=_mean(state.champion_total, state.count),
        candidate_mean=_mean(state.candidate_total, state.count),
        count=state.count,
        invalid=invalid,
        champion_invalid=state.champion_invalid,
        candidate_invalid=state.candidate_invalid,
        both_invalid=state.both_invalid,
        first_position=state.first_position,
        last_position=state.last_position,
        lower=lower,
        upper=upper,
    )


def log_evidence(state: JudgeState) -> tuple[float, float]:
    """The logs of both mixtures as they are now, of promotion and of harm."""
    return _log_mean_exp(state.promote), _log_mean_exp(state.harm)


def too_many_invalid(state: JudgeState, limits: Limits) -> bool:
    """Whether so many pairs were left out that the rest proves nothing (see `Limits`)."""
    left_out = state.champion_invalid + state.candidate_invalid + state.both_invalid
    pairs = state.count + left_out
    return state.candidate_invalid > max(limits.candidate_grace, limits.candidate_share * pairs) or left_out > max(
        limits.any_grace, limits.any_share * pairs
    )


def _kind(state: JudgeState, better: bool, worse: bool, limits: Limits) -> VerdictKind:
    if worse:
        return VerdictKind.WORSE
    if too_many_invalid(state, limits):
        return VerdictKind.INVALID
    return VerdictKind.BETTER if better else VerdictKind.UNDECIDED


def _is_loss(value: float | None) -> bool:
    return value is not None and 0.0 <= value <= 1.0


def _wealth(logs: tuple[float, ...], gain: float) -> tuple[float, ...]:
    if gain == 0.0:
        return logs
    return tuple(log + math.log1p(bet * gain) for log, bet in zip(logs, BETS, strict=True))


def _mean(total: float, count: int) -> float | None:
    return total / count if count else None


def _log_mean_exp(logs: tuple[float, ...]) -> float:
    largest = max(logs)
    return largest + math.log(sum([math.exp(log - largest) for log in logs]) / len(logs))


def _exp(log: float) -> float:
    return math.exp(min(log, _LARGEST_EXPONENT))
