"""The pictures of `docs/deciding.md`: small SVG files whose bytes depend on the figures alone.

What is drawn of single streams is played here, by the product's own methods; the rest is read from the report's rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from services.monitoring import canary_judge, feature_monitor, loss_monitor, missed_saving
from services.monitoring.canary_judge import JudgeState
from services.monitoring.feature_monitor import FeatureMonitorState
from services.monitoring.feature_statistics import Statistics
from services.monitoring.loss_monitor import LossMonitorState
from services.monitoring.missed_saving import Missed
from services.monitoring.outcome_losses import Judged
from shared.contracts.control import VerdictKind
from shared.contracts.losses import Invalid, LossSpec, bounded_loss
from shared.contracts.platform import ModelState
from tests import builders as b
from tests.benchmarks import _inputs, _judging, _losses, _seasons
from tests.benchmarks._streams import Generator, Values, flips, seasonal
from tests.benchmarks._trees import values_of
from tests.reports import Row

# Text stays text, so that files are small and do not hang on the fonts of a machine.
STYLE: Any = {
    "svg.hashsalt": "headrace",
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
OURS, THEIRS, FAINT = "#1f5a96", "#c0562b", "#999999"
LOWEST = 0.1
EVERY = 5
# Of the stream of what was missed: outcomes, those before the change begins, how many it takes, and how large it gets.
STREAM, QUIET, SLOW, MOST_WEIGHT = 15_000, 3_000, 9_000, 4.0
SPEC = LossSpec("binary", "log_loss")
MODEL = b.model(monitor={"metric": "log_loss"}, retrain={"policy": "evidence", "cost": 50.0, "horizon": 10_000})


def drawn(seed: int, rows: Sequence[Row], folder: Path) -> list[Path]:
    """All pictures for which `rows` suffice."""
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        rng = np.random.default_rng([seed, *b"plots"])
        figures = {
            "evidence": _evidence(rng),
            "season": _season(rng),
            "inputs": _moved_input(rng),
            "delays": _delays(rows),
            "references": _references(rows),
            "rollout": _rollout(np.random.default_rng([seed, *b"rollout"])),
            "missed": _missed(np.random.default_rng([seed, *b"missed"])),
        }
        return [_saved(figure, folder / f"{name}.svg") for name, figure in figures.items() if figure is not None]


def _saved(figure: Figure, file: Path) -> Path:
    figure.savefig(file, format="svg", metadata={"Date": None}, bbox_inches="tight")
    return file


def _axes(figure: Figure, place: int = 111) -> Any:
    return figure.add_subplot(place)


def _path(state: LossMonitorState, losses: Values) -> tuple[list[float], Any]:
    """The evidence after each outcome, and the first alarm, where it ends."""
    found: list[float] = []
    for loss in losses.tolist():
        state, alarm = loss_monitor.update(state, loss)
        if alarm is not None:
            return [*found, alarm.evidence], alarm
        found.append(loss_monitor.evidence(state))
    return found, None


def _thinned(found: Sequence[float]) -> tuple[Values, Values]:
    """Every fifth, and the last."""
    places = np.unique([*range(0, len(found), EVERY), len(found) - 1])
    return places.astype(np.float64), np.maximum(np.array(found)[places], LOWEST)


def _evidence(rng: Generator) -> Figure:
    """One stream whose error rises from .10 to .20 after 2,000 outcomes."""
    state = _losses.monitor_of(flips(rng, _losses.REFERENCE_OUTCOMES, 0.1))
    means = np.where(np.arange(4_000) < 2_000, 0.1, 0.2)
    found, alarm = _path(state, flips(rng, len(means), means))
    figure = Figure(figsize=(7, 2.8))
    axes = _axes(figure)
    axes.semilogy(*_thinned(found), color=OURS, linewidth=1)
    axes.axhline(state.threshold, color=FAINT, linestyle="--", linewidth=1)
    axes.axvline(2_000, color=THEIRS, linewidth=1)
    axes.text(30, 2 * state.threshold, "threshold = expected_run_length", color="#555555")
    axes.text(1_980, 2e5, "the error rises", color=THEIRS, ha="right")
    if alarm is not None:
        axes.plot([alarm.change_position], [LOWEST], marker="^", color=OURS, clip_on=False)
        axes.text(alarm.change_position - 20, 2 * LOWEST, "dated here", color=OURS, ha="right")
    axes.set(xlabel="outcome", ylabel="evidence", ylim=(LOWEST, 1e7))
    return figure


def _season(rng: Generator) -> Figure:
    """One version on losses with a season: what is expected, and the evidence of both monitors on the same outcomes."""
    stream = _seasons.Season(rng)
    version, first = _seasons.version_of(stream), stream.position
    columns, losses = stream.take(8_000)
    figure = Figure(figsize=(7, 4.6))
    above, below = _axes(figure, 211), _axes(figure, 212)
    truth = seasonal(len(losses), first, _seasons.MEAN, _seasons.AMPLITUDE, _seasons.PERIOD)
    places = np.arange(0, len(losses), EVERY)
    above.plot(places, values_of(version.expected, columns)[places], color=OURS, linewidth=0.4)
    above.plot(places, truth[places], color=THEIRS, linewidth=1.5)
    above.set(ylabel="mean loss", ylim=(0.05, 0.16))
    above.text(0, 0.152, "the season", color=THEIRS)
    above.text(2_000, 0.152, "what is expected of each record", color=OURS)
    for monitor, values, color in (
        (version.losses, losses, THEIRS),
        (version.residuals, version.mapped(columns, losses), OURS),
    ):
        found, _ = _path(monitor, values)
        below.semilogy(*_thinned(found), color=color, linewidth=0.8)
    below.axhline(version.residuals.threshold, color=FAINT, linestyle="--", linewidth=1)
    below.set(xlabel="outcome", ylabel="evidence", ylim=(LOWEST, 1e7))
    below.text(0, 2.0 * version.residuals.threshold, "threshold", color="#555555")
    below.text(2_000, 2.0 * version.residuals.threshold, "on losses", color=THEIRS)
    below.text(4_000, 2.0 * version.residuals.threshold, "on residuals", color=OURS)
    return figure


def _moved_input(rng: Generator) -> Figure:
    """The evidence by input where one of 50 moves by half a standard deviation after 500 records."""
    statistics = _inputs.statistics_on(_inputs.independent(rng, 0, _inputs.REFERENCE_ROWS))
    values, moved = _inputs.independent(rng, 0, 1_500), 17
    values[500:, moved] += 0.5
    state, found = feature_monitor.start(statistics, _inputs.RUN_LENGTH), list[Values]()
    for row in _inputs.rows_of(values):
        state, alarms = feature_monitor.update_many(state, statistics, [row])
        if alarms:
            break
        found.append(_by_input(state, statistics))
    figure = Figure(figsize=(7, 2.8))
    axes, paths = _axes(figure), np.maximum(np.stack(found), LOWEST)
    for place in range(0, len(_inputs.NAMES), 4):
        if place != moved:
            axes.semilogy(*_thinned(paths[:, place].tolist()), color=FAINT, linewidth=0.4)
    axes.semilogy(*_thinned(paths[:, moved].tolist()), color=OURS, linewidth=1.5)
    axes.axhline(state.threshold, color=FAINT, linestyle="--", linewidth=1)
    axes.axvline(500, color=THEIRS, linewidth=1)
    axes.text(490, 2e5, "one of 50 moves", color=THEIRS, ha="right")
    axes.text(10, 2 * state.threshold, "threshold of the sum of all", color="#555555")
    axes.set(xlabel="record", ylabel="evidence by input", ylim=(LOWEST, 1e7))
    return figure


def _by_input(state: FeatureMonitorState, statistics: Statistics) -> Values:
    of, places = np.zeros(len(_inputs.NAMES)), {name: i for i, name in enumerate(_inputs.NAMES)}
    for group, progress in zip(statistics.groups, state.groups, strict=True):
        owners = [places[statistics.statistics[column].feature] for column in group.columns.tolist()]
        np.add.at(of, owners, progress.values.sum(axis=0))
    return of


def _delays(rows: Sequence[Row]) -> Figure | None:
    """The median delay by the error after the change, from the report."""
    titles = [f"delay, i.i.d. losses, {_losses.MEAN:.2f} -> {mean:.2f}" for mean in _losses.DELAYS]
    ours, theirs = [_row(rows, title) for title in titles], [_row(rows, title, "  ADWIN") for title in titles]
    figure = Figure(figsize=(5, 2.8))
    axes = _axes(figure)
    for found, color, name in ((ours, OURS, "loss monitor"), (theirs, THEIRS, "ADWIN")):
        known = [one for one in found if one is not None]
        if len(known) < len(titles):
            return None
        _with_intervals(axes, list(_losses.DELAYS), known, color, name)
    axes.set(xlabel="error after the change (before: 0.10)", ylabel="outcomes to the alarm", yscale="log")
    axes.legend(frameon=False)
    return figure


def _references(rows: Sequence[Row]) -> Figure | None:
    """False alarms by the size of the reference, with and without its uncertainty in the bound, from the report."""
    sizes = _losses.SIZES
    titles = [_losses.of_size(size) for size in sizes]
    bounded, plain = [_row(rows, title) for title in titles], [_row(rows, title, _losses.PLAIN) for title in titles]
    figure = Figure(figsize=(5, 2.8))
    axes = _axes(figure)
    pairs = ((plain, THEIRS, "against the sample's mean"), (bounded, OURS, "against the bound"))
    for found, color, name in pairs:
        known = [one for one in found if one is not None]
        if len(known) < len(sizes):
            return None
        _with_intervals(axes, list(sizes), known, color, name)
    axes.axhline(1.0, color=FAINT, linestyle="--", linewidth=1)
    axes.set(xlabel="outcomes in the reference", ylabel="false alarms a million", xscale="log")
    axes.set_yscale("symlog", linthresh=1.0)
    axes.set_ylim(0.0)
    axes.legend(frameon=False)
    return figure


def _rollout(rng: Generator) -> Figure:
    """The evidence of two rollouts, for the candidate and against it: one that is better, and one that is worse."""
    figure, needed = Figure(figsize=(7, 2.8)), 1.0 / _judging.ALPHA
    for place, (kind, (wins, losses, _)) in enumerate(_judging.VERDICTS.items(), start=1):
        axes, found = figure.add_subplot(1, 2, place), _evidence_of_rollout(rng, kind, wins, losses)
        for of, color, name in ((0, OURS, "that it is better"), (1, THEIRS, "that it is worse")):
            axes.semilogy(*_thinned([pair[of] for pair in found]), color=color, linewidth=1)
            if place == 1 + of:
                axes.text(0, 1.4 * needed, name, color=color)
        for step in range(1, _judging.STEPS + 1):
            reached = needed ** (step / _judging.STEPS)
            axes.axhline(reached, color=FAINT, linestyle="--" if step == _judging.STEPS else ":", linewidth=1)
        axes.set(xlabel="pair", ylim=(LOWEST, 4.0 * needed))
        axes.set_title(f"wins {wins:.0%}, loses {losses:.0%} of the pairs", fontsize=10)
    figure.axes[0].set_ylabel("evidence")
    return figure


def _evidence_of_rollout(rng: Generator, kind: VerdictKind, wins: float, losses: float) -> list[tuple[float, float]]:
    """Both evidences after each pair, until the verdict."""
    state, found = JudgeState(), list[tuple[float, float]]()
    while len(found) < _judging.LONGEST:
        draw = float(rng.random())
        state = canary_judge.update(state, float(draw < wins), float(wins <= draw < wins + losses))
        said = canary_judge.verdict(state, _judging.ALPHA, _judging.STEPS)
        found.append((said.e_value, said.e_value_harm))
        if said.kind is kind:
            break
    return found


def _missed(rng: Generator) -> Figure:
    """What was missed along a stream in which a second input comes to matter; each run fits what is true by then."""
    cost, (amounts, runs) = MODEL.retrain.cost, _retrained(rng)
    figure = Figure(figsize=(7, 2.8))
    axes, places = _axes(figure), np.arange(0, STREAM, EVERY)
    axes.plot(places, np.array(amounts)[places], color=OURS, linewidth=1)
    axes.plot(runs, [cost] * len(runs), "o", color=OURS, markersize=5)
    axes.axhline(cost, color=FAINT, linestyle="--", linewidth=1)
    axes.axvline(QUIET, color=THEIRS, linewidth=1)
    axes.text(8_000, 1.04 * cost, "cost: a run is due", color="#555555")
    axes.text(QUIET - 50, 0.5 * cost, "a second input\nbegins to matter", color=THEIRS, ha="right")
    axes.set(xlabel="outcome", ylabel="missed", ylim=(0.0, 1.2 * cost))
    return figure


def _retrained(rng: Generator) -> tuple[list[float], list[int]]:
    """After each outcome what was missed; and when a run was due, whose version knows the present rule."""
    amounts, runs, known, state = list[float](), list[int](), 0.0, Missed(1, 0)
    for at in range(STREAM):
        version, (x, y) = 1 + len(runs), rng.standard_normal(2).tolist()
        weight = MOST_WEIGHT * min(1.0, max(0.0, (at - QUIET) / SLOW))
        label, output = float(rng.random() < _chance(x + weight * y)), [_chance(x + known * y)]
        row = {"champion": version, "inputs": {"x": x, "y": y}, "label": label, "outputs": {str(version): output}}
        loss = bounded_loss(SPEC, output, label)
        assert not isinstance(loss, Invalid)
        outcome = Judged(at + 1, f"r{at}", at, row, True, {version: loss}, {version: SPEC})
        state, said = missed_saving.watch(state, MODEL, ModelState(champion=version, promoted_at=0), outcome, None)
        amounts.append(0.0 if state is None else state.amount)
        if said is not None:
            known, state = weight, Missed(version + 1, 0)
            runs.append(at)
    return amounts, runs


def _chance(score: float) -> float:
    return 1.0 / (1.0 + math.exp(-score))


def _with_intervals(axes: Any, at: Sequence[float], rows: Sequence[Row], color: str, name: str) -> None:
    values = np.array([row.value for row in rows])
    ends = np.array([[row.value - row.low for row in rows], [row.high - row.value for row in rows]])
    axes.errorbar(at, values, yerr=ends, color=color, label=name, marker="o", markersize=3, linewidth=1, capsize=2)


def _row(rows: Sequence[Row], title: str, below: str | None = None) -> Row | None:
    """The row of that name; with `below`, the first of that name behind it."""
    place = next((i for i, row in enumerate(rows) if row.name == title), None)
    if place is None or below is None:
        return None if place is None else rows[place]
    return next((row for row in rows[place + 1 :] if row.name == below), None)
