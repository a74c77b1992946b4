"""How far the estimate of accuracy without labels is off, once the labels are known.

Made streams: a model is fitted on the first rows by the product's own search; then come windows of records without a
change, with more records from a region where labels are noisier (in one half of the runs the model cannot say so, a
linear one; in the other it can), and with other labels on the same inputs. Real stream: electricity, the model fitted
on rows from a random start on; runs overlap there, so that their interval is too narrow.
"""

from __future__ import annotations

import csv
import math
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import stats

from services.monitoring import estimated_quality
from services.monitoring.estimated_quality import ROWS, EstimateState
from services.training.calibration import calibration
from services.training.dataset import Dataset, LabelledRow
from services.training.evaluation import Loss, default_loss
from services.training.fit import fit
from services.training.fitted_model import FittedModel
from services.training.windows import judging_rows
from shared.contracts.calibration import Calibration
from tests.benchmarks._parallel import in_parallel
from tests.benchmarks._streams import Generator, Values
from tests.reports import Report, Row
from tests.shared_data import SHARED_DATA

FITTED_ROWS = 4_000
WINDOWS = 4
INPUTS = ("a", "b", "c", "d", "load")
# Records with a `load` above are hard: this share of them, and this one after the shift.
HARD_FROM, HARD, HARD_LATER = 0.8, 0.2, 0.6
FAMILIES = ("linear", "hist_gradient_boosting")
LATE_ROWS = 2_000
ELECTRICITY = ("period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")
ELECTRICITY_LATE, ELECTRICITY_FITTED, ELECTRICITY_WINDOWS = 48, 5_000, 16
MOST_OFF = 0.03

Sets = tuple[Values, Values]


class Errors(NamedTuple):
    """Mean absolute errors over the windows of a run: of the estimates, and of what stands beside them."""

    accuracy: float
    loss: float
    unweighted: float
    as_in_reference: float
    last_known: float
    shown: float


def estimating(given: Namespace, report: Report) -> None:
    """The part of the benchmark."""
    seeds = np.random.SeedSequence([given.seed, *b"estimating"]).spawn(given.estimates)
    runs = in_parallel(_made, [(seed, number) for number, seed in enumerate(seeds)])
    for name, most in (("no change", MOST_OFF), ("more hard records", MOST_OFF)):
        report.add(*_rows(name, [run[name] for run in runs], most))
    beside = [run["more hard records"].accuracy - run["more hard records"].unweighted for run in runs]
    report.add(_mean("  less than without density ratio", beside, "accuracy", 0.0))
    for name in ("other labels, not yet known", "other labels, known of late"):
        report.add(*_rows(name, [run[name] for run in runs]))
    if not (SHARED_DATA / "electricity.csv").exists():
        print("../shared/data/electricity.csv is absent: no figures on a real stream")
        return
    starts = np.random.SeedSequence([given.seed, *b"electricity"]).spawn(max(4, given.estimates // 8))
    for name, late in (("48", ELECTRICITY_LATE), ("2,000", LATE_ROWS)):
        found = in_parallel(_electricity, [(seed, number, late) for number, seed in enumerate(starts)])
        report.add(*_rows(f"electricity, labels {name} late", found))


def stream(rng: Generator, rows: int, weights: Values, hard: float) -> Sets:
    """Inputs [rows, 5] and labels [rows]; hard records differ by their load, and by noise in their labels."""
    x = rng.standard_normal((rows, len(INPUTS)))
    heavy = rng.random(rows) < hard
    x[:, 4] = np.where(heavy, rng.uniform(HARD_FROM, 1.0, rows), rng.uniform(0.0, HARD_FROM, rows))
    clear = 1.0 / (1.0 + np.exp(-2.5 * (x[:, :4] @ weights)))
    return x, (rng.random(rows) < np.where(heavy, 0.5 + 0.3 * (clear - 0.5), clear)).astype(np.float64)


def _made(seed: np.random.SeedSequence, number: int) -> dict[str, Errors]:
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal(4)
    weights /= np.linalg.norm(weights)
    # Half of the old rule and half of another one.
    other = np.roll(weights, 1) + weights
    other /= np.linalg.norm(other)
    fitted = _fitted(stream(rng, FITTED_ROWS, weights, HARD), INPUTS, FAMILIES[number % 2])
    rows, turned = WINDOWS * ROWS, stream(rng, (WINDOWS + 2) * ROWS + LATE_ROWS, other, HARD)
    return {
        "no change": _errors(fitted, stream(rng, rows, weights, HARD), INPUTS, rows),
        "more hard records": _errors(fitted, stream(rng, rows, weights, HARD_LATER), INPUTS, rows),
        "other labels, not yet known": _errors(fitted, (turned[0][:rows], turned[1][:rows]), INPUTS, rows),
        # From where on the reference is all of outcomes since the change.
        "other labels, known of late": _errors(fitted, turned, INPUTS, ROWS, first=LATE_ROWS),
    }


def _electricity(seed: np.random.SeedSequence, number: int, late: int) -> Errors:
    with (SHARED_DATA / "electricity.csv").open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    x = np.array([[float(record[name]) for name in ELECTRICITY] for record in records])
    y = np.array([float(record["class"]) for record in records])
    rows = ELECTRICITY_WINDOWS * ROWS
    live = int(np.random.default_rng(seed).integers(ELECTRICITY_FITTED, len(y) - rows - late))
    first = live - ELECTRICITY_FITTED
    fitted = _fitted((x[first:live], y[first:live]), ELECTRICITY, FAMILIES[number % 2])
    # The newest labels that a fit can have known are so late.
    after = slice(live + ELECTRICITY_LATE, live + ELECTRICITY_LATE + rows)
    return _errors(fitted, (x[after], y[after]), ELECTRICITY, late)


def _fitted(sets: Sets, names: Sequence[str], family: str) -> FittedModel:
    rows = [
        LabelledRow(f"{i:06d}", i, dict(zip(names, values, strict=True)), label)
        for i, (values, label) in enumerate(zip(sets[0].tolist(), sets[1].tolist(), strict=True))
    ]
    dataset = Dataset.from_rows([(name, "number") for name in names], rows, "binary")
    judging, loss = judging_rows(len(dataset)), default_loss("binary")
    model = fit(
        dataset, task="binary", families=[family], trials=1, seed=7, report_progress=lambda _: None, held_back=judging
    )
    held_back = dataset[model.fitted_rows :]
    outputs = model.predict(held_back.numbers, held_back.categories)
    losses = loss.bounded(loss.per_row(outputs, held_back.target))
    return replace(model, calibration=calibration(held_back, outputs, losses, ()))


def _errors(model: FittedModel, sets: Sets, names: Sequence[str], late: int, first: int = 0) -> Errors:
    """Over windows of ROWS records from `first` on; labels are known `late` records after theirs."""
    assert model.calibration is not None
    table, (x, y) = Calibration.from_json(model.calibration), sets
    said = model.predict(x.astype(np.float32), np.empty((len(x), 0), dtype=object))
    right = (said[:, 0] >= 0.5) == (y == 1.0)
    loss: Loss = default_loss("binary")
    losses = loss.bounded(loss.per_row(said, y))
    inputs = [dict(zip(names, values, strict=True)) for values in x.tolist()]
    outputs, state, found = said.tolist(), EstimateState(1, 0), list[Errors]()
    for i, (row, output) in enumerate(zip(inputs, outputs, strict=True)):
        state = estimated_quality.scored(state, table, (i, ""), row, output)
        if (known := i - late) >= 0:
            state = estimated_quality.labelled(
                state, table, (known, ""), inputs[known], outputs[known], bool(right[known]), float(losses[known])
            )
        if i >= first and (i + 1 - first) % ROWS == 0:
            window = slice(i + 1 - ROWS, i + 1)
            last_known = right[max(0, known + 1 - ROWS) : known + 1].mean() if known >= ROWS else math.nan
            found.append(_window(state, table, float(right[window].mean()), float(losses[window].mean()), last_known))
    columns = np.array(found).T
    means = [float(np.nanmean(column)) if np.isfinite(column).any() else math.nan for column in columns[:-1]]
    return Errors(*means, shown=float(columns[-1].mean()))


def _window(state: EstimateState, table: Calibration, accuracy: float, loss: float, last_known: float) -> Errors:
    estimate, plain = estimated_quality.estimate(state, table), _unweighted(state, table)
    counts = table.counts
    right = sum(k if p % table.bins >= table.zeros else n - k for p, (n, k) in enumerate(zip(*counts[:2], strict=True)))
    return Errors(
        math.nan if estimate is None else abs(estimate.accuracy - accuracy),
        math.nan if estimate is None else abs(estimate.loss - loss),
        abs(plain - accuracy),
        abs(right / sum(counts.rows) - accuracy),
        abs(last_known - accuracy),
        float(estimate is not None),
    )


def _unweighted(state: EstimateState, table: Calibration) -> float:
    """The same estimate, every reference row of one weight."""
    counts = estimated_quality.reference(state, table)
    levels = estimated_quality.weighted_levels(counts, table, [1.0] * table.leaves)
    rights = [levels.right[place % table.bins] for place in state.places]
    return float(np.mean([right for right in rights if right is not None]))


def _rows(name: str, found: Sequence[Errors], most: float | None = None) -> list[Row]:
    unit = f"accuracy, over {ROWS} records"
    beside: dict[str, Callable[[Errors], float]] = {
        "  the monitored loss, in [0, 1]": lambda run: run.loss,
        "  without density ratio": lambda run: run.unweighted,
        "  as on the rows held back": lambda run: run.as_in_reference,
        "  as the newest labelled records": lambda run: run.last_known,
        "  share of windows with an estimate": lambda run: run.shown,
    }
    rows = [_mean(f"estimate off by, {name}", [run.accuracy for run in found], unit, most)]
    for title, of in beside.items():
        values = [value for value in map(of, found) if math.isfinite(value)]
        if values:
            rows.append(_mean(title, values, "of windows" if "share" in title else "" if "loss" in title else unit))
    return rows


def _mean(name: str, values: Sequence[float], unit: str, most: float | None = None) -> Row:
    """The mean over runs, with Student's interval."""
    known = np.array([value for value in values if math.isfinite(value)])
    mean = float(known.mean())
    half = float(stats.t.ppf(0.975, len(known) - 1)) * float(known.std(ddof=1)) / math.sqrt(len(known))
    goal = "" if most is None else f"<= {most:g}"
    return Row(name, mean, mean - half, mean + half, unit, goal, None if most is None else mean - half <= most)
