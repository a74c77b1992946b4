"""Rollouts whose data are broken: through the judge's and the registry's own functions, how many are promoted. None.

All candidates are much better than the champion wherever they are compared: what is broken is all that stands against
them. The last row is of the same candidates with whole data.
"""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import numpy as np

from services.monitoring import verdicts
from services.monitoring.judge_state import JudgeState
from services.monitoring.outcome_losses import judged
from services.registry.line import Rollout
from services.registry.rollout import transition
from shared.contracts import control as c
from shared.contracts.envelope import Message
from shared.contracts.platform import Platform
from tests import builders as b
from tests.benchmarks import _intervals as intervals
from tests.benchmarks._parallel import in_parallel
from tests.benchmarks._streams import Generator
from tests.reports import Row
from tests.unit.registry import story

PIECES = 20
OUTCOMES = 400
# The candidate is right where the champion is wrong, in so many of the outcomes.
BETTER = 0.2
Row_ = dict[str, Any]
Broken = Callable[[Row_, Generator], Row_]


def whole(row: Row_, rng: Generator) -> Row_:
    return row


def not_finite(row: Row_, rng: Generator) -> Row_:
    return _candidate(row, [float(rng.choice((math.nan, math.inf)))])


def no_output(row: Row_, rng: Generator) -> Row_:
    return _candidate(row, [])


def no_probability(row: Row_, rng: Generator) -> Row_:
    return _candidate(row, [1.7])


def half_not_finite(row: Row_, rng: Generator) -> Row_:
    return not_finite(row, rng) if rng.random() < 0.5 else row


def without_champion(row: Row_, rng: Generator) -> Row_:
    return {**row, "outputs": {"2": row["outputs"]["2"]}}


def without_candidate(row: Row_, rng: Generator) -> Row_:
    return {**row, "outputs": {"1": row["outputs"]["1"]}}


def champion_not_finite(row: Row_, rng: Generator) -> Row_:
    return {**row, "outputs": {**row["outputs"], "1": [math.nan]}}


def unlabelled(row: Row_, rng: Generator) -> Row_:
    return {**row, "status": "unlabelled", "label": None}


def unknown_label(row: Row_, rng: Generator) -> Row_:
    return {**row, "label": "perhaps"}


def of_another_rollout(row: Row_, rng: Generator) -> Row_:
    return {**row, "rollout_id": "o1"}


KINDS: dict[str, Broken] = {
    "NaN or infinite": not_finite,
    "half of it NaN or infinite": half_not_finite,
    "empty output": no_output,
    "no probability": no_probability,
    "only the candidate answered": without_champion,
    "only the champion answered": without_candidate,
    "the champion's is NaN": champion_not_finite,
    "no labels": unlabelled,
    "labels outside the classes": unknown_label,
    "outcomes of another rollout": of_another_rollout,
}


def broken_rollouts(given: Namespace) -> list[Row]:
    """A row for each kind, and one of all that is whole."""
    each = max(1, given.rollouts // 40 // PIECES)
    kinds = {**KINDS, "nothing, for comparison": whole}
    pieces = [
        (seed, alter, each)
        for name, alter in kinds.items()
        for seed in np.random.SeedSequence([given.seed, *name.encode()]).spawn(PIECES)
    ]
    counts = in_parallel(_promoted, pieces)
    found: list[Row] = []
    for at, (name, alter) in enumerate(kinds.items()):
        promoted = sum(counts[at * PIECES : (at + 1) * PIECES])
        goal = {"least": 1.0} if alter is whole else {"most": 0.0}
        found.append(intervals.share(f"promoted, broken: {name}", promoted, each * PIECES, "of rollouts", **goal))
    stale, fresh = _stale(each * PIECES)
    found.append(intervals.share("promoted, broken: stale figures", stale, each * PIECES, "of verdicts", most=0.0))
    found.append(intervals.share("promoted, fresh figures, for comparison", fresh, 1, "of verdicts", least=1.0))
    return found


def _promoted(seed: np.random.SeedSequence, alter: Broken, rollouts: int) -> int:
    rng, platform = np.random.default_rng(seed), _platform()
    return sum(_is_promoted(rng, platform, alter) for _ in range(rollouts))


def _is_promoted(rng: Generator, platform: Platform, alter: Broken) -> bool:
    model, decided = platform.definitions.models[b.MODEL], platform.model(b.MODEL)
    state, registry = JudgeState(), Rollout(rollout_id="o2", candidate=2, champion=1, deadline_ms=2**60)
    registry = registry.model_copy(update={"phase": c.Phase.SHADOW})
    for position in range(1, OUTCOMES + 1):
        row = alter(_row(position, wrong=bool(rng.random() < BETTER)), rng)
        state, said = verdicts.judge_rollout(state, model, decided, judged(model, platform, row, position))
        for verdict in said:
            to = transition(registry, model.rollout, verdict)
            if to is not None and to.phase is c.Phase.PROMOTED:
                return True
            if to is not None and to.phase is not c.Phase.STEP:
                return False
            if to is not None:
                registry = registry.model_copy(update={"phase": to.phase, "step": to.step})
    return False


def _row(position: int, *, wrong: bool) -> Row_:
    outputs: dict[str, list[float]] = {"1": [0.1 if wrong else 0.9], "2": [0.9]}
    return {
        "record_id": f"t{position:05}", "due_ms": b.T0_MS + position, "status": "labelled", "label": 1.0,
        "outputs": outputs, "answered_by": 1, "champion": 1, "candidate": 2, "rollout_id": "o2",
    }  # fmt: skip


def _candidate(row: Row_, output: list[float]) -> Row_:
    return {**row, "outputs": {**row["outputs"], "2": output}}


def _platform() -> Platform:
    platform = Platform()
    model = b.model(monitor={"metric": "zero_one"})
    events = (
        b.founded(), b.applied(b.source(), b.label_source(), b.view(), model), b.registered(1), b.approved(1),
        b.promoted(1), b.registered(2), b.rollout_started(), b.rollout_advanced(),
    )  # fmt: skip
    for event in events:
        platform = platform.after(Message("", "bench", b.T0_MS, "", event))
    return platform


def _stale(count: int) -> tuple[int, int]:
    """Of so many verdicts that are all but the last too old for the registry: how many promote, of the old and last."""
    plane = story.in_shadow()
    rule = b.model().label
    promoted = 0
    for age in range(count):
        said = story.verdict(plane, 3, last_time_ms=plane.now_ms - rule.expires_after - 1 - 1_000 * age)
        promoted += any(isinstance(event, c.VersionPromoted) for event in said)
    said = story.verdict(plane, 3, last_time_ms=plane.now_ms)
    return promoted, int(any(isinstance(event, c.VersionPromoted) for event in said))
