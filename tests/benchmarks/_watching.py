"""The watch after a promotion: how soon a version that turns bad gives way to its predecessor.

The new version was better by 2 points, as a rollout lets none through that is not; then it alone turns bad. What
counts is the alarm on which the registry goes back (`former_did_better`), through the judge's own functions; beside it
the first alarm of the loss monitor, whatever it says of the predecessor.
"""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Mapping

import numpy as np

from services.monitoring import drift, loss_watch, paired_since
from services.monitoring.judge_state import ChampionWatch, JudgeState
from services.monitoring.outcome_losses import Judged
from services.monitoring.reference_loss import ReferenceState
from services.monitoring.version_facts import NoFacts
from shared.contracts import autocorrelation
from shared.contracts.platform import ModelState
from shared.contracts.watch import former_did_better
from tests import builders as b
from tests.benchmarks import _intervals as intervals
from tests.benchmarks._parallel import in_parallel
from tests.benchmarks._streams import flips
from tests.reports import Row

BEFORE, FORMER = 0.1, 0.12
RUN_LENGTH = 1e6
REFERENCE_OUTCOMES = 5_000
QUIET = 500
LONGEST = 20_000
CHUNK = 500
# Of the errors after the change, the delay of the loss monitor.
DELAYS = {0.15: 950.0, 0.2: 240.0, 0.3: 85.0}
MODEL = b.model(monitor={"expected_run_length": RUN_LENGTH, "reference_outcomes": REFERENCE_OUTCOMES})
DECIDED = ModelState(champion=2, former=1, promoted_at=1)


def watching(given: Namespace) -> list[Row]:
    """Two rows for each change."""
    pieces = [
        (seed, mean)
        for mean in DELAYS
        for seed in np.random.SeedSequence([given.seed, *f"watch {mean}".encode()]).spawn(given.runs)
    ]
    all_runs, found = in_parallel(_given_way, pieces), list[Row]()
    for at, (mean, most) in enumerate(DELAYS.items()):
        runs = all_runs[at * given.runs : (at + 1) * given.runs]
        early = sum(back < 0.0 for back, _ in runs)
        late = [run for run in runs if run[0] >= 0.0]
        title = f"on watch, {BEFORE:.2f} -> {mean:.2f}, former {FORMER:.2f}"
        found += [
            intervals.median(title, [back for back, _ in late], f"outcomes, {early} early", most=most),
            intervals.median("  the first alarm", [first for _, first in late], "outcomes"),
        ]
    return found


def _given_way(seed: np.random.SeedSequence, mean: float) -> tuple[float, float]:
    """Outcomes from the change until it gives way, negative if it did before, and until the first alarm."""
    rng, first = np.random.default_rng(seed), math.inf
    state, change = _promoted(rng), REFERENCE_OUTCOMES + QUIET
    position = REFERENCE_OUTCOMES
    while position < change + LONGEST:
        count = QUIET if position < change else CHUNK
        new, former = flips(rng, count, BEFORE if position < change else mean), flips(rng, count, FORMER)
        for one, other in zip(new.tolist(), former.tolist(), strict=True):
            position += 1
            outcome = Judged(position, f"t{position}", position, _ROW, True, {1: other, 2: one}, {})
            state, found = drift.watch_champion(state, MODEL, DECIDED, outcome, NoFacts())
            if found is None:
                continue
            if position > change:
                first = min(first, float(position - change))
            if former_did_better(found, 2, 1):
                return (float(position - change), first) if position > change else (-1.0, -1.0)
    return math.inf, first


def _promoted(rng: np.random.Generator) -> JudgeState:
    """Both versions on the outcomes that made the reference."""
    new, former = flips(rng, REFERENCE_OUTCOMES, BEFORE).tolist(), flips(rng, REFERENCE_OUTCOMES, FORMER).tolist()
    levels = autocorrelation.of_values(new)
    reference = ReferenceState(REFERENCE_OUTCOMES, RUN_LENGTH, levels=levels)
    watch = loss_watch.start(reference, MODEL.monitor.tolerance, RUN_LENGTH, REFERENCE_OUTCOMES)
    pairs: paired_since.Blocks = ()
    for at, (one, other) in enumerate(zip(new, former, strict=True)):
        pairs = paired_since.with_pair(pairs, at, one - other)
    return JudgeState(position=REFERENCE_OUTCOMES, champion=ChampionWatch(2, 1, watch, pairs=pairs))


_ROW: Mapping[str, int] = {"champion": 2}
