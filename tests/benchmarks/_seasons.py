"""Losses with a season that the inputs show: the monitor on residuals beside the one on losses, and river's ADWIN.

The expected loss is fitted by training on rows that stand for the held-back ones, for each reference anew; the bound is
that of the next outcomes, as in service. The stream begins anywhere in the season.
"""

from __future__ import annotations

import math
from argparse import Namespace
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.monitoring import loss_monitor, residual_allowance
from services.monitoring.loss_monitor import LossMonitorState
from services.training.dataset import Dataset
from services.training.expected_loss import expected_loss
from shared.contracts.expected_loss import ExpectedLoss
from tests.benchmarks import _adwins as adwins
from tests.benchmarks import _intervals as intervals
from tests.benchmarks._losses import monitor_of
from tests.benchmarks._parallel import in_parallel
from tests.benchmarks._streams import Generator, Values, flips, seasonal
from tests.benchmarks._trees import Columns, values_of
from tests.reports import Report, Row

MEAN = 0.1
AMPLITUDE = 0.03
PERIOD = 2_000
RUN_LENGTH = 1e6
HELD_BACK_ROWS = 5_000
REFERENCE_OUTCOMES = 5_000
REFERENCES = 200
# Of the outcomes without a change.
SHARE = 0.5
QUIET = 1_000
LONGEST = 20_000
STRETCH = 2_000
MILLION = 1e6
# Of the errors after the change, the season aside, the delay that must be reached.
DELAYS = {0.15: 950.0, 0.2: 240.0, 0.3: 85.0}
INPUTS = ("hour", "amount", "weight")


def seasons(given: Namespace, report: Report) -> None:
    """The part of the benchmark."""
    references = max(10, min(REFERENCES, int(2 * given.millions)))
    seeds = np.random.SeedSequence([given.seed, *b"season"]).spawn(references)
    each = int(given.millions * SHARE * MILLION / references)
    beside, runs = int(each * given.adwin), -(-given.runs // references)
    found = in_parallel(_reference, [(seed, each, beside, runs) for seed in seeds])
    nulls, per = [one.null for one in found], "a million outcomes"
    report.add(
        intervals.rate_of(
            "false alarms, season in x: residuals", [n.residuals for n in nulls], each / MILLION, per, most=1.0
        ),
        intervals.rate_of("  the monitor on losses", [n.losses for n in nulls], beside / MILLION, per),
        intervals.rate_of("  ADWIN on losses", [n.adwin for n in nulls], beside / MILLION, per),
        intervals.rate_of("  ADWIN on residuals", [n.adwin_residuals for n in nulls], beside / MILLION, per),
        Row.of("  trees of an expected loss", [float(one.trees) for one in found], "trees"),
    )
    for place, (mean, most) in enumerate(DELAYS.items()):
        report.add(*_delays([one.delays[place] for one in found], mean, most))


def _delays(found: list[list[Delay]], mean: float, most: float) -> list[Row]:
    """Of each reference, those of its runs; a run that alarmed before the change counts as such."""
    early = sum(delay.outcomes < 0 for runs in found for delay in runs)
    title, unit = f"delay, season in x, {MEAN:.2f} -> {mean:.2f}: residuals", f"outcomes, {early} early"
    late = [[delay.outcomes for delay in runs if delay.outcomes >= 0] for runs in found]
    adwin = [[delay.adwin for delay in runs] for runs in found]
    return [
        intervals.median_of(title, late, unit, most=most),
        intervals.median_of("  ADWIN on losses", adwin, "outcomes"),
    ]


@dataclass(frozen=True, slots=True)
class Null:
    """Alarms without a change: of the monitor on residuals, of that on losses, of ADWIN on each."""

    residuals: int
    losses: int
    adwin: int
    adwin_residuals: int


@dataclass(frozen=True, slots=True)
class Delay:
    """Outcomes from the change to the alarm; -1 for one that came before."""

    outcomes: float
    adwin: float


@dataclass(frozen=True, slots=True)
class Found:
    """Of one reference."""

    trees: int
    null: Null
    delays: list[list[Delay]]


class Season:
    """An endless stream; `take` goes on from the newest outcome."""

    def __init__(self, rng: Generator) -> None:
        self.rng, self.position = rng, int(rng.integers(PERIOD))

    def take(self, count: int, rise: float = 0.0) -> tuple[Columns, Values]:
        """Inputs and an output of a model, of which only the hour tells of the season; 0/1 losses [count]."""
        first, self.position = self.position, self.position + count
        hour = ((first + np.arange(count)) % PERIOD) * (24.0 / PERIOD)
        noise = self.rng.standard_normal((3, count))
        columns = np.vstack([hour, noise]).astype(np.float32)
        return columns, flips(self.rng, count, seasonal(count, first, MEAN + rise, AMPLITUDE, PERIOD))


@dataclass(frozen=True, slots=True)
class Version:
    """What monitors of a version stand on: its expected loss, and its two references."""

    expected: ExpectedLoss
    residuals: LossMonitorState
    losses: LossMonitorState

    def mapped(self, columns: Columns, losses: Values) -> Values:
        """Residuals in [-cap, 1] as [0, 1]."""
        return mapped(self.expected, columns, losses)


def mapped(model: ExpectedLoss, columns: Columns, losses: Values) -> Values:
    """`ExpectedLoss.residual` of all, as (r + cap) / (1 + cap)."""
    expected = values_of(model, columns)
    weights = np.minimum(1.0, model.cap / np.maximum(expected, 1e-12))
    return ((losses - expected) * weights + model.cap) / (1.0 + model.cap)


def fitted(columns: Columns, losses: Values) -> ExpectedLoss:
    """What training fits on held-back rows; the last column is the model's output."""
    count = columns.shape[1]
    rows = Dataset(
        task="binary", names=INPUTS, kinds=("number",) * len(INPUTS), numbers=columns[: len(INPUTS)].T,
        categories=np.empty((count, 0), dtype=object), target=np.zeros(count, dtype=np.int64), ids=("",) * count,
        time_ms=np.arange(count, dtype=np.int64),
    )  # fmt: skip
    outputs: npt.NDArray[np.float32] = columns[len(INPUTS) :].T
    found = expected_loss(rows, outputs, losses)
    assert found is not None
    return ExpectedLoss.from_json(found)


def version_of(stream: Season) -> Version:
    """The next rows are held back, those after them the first in service."""
    expected = fitted(*stream.take(HELD_BACK_ROWS))
    columns, losses = stream.take(REFERENCE_OUTCOMES)
    residuals = mapped(expected, columns, losses)
    _checked(expected, columns, losses, residuals)
    residual_length = residual_allowance.run_length(RUN_LENGTH)
    return Version(expected, monitor_of(residuals, residual_length), monitor_of(losses, RUN_LENGTH))


def _checked(model: ExpectedLoss, columns: Columns, losses: Values, residuals: Values) -> None:
    """What is computed for all at once is what monitoring computes for each."""
    for place in range(0, len(losses), 100):
        inputs = {name: float(columns[i, place]) for i, name in enumerate(INPUTS)}
        loss = float(losses[place])
        one = model.residual(loss, model.of(inputs, [float(columns[len(INPUTS), place])]))
        assert abs((one + model.cap) / (1.0 + model.cap) - residuals[place]) < 1e-12


def _reference(seed: np.random.SeedSequence, outcomes: int, beside: int, runs: int) -> Found:
    stream = Season(np.random.default_rng(seed))
    version = version_of(stream)
    delays = [[_delay(version, stream.rng, mean) for _ in range(runs)] for mean in DELAYS]
    return Found(len(version.expected.trees), _null(version, stream, outcomes, beside), delays)


def _null(version: Version, stream: Season, outcomes: int, beside: int) -> Null:
    on_residuals, on_losses = version.residuals, version.losses
    adwin, adwin_residuals = adwins.Watch(), adwins.Watch()
    for first in range(0, outcomes, LONGEST):
        columns, losses = stream.take(min(LONGEST, outcomes - first))
        residuals = version.mapped(columns, losses)
        on_residuals, _ = loss_monitor.update_many(on_residuals, residuals.tolist())
        on_losses, _ = loss_monitor.update_many(on_losses, losses[: max(0, beside - first)].tolist())
        adwin.take(losses[: max(0, beside - first)])
        adwin_residuals.take(residuals[: max(0, beside - first)])
    return Null(on_residuals.alarms, on_losses.alarms, adwin.alarms, adwin_residuals.alarms)


def _delay(version: Version, rng: Generator, mean: float) -> Delay:
    """Of a stream that begins anywhere in the season. ADWIN has seen as much as made the reference."""
    stream, adwin = Season(rng), adwins.Watch()
    adwin.take(stream.take(REFERENCE_OUTCOMES)[1])
    columns, losses = stream.take(QUIET)
    state, early = loss_monitor.update_many(version.residuals, version.mapped(columns, losses).tolist())
    adwin.take(losses)
    found, its = -1.0 if early else math.inf, math.inf
    for first in range(0, LONGEST, STRETCH):
        columns, losses = stream.take(STRETCH, mean - MEAN)
        if found == math.inf:
            state, alarms = loss_monitor.update_many(state, version.mapped(columns, losses).tolist())
            found = alarms[0].position - QUIET + 1.0 if alarms else found
        its = first + adwin.first_of(losses) if its == math.inf else its
        if math.inf not in (found, its):
            break
    return Delay(found, its)
