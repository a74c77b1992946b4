"""What the decisions of monitoring do in simulation: `python -m tests.benchmarks.decisions --seed 1`.

Prints a table with 95 % intervals: false alarms per million outcomes and delays of the loss monitor (0/1 losses of
mean 0.10, the reference estimated anew in every run), wrong promotions and paired outcomes of the canary judge, and
how often the shifted one of 50 features is named first. The pure methods themselves run here, none a copy of them.
Intervals: exact Poisson and binomial (Clopper and Pearson 1934, Garwood 1936); medians by order statistics.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from services.monitoring import canary_judge, loss_monitor, reference_loss
from services.monitoring.canary_judge import JudgeState
from services.monitoring.feature_reference import read_reference
from services.monitoring.feature_shift import ShiftWindow, ranked, update_many
from shared.contracts.control import VerdictKind

NULL_MEAN = 0.1
RUN_LENGTH = 1e6
ALPHA = 0.01
CONFIDENCE = 0.8


@dataclass(frozen=True)
class Row:
    """One line of the table: a figure and its 95 % interval."""

    name: str
    value: float
    low: float
    high: float
    note: str


def flips(rng: np.random.Generator, count: int, mean: float) -> list[float]:
    """0/1 losses, independent, of the given mean."""
    return (rng.random(count) < mean).astype(float).tolist()


def estimated_upper(rng: np.random.Generator, count: int) -> float:
    """The bound that `count` reference outcomes give."""
    total = sum(flips(rng, count, NULL_MEAN))
    return reference_loss.upper_mean(count, total, total, CONFIDENCE)[1]


def false_alarms(rng: np.random.Generator, outcomes: int, references: int, reference_count: int) -> Row:
    """Alarms per million outcomes without a change, spread over fresh references."""
    alarms = 0
    for _ in range(references):
        state = loss_monitor.start(estimated_upper(rng, reference_count), 0.0, RUN_LENGTH)
        alarms += len(loss_monitor.update_many(state, flips(rng, outcomes // references, NULL_MEAN))[1])
    low, high = poisson_interval(alarms)
    millions = outcomes / 1e6
    return Row(
        f"false alarms per million, reference of {reference_count}",
        alarms / millions,
        low / millions,
        high / millions,
        f"{alarms} in {millions:g} million, {references} references",
    )


def delays(rng: np.random.Generator, mean: float, runs: int, reference_count: int) -> list[Row]:
    """Outcomes from the change to the alarm after 1,000 quiet ones, and the error of the estimated change."""
    found, dated, early, missed = list[float](), list[float](), 0, 0
    for _ in range(runs):
        state = loss_monitor.start(estimated_upper(rng, reference_count), 0.0, RUN_LENGTH)
        state, alarms = loss_monitor.update_many(state, flips(rng, 1000, NULL_MEAN))
        early += len(alarms)
        for _ in range(200):
            state, alarms = loss_monitor.update_many(state, flips(rng, 250, mean))
            if alarms:
                found.append(alarms[0].position - 999.0)
                dated.append(alarms[0].change_position - 1000.0)
                break
        else:
            found.append(math.inf)
            missed += 1
    name = f"delay {NULL_MEAN:.2f} -> {mean:.2f}, reference of {reference_count}"
    return [
        median_row(name, found, f"{early} early, {missed} not within 50,000, of {runs}"),
        median_row("  its estimated change, off by", dated, "outcomes"),
    ]


def judge_nulls(
    rng: random.Random, name: str, rollouts: int, pairs: int, draw: Callable[[random.Random], tuple[float, float]]
) -> Row:
    """Rollouts of a candidate that is no better, looked at after every pair, that were promoted."""
    wrong = 0
    for _ in range(rollouts):
        state = JudgeState()
        for _ in range(pairs):
            state = canary_judge.update(state, *draw(rng))
        wrong += canary_judge.verdict(state, ALPHA, 3).e_value_max >= 1.0 / ALPHA
    low, high = binomial_interval(wrong, rollouts)
    return Row(f"wrong promotions, {name}", wrong / rollouts, low, high, f"{wrong} of {rollouts} over {pairs} pairs")


def judge_delays(rng: random.Random, kind: VerdictKind, wins: float, losses: float, runs: int) -> Row:
    """Paired outcomes until the verdict; `wins` and `losses` are the candidate's, as shares of all pairs."""
    found, other = list[float](), 0
    for _ in range(runs):
        state, reached = JudgeState(), VerdictKind.UNDECIDED
        while reached == VerdictKind.UNDECIDED and state.count < 30_000:
            draw = rng.random()
            champion, candidate = float(draw < wins), float(wins <= draw < wins + losses)
            state = canary_judge.update(state, champion, candidate)
            if champion != candidate:
                reached = canary_judge.verdict(state, ALPHA, 3).kind
        found.append(float(state.count) if reached == kind else math.inf)
        other += reached != kind
    name = f"pairs until {kind.value}, {100 * (wins - losses):+.0f} points, {100 * (wins + losses):.0f} % disagree"
    return median_row(name, found, f"{other} of {runs} ended otherwise")


def named_first(rng: np.random.Generator, shift: float, records: int, runs: int) -> Row:
    """How often the one of 50 normal features that moved by `shift` standard deviations is ranked first."""
    names = [f"x{i}" for i in range(50)]
    sample = rng.standard_normal((5000, len(names)))
    knots = np.quantile(sample, np.linspace(0, 1, 257), axis=0)
    reference = read_reference(
        {"numbers": {name: {"quantiles": knots[:, i].tolist(), "missing": 0.0} for i, name in enumerate(names)}}
    )
    hits = 0
    for run in range(runs):
        recent = rng.standard_normal((records, len(names)))
        recent[:, run % len(names)] += shift
        rows = [dict(zip(names, values, strict=True)) for values in recent.tolist()]
        window = update_many(ShiftWindow(block_size=records), reference, rows)
        hits += ranked(reference, window)[0].feature == names[run % len(names)]
    low, high = binomial_interval(hits, runs)
    return Row(f"named first of 50, {shift:g} sd, {records} records", hits / runs, low, high, f"{hits} of {runs}")


def median_row(name: str, values: list[float], note: str) -> Row:
    """The median, with the order statistics that hold it with at least 95 %."""
    ordered, count = sorted(values), len(values)
    rank, below = 0, 0.5**count
    while below <= 0.025:
        rank += 1
        below += math.comb(count, rank) * 0.5**count
    rank = max(0, rank - 1)
    return Row(name, statistics.median(ordered), ordered[rank], ordered[count - 1 - rank], note)


def poisson_interval(count: int) -> tuple[float, float]:
    """Garwood's exact 95 % interval of a Poisson mean."""

    def at_most(mean: float, k: int) -> float:
        return sum(math.exp(i * math.log(mean) - mean - math.lgamma(i + 1)) for i in range(k + 1))

    low = 0.0 if count == 0 else solve(lambda m: 1.0 - at_most(m, count - 1) - 0.025, 1e-9, count + 1.0)
    return low, solve(lambda m: 0.025 - at_most(m, count), 1e-9, count + 10.0 * math.sqrt(count + 1.0))


def binomial_interval(hits: int, count: int) -> tuple[float, float]:
    """Clopper and Pearson's exact 95 % interval of a rate."""

    def at_most(p: float, k: int) -> float:
        logs = (
            math.lgamma(count + 1)
            - math.lgamma(i + 1)
            - math.lgamma(count - i + 1)
            + i * math.log(p)
            + (count - i) * math.log1p(-p)
            for i in range(k + 1)
        )
        return sum(map(math.exp, logs))

    low = 0.0 if hits == 0 else solve(lambda p: 1.0 - at_most(p, hits - 1) - 0.025, 1e-12, 1.0 - 1e-12)
    high = 1.0 if hits == count else solve(lambda p: 0.025 - at_most(p, hits), 1e-12, 1.0 - 1e-12)
    return low, high


def solve(rising: Callable[[float], float], low: float, high: float) -> float:
    """The zero of a rising function, by halving."""
    for _ in range(80):
        middle = (low + high) / 2.0
        low, high = (middle, high) if rising(middle) < 0.0 else (low, middle)
    return high


def tie(rng: random.Random) -> tuple[float, float]:
    """0/1 losses, each version alone in the wrong in 3 % of the pairs."""
    draw = rng.random()
    return float(draw < 0.03), float(0.03 <= draw < 0.06)


def certain_and_wrong(rng: random.Random) -> tuple[float, float]:
    """A candidate that mostly gains a little and rarely is certain and wrong: the mean difference is 0."""
    return (0.0, 0.98) if rng.random() < 0.02 else (0.02, 0.0)


def rows_of(seed: int) -> list[Row]:
    """The whole table, from one seed."""
    rng, plain = np.random.default_rng(seed), random.Random(seed)
    rows = [false_alarms(rng, 8_000_000, 200, count) for count in (1000, 5000)]
    for count in (1000, 5000):
        for mean, runs in ((0.15, 200), (0.2, 300), (0.3, 300)):
            rows += delays(rng, mean, runs, count)
    rows.append(judge_nulls(plain, "0/1 losses", 800, 3000, tie))
    rows.append(judge_nulls(plain, "rare full losses", 800, 1500, certain_and_wrong))
    rows.append(judge_delays(plain, VerdictKind.BETTER, 0.04, 0.02, 200))
    rows.append(judge_delays(plain, VerdictKind.WORSE, 0.08, 0.16, 300))
    rows += [named_first(rng, shift, records, 200) for shift, records in ((0.5, 240), (1.0, 80))]
    return rows


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description="Simulated figures of the monitoring decisions")
    parser.add_argument("--seed", type=int, default=1)
    seed: int = parser.parse_args().seed
    began = time.perf_counter()
    rows = rows_of(seed)
    width = max(len(row.name) for row in rows)
    print(f"seed {seed}; run length {RUN_LENGTH:g}; reference confidence {CONFIDENCE}; alpha {ALPHA}")
    for row in rows:
        print(f"{row.name:{width}}  {row.value:9.4g}  [{row.low:.4g}, {row.high:.4g}]  {row.note}")
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
