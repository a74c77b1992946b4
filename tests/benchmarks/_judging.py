"""Wrong promotions of the canary judge, looked at after every outcome; how many outcomes a verdict takes; coverage."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable

import numpy as np

from services.monitoring import canary_judge, confidence_sequence
from services.monitoring.canary_batch import update_many
from services.monitoring.canary_judge import JudgeState
from shared.contracts.control import VerdictKind
from tests.benchmarks import _intervals as intervals
from tests.benchmarks._broken_rollouts import broken_rollouts
from tests.benchmarks._parallel import in_parallel
from tests.benchmarks._streams import Generator, Values
from tests.benchmarks._watching import watching
from tests.reports import Report, Row

ALPHA = 0.01
STEPS = 3
PIECES = 40
PAIRS = 3_000
LONGEST = 30_000
CHUNK = 500
COVERED = 5_000
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


def failing(rng: Generator, pairs: int) -> tuple[Values, Values]:
    """0/1 losses; the candidate says nothing wherever it would be wrong, a fifth of the time, as often as the champion
    is. Equally good, where to fail is to lose."""
    draw = rng.random(pairs)
    return (draw < 0.2).astype(np.float64), np.where((draw >= 0.2) & (draw < 0.4), np.nan, 0.0)


NULLS: dict[str, Pairs] = {
    "0/1 losses": tie,
    "log losses, certain and wrong": certain_and_wrong,
    "errors of a regression": spread,
    "it fails where it would lose": failing,
}
# Wins and losses of the candidate, as shares of all pairs, and after how many of them it is said.
VERDICTS = {VerdictKind.BETTER: (0.04, 0.02, 1_750.0), VerdictKind.WORSE: (0.08, 0.16, 390.0)}


def judging(given: Namespace, report: Report) -> None:
    """The part of the benchmark."""
    report.add(*_nulls(given))
    report.add(*_verdicts(given))
    report.add(*broken_rollouts(given))
    report.add(*_coverage(given))
    report.add(*watching(given))


def _nulls(given: Namespace) -> list[Row]:
    each = math.ceil(given.rollouts / PIECES)
    wrong = in_parallel(_wrong, [(seed, draw, each) for draw in NULLS.values() for seed in _seeds(given, draw, 1)])
    return [
        intervals.share(
            f"wrong promotions, {name}, {PAIRS:,} pairs", sum(wrong[at * PIECES : (at + 1) * PIECES]), each * PIECES,
            "of rollouts", most=ALPHA,
        )
        for at, name in enumerate(NULLS)
    ]  # fmt: skip


def _verdicts(given: Namespace) -> list[Row]:
    rows: list[Row] = []
    pieces = [
        (seed, wins, losses)
        for kind, (wins, losses, _) in VERDICTS.items()
        for seed in np.random.SeedSequence([given.seed, *kind.encode()]).spawn(given.runs)
    ]
    runs = in_parallel(_reached, pieces)
    for at, (kind, (wins, losses, most)) in enumerate(VERDICTS.items()):
        found = runs[at * given.runs : (at + 1) * given.runs]
        counts = [count if reached == kind else math.inf for count, reached in found]
        otherwise = sum(reached != kind for _, reached in found)
        title = f"{kind.value}: {100 * (wins - losses):+.0f} points, {100 * (wins + losses):.0f} % disagree"
        rows.append(intervals.median(title, counts, f"pairs, {otherwise} ended otherwise", most=most))
    return rows


def _coverage(given: Namespace) -> list[Row]:
    rows: list[Row] = []
    each = math.ceil(given.rollouts / PIECES)
    names = [name for name, draw in NULLS.items() if draw is not failing]
    pieces = in_parallel(
        _missed, [(seed, NULLS[name], each) for name in names for seed in _seeds(given, NULLS[name], 2)]
    )
    for at, name in enumerate(names):
        found = pieces[at * PIECES : (at + 1) * PIECES]
        missed, widths = sum(one for one, _ in found), [width for _, some in found for width in some]
        title = f"confidence sequence ever wrong, {name}"
        rows += [
            intervals.share(title, missed, each * PIECES, f"of {COVERED:,} pairs each", most=ALPHA),
            intervals.median("  its half width in the end", widths, "of the loss difference"),
        ]
    return rows


def _seeds(given: Namespace, draw: Pairs, salt: int) -> list[np.random.SeedSequence]:
    return np.random.SeedSequence([given.seed, salt, *draw.__name__.encode()]).spawn(PIECES)


def _wrong(seed: np.random.SeedSequence, draw: Pairs, rollouts: int) -> int:
    rng, wrong = np.random.default_rng(seed), 0
    for _ in range(rollouts):
        # A maximum once reached stays: so the last look says whether any look would have promoted. What the judge
        # says of failures later on does not count: it was promoted before.
        state = update_many(JudgeState(), *draw(rng, PAIRS))
        wrong += canary_judge.verdict(state, ALPHA, STEPS).e_value_max >= 1.0 / ALPHA
    return wrong


def _reached(seed: np.random.SeedSequence, wins: float, losses: float) -> tuple[float, VerdictKind]:
    rng, state = np.random.default_rng(seed), JudgeState()
    for _ in range(LONGEST // CHUNK):
        draw = rng.random(CHUNK)
        champion, candidate = draw < wins, (wins <= draw) & (draw < wins + losses)
        after = update_many(state, champion.astype(np.float64), candidate.astype(np.float64))
        if canary_judge.verdict(after, ALPHA, STEPS).kind == VerdictKind.UNDECIDED:
            state = after
            continue
        for one, other in zip(champion.tolist(), candidate.tolist(), strict=True):
            state = canary_judge.update(state, float(one), float(other))
            reached = canary_judge.verdict(state, ALPHA, STEPS).kind if one != other else VerdictKind.UNDECIDED
            if reached != VerdictKind.UNDECIDED:
                return float(state.count), reached
    return float(state.count), VerdictKind.UNDECIDED


def _missed(seed: np.random.SeedSequence, draw: Pairs, rollouts: int) -> tuple[int, list[float]]:
    """How many of the sequences leave out the mean, which is 0, at any count; and how wide they are in the end."""
    rng, missed, widths = np.random.default_rng(seed), 0, list[float]()
    for _ in range(rollouts):
        champion, candidate = draw(rng, COVERED)
        totals, squares = np.cumsum(candidate - champion), np.cumsum((candidate - champion) ** 2)
        missed += _leaves_out(totals, squares)
        lower, upper = confidence_sequence.bounds(COVERED, float(totals[-1]), float(squares[-1]), ALPHA)
        widths.append((upper - lower) / 2.0)
    return missed, widths


def _leaves_out(totals: Values, squares: Values) -> bool:
    # The bound on a sum only grows: a look at a sum within the newest one can be spared.
    at, reach = 0, 0.0
    while True:
        beyond = np.abs(totals[at:]) > reach
        if not beyond.any():
            return False
        at += int(beyond.argmax())
        lower, upper = confidence_sequence.bounds(at + 1, float(totals[at]), float(squares[at]), ALPHA)
        if not lower <= 0.0 <= upper:
            return True
        reach = max(reach, (at + 1) * upper - totals[at], totals[at] - (at + 1) * lower, abs(totals[at]))
        at += 1
        if at >= len(totals):
            return False
