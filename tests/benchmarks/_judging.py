"""Wrong promotions of the canary judge, looked at after every outcome, and how many outcomes a verdict takes."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable

import numpy as np

from services.monitoring import canary_judge
from services.monitoring.canary_judge import JudgeState
from shared.contracts.control import VerdictKind
from tests.benchmarks import _intervals as intervals
from tests.benchmarks._parallel import in_parallel
from tests.benchmarks._streams import Generator, Values
from tests.reports import Report, Row

ALPHA = 0.01
STEPS = 3
PIECES = 80
LONGEST = 30_000
# Losses [pairs] of the champion and of the candidate.
Pairs = Callable[[Generator, int], tuple[Values, Values]]


def tie(rng: Generator, pairs: int) -> tuple[Values, Values]:
    """0/1 losses, each version alone in the wrong in 3 % of the pairs."""
    draw = rng.random(pairs)
    return (draw < 0.03).astype(np.float64), ((draw >= 0.03) & (draw < 0.06)).astype(np.float64)


def certain_and_wrong(rng: Generator, pairs: int) -> tuple[Values, Values]:
    """Log losses: a candidate that mostly gains a little, and rarely is certain and wrong; the mean difference is 0."""
    wrong = rng.random(pairs) < 0.02
    return np.where(wrong, 0.0, 0.02), np.where(wrong, 0.98, 0.0)


def spread(rng: Generator, pairs: int) -> tuple[Values, Values]:
    """Errors of a regression, clipped and scaled, of two versions that are equally good."""
    noise, own = rng.standard_normal(pairs), rng.standard_normal((2, pairs))
    errors = np.minimum(np.abs(noise + 0.5 * own) / 4.0, 1.0)
    return errors[0], errors[1]


NULLS: dict[str, tuple[Pairs, int]] = {
    "0/1 losses": (tie, 3_000),
    "log losses, certain and wrong": (certain_and_wrong, 1_500),
    "errors of a regression": (spread, 1_500),
}


def judging(given: Namespace, report: Report) -> None:
    """The part of the benchmark."""
    for name, (draw, pairs) in NULLS.items():
        report.add(_nulls(given, name, draw, pairs))
    report.add(*_verdicts(given, VerdictKind.BETTER, 0.04, 0.02, 1_750.0))
    report.add(*_verdicts(given, VerdictKind.WORSE, 0.08, 0.16, 390.0))


def _nulls(given: Namespace, name: str, draw: Pairs, pairs: int) -> Row:
    seeds = np.random.SeedSequence([given.seed, *name.encode()]).spawn(PIECES)
    each = math.ceil(given.rollouts / PIECES)
    wrong = sum(in_parallel(_wrong, [(seed, draw, each, pairs) for seed in seeds]))
    title = f"wrong promotions, {name}, {pairs:,} pairs"
    return intervals.share(title, wrong, each * PIECES, "of rollouts", most=ALPHA)


def _verdicts(given: Namespace, kind: VerdictKind, wins: float, losses: float, most: float) -> list[Row]:
    """`wins` and `losses` are the candidate's, as shares of all pairs."""
    seeds = np.random.SeedSequence([given.seed, *kind.encode()]).spawn(given.runs)
    found = in_parallel(_reached, [(seed, wins, losses) for seed in seeds])
    counts = [count if reached == kind else math.inf for count, reached in found]
    otherwise = sum(reached != kind for _, reached in found)
    title = f"{kind.value}: {100 * (wins - losses):+.0f} points, {100 * (wins + losses):.0f} % disagree"
    return [intervals.median(title, counts, f"pairs, {otherwise} ended otherwise", most=most)]


def _wrong(seed: np.random.SeedSequence, draw: Pairs, rollouts: int, pairs: int) -> int:
    rng, wrong = np.random.default_rng(seed), 0
    for _ in range(rollouts):
        state, (champion, candidate) = JudgeState(), draw(rng, pairs)
        # A maximum once reached stays: so the last look says whether any look would have promoted.
        for before, after in zip(champion.tolist(), candidate.tolist(), strict=True):
            if before != after:
                state = canary_judge.update(state, before, after)
        wrong += canary_judge.verdict(state, ALPHA, STEPS).e_value_max >= 1.0 / ALPHA
    return wrong


def _reached(seed: np.random.SeedSequence, wins: float, losses: float) -> tuple[float, VerdictKind]:
    rng, state, reached = np.random.default_rng(seed), JudgeState(), VerdictKind.UNDECIDED
    for draw in rng.random(LONGEST).tolist():
        champion, candidate = float(draw < wins), float(wins <= draw < wins + losses)
        state = canary_judge.update(state, champion, candidate)
        if champion != candidate:
            reached = canary_judge.verdict(state, ALPHA, STEPS).kind
            if reached != VerdictKind.UNDECIDED:
                break
    return float(state.count), reached
