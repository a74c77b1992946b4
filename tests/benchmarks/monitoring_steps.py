"""What an outcome costs in monitoring's tasks: `python -m tests.benchmarks.monitoring_steps`.

Microseconds of processor time for each record, through decode, handlers, timers, encode and the commit to a file in
memory: join (a prediction and its label in; scored and matured out) and judge (scored and matured in, four numbers and
a category, a rollout in progress, so that everything is computed). `waiting` rows are held by the judge throughout. The
residual is that of TREES trees, as many as training fits at most.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from typing import Any

from shared.contracts.flow import PredictionMade
from tests import builders as b
from tests.unit.monitoring.stepping import At, Stepping, history

T = b.T0_MS
STEP_MS = 1_000
KNOTS = [20.0 * i / 32 for i in range(33)]
NUMBERS = ("amount", "hour", f"{b.VIEW}.spend_mean_1h", f"{b.VIEW}.count_24h")
CATEGORIES = ["food"] * 5 + ["travel"] * 3 + ["web"] * 2
TREES = 40
REFERENCE: dict[str, Any] = {
    "rows": 5_000,
    "numbers": {name: {"quantiles": KNOTS, "missing": 0.0} for name in NUMBERS},
    "categories": {"category": {"frequencies": {"food": 0.5, "travel": 0.3, "web": 0.2}, "other": 0, "missing": 0}},
    "views": {b.VIEW: {"inputs": list(NUMBERS[2:]), "empty": 0.02}},
}
EXPECTED_LOSS: dict[str, Any] = {
    "base": 0.3,
    "cap": 0.6,
    "columns": [*({"input": name} for name in NUMBERS), {"output": 0}],
    "trees": [
        [
            [i % 5, 10.0, 1, 2, True, 0.0], [(i + 1) % 5, 5.0, 3, 4, True, 0.0],
            *([0, 0.0, -1, -1, True, value] for value in (0.001, -0.001, 0.002)),
        ]
        for i in range(TREES)
    ],
}  # fmt: skip


def pairs(count: int, seed: int) -> Sequence[tuple[PredictionMade, float]]:
    """Predictions of a champion and a candidate of equal quality, each with its label."""
    rng, made = random.Random(seed), list[tuple[PredictionMade, float]]()
    for i in range(count):
        label = float(rng.random() < 0.3)
        said = {v: {"artifact_sha256": b.SHA256, "output": [rng.random() * 0.5 + 0.3 * label]} for v in (1, 2)}
        inputs = {name: rng.random() * 20.0 for name in NUMBERS} | {"category": rng.choice(CATEGORIES)}
        named: dict[str, Any] = {"candidate": 2, "rollout_id": "o2", "step": 0, "inputs": inputs}
        made.append((b.prediction(record_id=f"t{i}", outputs=said, **named), label))
    return made


def judge_entries(count: int, waiting: int, seed: int) -> list[At | int]:
    entries: list[At | int] = []
    for i, (made, label) in enumerate(pairs(count, seed)):
        at = T + i * STEP_MS
        entries.append(At(at, b.scored(prediction=made, scored_ms=at), "x"))
        entries.append(At(at + 1, b.matured(prediction=made, label=label, scored_ms=at), "x"))
        if i % 10 == 0 and i > waiting // 2:
            entries.append(at - waiting // 2 * STEP_MS)
    return entries


def join_entries(count: int, seed: int) -> list[At | int]:
    entries: list[At | int] = []
    for i, (made, label) in enumerate(pairs(count, seed)):
        at = T + i * STEP_MS
        entries += [At(at, made, f"t{i}"), At(at + 1, b.label(label, join_id=f"t{i}", label_id=f"l{i}"), f"t{i}")]
        if i % 10 == 0:
            entries.append(at)
    return entries


def microseconds(step: str, entries: Sequence[At | int], count: int, batch: int, **monitor: bool) -> float:
    """Processor time for each of `count` records, the log taken in batches of `batch` entries. `monitor`: what the
    definition says of the monitors, which are on by default."""
    held_back = {"mean": 0.3, "upper": 0.35, "rows": 500}
    version = b.registered(1, reference=REFERENCE, held_back=held_back, expected_loss=EXPECTED_LOSS)
    rollout = (b.registered(2), b.rollout_started(), b.rollout_advanced())
    declared = b.applied(b.source(), b.label_source(), b.view(), b.model(monitor=monitor))
    stepping = Stepping(step, history(declared, version, b.promoted(1), *rollout))
    records = stepping.records(entries)
    began = time.process_time()
    for first in range(0, len(records), batch):
        stepping.task.process(records[first : first + batch], 0.0)
        stepping.task.unsent.clear()
    return (time.process_time() - began) / count * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="What an outcome costs in monitoring's tasks")
    parser.add_argument("--outcomes", type=int, default=6_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    n, seed = given.outcomes, given.seed
    print(f"{'task':<42}{'us a record':>12}")
    print(f"{'join, batches of 1000':<42}{microseconds('join', join_entries(n, seed), n, 1000):>12.0f}")
    for waiting, batch in ((50, 1000), (50, 100), (2000, 1000)):
        name = f"judge, {waiting} waiting, batches of {batch}"
        print(f"{name:<42}{microseconds('judge', judge_entries(n, waiting, seed), n, batch):>12.0f}")
    for off in (("residual",), ("features",), ("residual", "features")):
        without = dict.fromkeys(off, False)
        spent = microseconds("judge", judge_entries(n, 50, seed), n, 1000, **without)
        print(f"{'  50, 1000, without ' + ' and '.join(off):<42}{spent:>12.0f}")


if __name__ == "__main__":
    main()
