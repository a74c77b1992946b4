"""The window state of one entity in one view: which events it holds, and every feature as of a time.

A record counts towards a feature as of `at_ms` when at_ms - reach <= event time < at_ms, where the reach is the
feature's window, at most the view's ttl. A field that is missing or null is no event of that field; a text is none of
an aggregate of numbers. A result beyond the doubles is None. Sums are exact (`math.fsum`: rounded once), so that they
do not depend on the order in which events came.

The state answers in full for as-of times from `complete_from_ms` on (the newest event time less the allowed lateness).
For an earlier one, asked for by a record later than that, each feature still looks back no further than its reach
before `complete_from_ms`, whatever other features make the state hold.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from operator import mul
from typing import Any, Final, NamedTuple, cast

from shared.contracts.definitions import Aggregate, FeatureView
from shared.contracts.flow import InputValue
from shared.contracts.scalar_functions import load
from shared.inputs.series import Series
from shared.inputs.view_plan import RECORDS, DecayPlan, NewestPlan, SeriesPlan, WindowPlan, plan_of


class WindowState(NamedTuple):
    """What a view holds of one entity. Immutable; an older state stays valid when a newer one was made from it."""

    complete_from_ms: int
    series: Mapping[str, Series]

    def as_json(self) -> dict[str, Any]:
        """As the row of a table: times as gaps, only the fields that the view's features read."""
        return {"from": self.complete_from_ms, "of": {name: series.as_json() for name, series in self.series.items()}}

    @classmethod
    def from_json(cls, json: Mapping[str, Any]) -> WindowState:
        return cls(json["from"], {name: Series.from_json(series) for name, series in json["of"].items()})


def observe(
    view: FeatureView,
    state: WindowState | None,
    time_ms: int,
    order: str,
    value: Mapping[str, Any],
    *,
    allowed_lateness_ms: int = 0,
) -> WindowState:
    """The state with a record in it, without what neither window nor ttl can need any more.

    `order` is the record id, which puts events of one time in a fixed order. `allowed_lateness_ms` is that of the
    view's source.
    """
    complete_from_ms = time_ms - allowed_lateness_ms
    held: Mapping[str, Series] = {}
    if state is not None:
        complete_from_ms, held = max(complete_from_ms, state.complete_from_ms), state.series
    series: dict[str, Series] = {}
    for plan in plan_of(view).series:
        counts = plan.name == RECORDS
        one = held.get(plan.name) or Series.empty(not counts, plan.ordered)
        of = None if counts else load(value.get(plan.name))
        if counts or of is not None:
            # Minus zero equals zero, but is not the same bits: which of the two is the least would hang on their order.
            one = one.with_event(time_ms, order, of + 0.0 if type(of) is float else of)
        series[plan.name] = one.from_time(plan.keep_from_ms(complete_from_ms, one.newest_before(complete_from_ms)))
    return WindowState(complete_from_ms, series)


def evaluate(view: FeatureView, state: WindowState | None, at_ms: int) -> dict[str, InputValue]:
    """Every feature of the view as of `at_ms`, in the view's order. Without any event: 0.0 where counted or summed.

    mean, std (sample; of two or more), min, max, last and ewm_mean are None then; time_since_last is in seconds.
    ewm_mean weighs an event by 0.5 ** (age / half_life), normalised.
    """
    plan = plan_of(view)
    result = dict(plan.empty)
    if state is not None:
        for series_plan in plan.series:
            series = state.series.get(series_plan.name)
            if series is not None and series.start < series.end:
                _evaluate_series(series_plan, series, at_ms, max(at_ms, state.complete_from_ms), result)
    return result


def forget_ms(view: FeatureView, state: WindowState | None) -> int | None:
    """The last as-of time for which the state is of any use, None without a state.

    A timer due then, which fires when the watermark has passed it, may forget the entity.
    """
    if state is None:
        return None
    latest_ms = state.complete_from_ms
    for plan in plan_of(view).series:
        series = state.series.get(plan.name)
        if series is not None and series.start < series.end:
            latest_ms = max(latest_ms, series.times[series.end - 1] + plan.reach_ms)
    return latest_ms


def _evaluate_series(
    plan: SeriesPlan, series: Series, at_ms: int, complete_ms: int, result: dict[str, InputValue]
) -> None:
    """`complete_ms`: the as-of time, or, for one that comes too late, the earliest that the state answers in full."""
    before = bisect_left(series.times, at_ms, series.start, series.end)
    complete = before if complete_ms == at_ms else bisect_left(series.times, complete_ms, before, series.end)
    if before == series.start:
        return
    for window in plan.windows:
        first = bisect_left(series.times, complete_ms - window.reach_ms, series.start, before)
        if first < before:
            _evaluate_window(window, series, first, before, result)
    newest_ms = series.times[complete - 1]
    for newest in plan.newest:
        if before == complete and newest_ms >= complete_ms - newest.reach_ms:
            result[newest.name] = _of_newest(newest, series, before - 1, at_ms)
    for decay in plan.decays:
        from_ms = max(complete_ms - decay.reach_ms, newest_ms - decay.tail_ms)
        first = bisect_left(series.times, from_ms, series.start, before)
        result[decay.name] = _finite(_ewm_mean, *_numbers(series, first, before), decay)


def _of_newest(plan: NewestPlan, series: Series, at: int, at_ms: int) -> InputValue:
    if plan.aggregate is Aggregate.TIME_SINCE_LAST:
        return (at_ms - series.times[at]) / 1_000
    return None if series.values is None else series.values[at]


def _evaluate_window(plan: WindowPlan, series: Series, first: int, end: int, result: dict[str, InputValue]) -> None:
    if series.values is None:
        for name, _ in plan.aggregates:
            result[name] = float(end - first)
        return
    values = series.values[first:end]
    _, numbers = _numbers(series, first, end)
    total = _finite(math.fsum, numbers) if plan.of_total else None
    for name, aggregate in plan.aggregates:
        if aggregate is Aggregate.DISTINCT_COUNT:
            result[name] = float(len(set(values)))
        elif numbers:
            result[name] = total if aggregate is Aggregate.SUM else _finite(_OF_NUMBERS[aggregate], numbers, total)


def _numbers(series: Series, first: int, end: int) -> tuple[list[int], list[float]]:
    times, values = series.times[first:end], (series.values or [])[first:end]
    if series.numeric:
        return times, cast(list[float], values)
    numbers = [value for value in values if isinstance(value, float)]
    if len(numbers) < len(values):
        times = [time for time, value in zip(times, values, strict=True) if isinstance(value, float)]
    return times, numbers


def _finite(function: Callable[..., float | None], *arguments: Any) -> float | None:
    try:
        result = function(*arguments)
    # fsum of what overflows, and of infinities of both signs.
    except (OverflowError, ValueError):
        return None
    return result if result is not None and math.isfinite(result) else None


def _mean(numbers: Sequence[float], total: float | None) -> float | None:
    return None if total is None else total / len(numbers)


def _std(numbers: Sequence[float], total: float | None) -> float | None:
    if total is None or len(numbers) < 2:
        return None
    # Their mean may be off by a rounding: what never varies must have no deviation at all.
    if numbers[0] == numbers[-1] and min(numbers) == max(numbers):
        return 0.0
    mean = total / len(numbers)
    deviations = [number - mean for number in numbers]
    return math.sqrt(math.fsum(map(mul, deviations, deviations)) / (len(numbers) - 1))


def _ewm_mean(times: Sequence[int], numbers: Sequence[float], plan: DecayPlan) -> float | None:
    if not numbers:
        return None
    # Ages are taken from the newest event: the weights' ratio is the same, and they cannot all vanish.
    newest_ms, half_life_ms = times[-1], plan.half_life_ms
    weights = [0.5 ** ((newest_ms - time) / half_life_ms) for time in times]
    return math.fsum(map(mul, weights, numbers)) / math.fsum(weights)


_OF_NUMBERS: Final[Mapping[Aggregate, Callable[[Sequence[float], float | None], float | None]]] = {
    Aggregate.MEAN: _mean,
    Aggregate.STD: _std,
    Aggregate.MIN: lambda numbers, _: min(numbers),
    Aggregate.MAX: lambda numbers, _: max(numbers),
}
