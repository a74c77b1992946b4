from __future__ import annotations

import json
import math
import random
import statistics

import pytest

from services.monitoring import canary_judge
from services.monitoring.canary_judge import JudgeState, Limits
from shared.contracts.control import VerdictKind

ALPHA, STEPS = 0.05, 3


def judged(rng: random.Random, count: int, candidate_wins: float, champion_wins: float) -> JudgeState:
    state = JudgeState()
    for _ in range(count):
        draw = rng.random()
        if draw < candidate_wins:
            state = canary_judge.update(state, 1.0, 0.0)
        elif draw < candidate_wins + champion_wins:
            state = canary_judge.update(state, 0.0, 1.0)
        else:
            state = canary_judge.update(state, 0.0, 0.0)
    return state


def first_count(rng: random.Random, kind: VerdictKind, candidate_wins: float, champion_wins: float) -> int:
    state = JudgeState()
    while state.count < 20_000:
        draw = rng.random()
        champion = float(draw < candidate_wins)
        candidate = float(candidate_wins <= draw < candidate_wins + champion_wins)
        state = canary_judge.update(state, champion, candidate)
        if champion != candidate and canary_judge.verdict(state, 0.01, STEPS).kind == kind:
            return state.count
    raise AssertionError(f"not {kind} within 20,000 pairs")


def test_state_and_verdict_survive_json_bit_for_bit() -> None:
    rng = random.Random(1)
    state = JudgeState()
    for i in range(500):
        state = canary_judge.update(state, rng.random(), rng.random() if i % 50 else None, position=i)
    again = JudgeState.from_json(json.loads(json.dumps(state.to_json())))
    assert again == state
    assert canary_judge.update(again, 0.25, 0.75) == canary_judge.update(state, 0.25, 0.75)
    verdict = canary_judge.verdict(state, ALPHA, STEPS)
    assert type(verdict).from_json(json.loads(json.dumps(verdict.to_json()))) == verdict
    assert (verdict.first_position, verdict.last_position) == (1, 499)


def test_wrong_promotions_stay_within_alpha_looking_after_every_pair() -> None:
    rng, rollouts, wrong, harm = random.Random(7), 300, 0, 0
    for _ in range(rollouts):
        verdict = canary_judge.verdict(judged(rng, 1500, 0.05, 0.05), ALPHA, STEPS)
        wrong += verdict.e_value_max >= verdict.threshold
        harm += verdict.kind == VerdictKind.WORSE
    slack = 3 * math.sqrt(ALPHA * (1 - ALPHA) / rollouts)
    assert wrong / rollouts <= ALPHA + slack
    assert harm / rollouts <= ALPHA + slack


def test_wrong_promotions_stay_within_alpha_with_skewed_losses() -> None:
    # Mean zero, and usually a small gain: nineteen small wins for each full loss.
    rng, rollouts, wrong = random.Random(9), 300, 0
    for _ in range(rollouts):
        state = JudgeState()
        for _ in range(800):
            champion, candidate = (0.0, 0.95) if rng.random() < 0.05 else (0.05, 0.0)
            state = canary_judge.update(state, champion, candidate)
        wrong += canary_judge.verdict(state, ALPHA, STEPS).e_value_max >= 1 / ALPHA
    assert wrong / rollouts <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / rollouts)


def test_a_better_candidate_is_promoted_and_a_worse_one_stopped() -> None:
    better = [first_count(random.Random(seed), VerdictKind.BETTER, 0.08, 0.02) for seed in range(15)]
    worse = [first_count(random.Random(seed), VerdictKind.WORSE, 0.08, 0.16) for seed in range(15)]
    assert statistics.median(better) < 700
    assert statistics.median(worse) < 600


def test_exposure_grows_step_by_step_and_a_step_once_reached_stays() -> None:
    state, steps = JudgeState(), list[int]()
    while not steps or steps[-1] < 3:
        state = canary_judge.update(state, 0.6, 0.1)
        steps.append(canary_judge.verdict(state, 0.01, 3).step_reached)
    assert steps == sorted(steps)
    assert set(steps) == {0, 1, 2, 3}
    final = canary_judge.verdict(state, 0.01, 3)
    assert (final.kind, final.mean_difference) == (VerdictKind.BETTER, pytest.approx(-0.5))
    for _ in range(12):
        state = canary_judge.update(state, 0.1, 0.5)
    later = canary_judge.verdict(state, 0.01, 3)
    assert later.e_value < later.threshold <= later.e_value_max
    assert (later.kind, later.step_reached) == (VerdictKind.BETTER, 3)


def test_no_data_is_no_success() -> None:
    verdict = canary_judge.verdict(JudgeState(), 0.01, 3)
    assert (verdict.kind, verdict.step_reached, verdict.count) == (VerdictKind.UNDECIDED, 0, 0)
    assert verdict.mean_difference is None


@pytest.mark.parametrize("broken", [None, math.nan, math.inf, -math.inf, -0.5, 1.5])
@pytest.mark.parametrize("side", ["champion", "candidate", "both"])
def test_pairs_without_two_losses_never_promote(broken: float | None, side: str) -> None:
    state = JudgeState()
    for _ in range(400):
        champion = broken if side in ("champion", "both") else 1.0
        candidate = broken if side in ("candidate", "both") else 0.0
        state = canary_judge.update(state, champion, candidate)
    verdict = canary_judge.verdict(state, 0.01, 3)
    assert (verdict.kind, verdict.step_reached, verdict.count) == (VerdictKind.INVALID, 0, 0)
    assert verdict.invalid == 400
    # The champion has lost as much as can be lost: a candidate that fails loses no more.
    assert (state.promote, state.harm) == (JudgeState().promote, JudgeState().harm)


def test_a_candidate_that_fails_on_what_it_would_lose_is_promoted_no_more_often_than_one_that_loses() -> None:
    # Equally good, if to fail is to lose: each alone in the wrong in a fifth of the pairs. Few failures let pass.
    rng, rollouts, wrong = random.Random(5), 300, 0
    for _ in range(rollouts):
        state = JudgeState()
        for _ in range(60):
            draw = rng.random()
            candidate = math.nan if 0.2 <= draw < 0.4 else 0.0
            state = canary_judge.update(state, float(draw < 0.2), candidate)
        wrong += state.log_e_max >= -math.log(ALPHA)
    assert wrong / rollouts <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / rollouts)


def test_a_failure_of_the_candidate_counts_against_promotion_as_the_worst_loss_and_not_for_harm() -> None:
    failed, lost = (canary_judge.update(JudgeState(), 0.25, loss) for loss in (None, 1.0))
    assert failed.promote == lost.promote
    assert failed.harm == JudgeState().harm
    assert (failed.count, failed.total, failed.candidate_invalid) == (0, 0.0, 1)


def test_a_candidate_that_fails_on_some_records_is_not_promoted_for_the_rest() -> None:
    state = judged(random.Random(3), 2000, 0.2, 0.01)
    assert canary_judge.verdict(state, 0.01, 3).kind == VerdictKind.BETTER
    for _ in range(40):
        state = canary_judge.update(state, 0.0, math.nan)
    assert canary_judge.verdict(state, 0.01, 3).kind == VerdictKind.INVALID
    assert canary_judge.verdict(state, 0.01, 3, Limits(candidate_share=0.05)).kind == VerdictKind.BETTER


def test_a_harmful_candidate_is_worse_even_when_much_is_invalid() -> None:
    state = judged(random.Random(3), 2000, 0.01, 0.2)
    for _ in range(200):
        state = canary_judge.update(state, None, None)
        state = canary_judge.update(state, 0.0, None)
    assert canary_judge.verdict(state, 0.01, 3).kind == VerdictKind.WORSE


def test_long_runs_stay_finite() -> None:
    state = JudgeState()
    for _ in range(5000):
        state = canary_judge.update(state, 1.0, 0.0)
    verdict = canary_judge.verdict(state, 0.01, 3)
    assert all(map(math.isfinite, (verdict.e_value, verdict.e_value_harm, verdict.e_value_max)))
    json.dumps(verdict.to_json(), allow_nan=False)


@pytest.mark.parametrize(("alpha", "steps"), [(0.0, 3), (1.0, 3), (math.nan, 3), (0.01, 0)])
def test_a_rollout_without_meaning_is_refused(alpha: float, steps: int) -> None:
    with pytest.raises(ValueError, match="alpha"):
        canary_judge.verdict(JudgeState(), alpha, steps)
