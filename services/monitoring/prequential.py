"""How good each version's answers have been: each outcome is scored before any model learns from it.

Three views of each metric: the mean since the start; the mean of the last `window` outcomes; and the fading mean,
S_i / N_i with S_i = x_i + fading S_(i-1), N_i = 1 + fading N_(i-1) (Gama, Sebastiao, Rodrigues, "On evaluating stream
learning algorithms", Machine Learning 90, 2013). The window is kept as sums of `blocks` blocks, so it covers between
window - window / blocks and window outcomes, and a state holds no rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from services.monitoring.json_state import JsonState


@dataclass(frozen=True, slots=True)
class Means(JsonState):
    """Mean of each metric over `count` outcomes; no metric when there is none."""

    count: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Figures(JsonState):
    """The three views; the fading view's count is that of the outcomes in it, of whatever weight."""

    total: Means
    window: Means
    fading: Means
    invalid: int


@dataclass(frozen=True, slots=True)
class Quality(JsonState):
    """Sums of one version, a tuple of sums in the order of the metrics; the newest block is the last."""

    count: int
    totals: tuple[float, ...]
    faded: tuple[float, ...]
    fading_weight: float
    block_counts: tuple[int, ...]
    block_totals: tuple[tuple[float, ...], ...]
    invalid: int = 0


@dataclass(frozen=True, slots=True)
class PrequentialState(JsonState):
    """The quality of each version of a model that has answered, by the version's name."""

    metrics: tuple[str, ...]
    window: int
    blocks: int
    fading: float
    versions: Mapping[str, Quality] = field(default_factory=dict[str, Quality])

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The state that `to_json` wrote."""
        versions = {name: Quality.from_json(quality) for name, quality in data["versions"].items()}
        return cls(tuple(data["metrics"]), data["window"], data["blocks"], data["fading"], versions)


def start(metrics: tuple[str, ...], window: int = 1000, blocks: int = 10, fading: float = 0.999) -> PrequentialState:
    """Nothing seen yet. `window` outcomes in `blocks` equal blocks; `fading` in (0, 1]. Raises ValueError."""
    if not metrics:
        raise ValueError("no metric to report; name at least one")
    if blocks < 2 or window < blocks or window % blocks:
        raise ValueError(f"a window of {window} outcomes has no {blocks} equal blocks; make it a multiple, 2 or more")
    if not 0.0 < fading <= 1.0:
        raise ValueError(f"fading is {fading}; it lies above 0 and is at most 1 (1 forgets nothing)")
    return PrequentialState(metrics, window, blocks, fading)


def update(state: PrequentialState, version: str, values: Mapping[str, float | None]) -> PrequentialState:
    """One outcome of `version`, with a figure for each metric. An outcome that lacks one, or has one that is not
    finite, is counted as invalid and moves no mean."""
    quality = state.versions.get(version) or _empty(len(state.metrics))
    row = row_of(state.metrics, values)
    quality = replace(quality, invalid=quality.invalid + 1) if row is None else _taken(quality, row, state)
    return replace(state, versions={**state.versions, version: quality})


def row_of(metrics: tuple[str, ...], values: Mapping[str, float | None]) -> tuple[float, ...] | None:
    """The figures in the order of the metrics; None unless all of them are there and finite."""
    numbers = [_finite(values.get(metric)) for metric in metrics]
    row = tuple(number for number in numbers if number is not None)
    return row if len(row) == len(metrics) else None


def forget(state: PrequentialState, version: str) -> PrequentialState:
    """The state without a version that answers no more; unchanged if it never did."""
    return replace(state, versions={name: kept for name, kept in state.versions.items() if name != version})


def figures(state: PrequentialState, version: str) -> Figures:
    """The three views of a version; of one that never answered, counts of 0."""
    quality = state.versions.get(version) or _empty(len(state.metrics))
    window_count = sum(quality.block_counts)
    window_totals = tuple(sum(column) for column in zip(*quality.block_totals, strict=True))
    return Figures(
        total=_means(state.metrics, quality.count, quality.totals, quality.count),
        window=_means(state.metrics, window_count, window_totals, window_count),
        fading=_means(state.metrics, quality.count, quality.faded, quality.fading_weight),
        invalid=quality.invalid,
    )


def _empty(width: int) -> Quality:
    zeros = (0.0,) * width
    return Quality(0, zeros, zeros, 0.0, (0,), (zeros,))


def _taken(quality: Quality, row: tuple[float, ...], state: PrequentialState) -> Quality:
    counts, totals = list(quality.block_counts), list(quality.block_totals)
    if counts[-1] >= state.window // state.blocks:
        counts, totals = [*counts, 0][-state.blocks :], [*totals, (0.0,) * len(row)][-state.blocks :]
    counts[-1] += 1
    totals[-1] = _sum(totals[-1], row)
    return replace(
        quality,
        count=quality.count + 1,
        totals=_sum(quality.totals, row),
        faded=tuple(state.fading * old + new for old, new in zip(quality.faded, row, strict=True)),
        fading_weight=state.fading * quality.fading_weight + 1.0,
        block_counts=tuple(counts),
        block_totals=tuple(totals),
    )


def _sum(left: tuple[float, ...], right: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(a + b for a, b in zip(left, right, strict=True))


def _means(metrics: tuple[str, ...], count: int, totals: tuple[float, ...], weight: float) -> Means:
    return Means(count, {name: total / weight for name, total in zip(metrics, totals, strict=True)} if count else {})


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
