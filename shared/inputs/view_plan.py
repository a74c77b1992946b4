"""What the features of a view ask of an entity's events, worked out once per view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from shared.contracts.definitions import Aggregate, Feature, FeatureView
from shared.contracts.flow import InputValue

# The series of all records of an entity, for what counts records; every other series is named for its field.
RECORDS: Final = "*"
# An exponential weight below 2**-64 of the largest adds nothing to a double.
HALF_LIVES: Final = 64

_NEWEST_ONLY: Final = (Aggregate.LAST, Aggregate.TIME_SINCE_LAST)
_OF_TOTAL: Final = (Aggregate.SUM, Aggregate.MEAN, Aggregate.STD)


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """Aggregates over the same events. `reach_ms`: how far back they look."""

    reach_ms: int
    aggregates: tuple[tuple[str, Aggregate], ...]
    of_total: bool


@dataclass(frozen=True, slots=True)
class NewestPlan:
    """A feature of the newest event within `reach_ms`."""

    name: str
    aggregate: Aggregate
    reach_ms: int


@dataclass(frozen=True, slots=True)
class DecayPlan:
    """An exponentially weighted mean. `tail_ms`: how far behind the newest event it looks."""

    name: str
    reach_ms: int
    half_life_ms: int
    tail_ms: int


@dataclass(frozen=True, slots=True)
class SeriesPlan:
    """One field's events, or all records. `ordered`: ties in time are told apart, by record id."""

    name: str
    windows: tuple[WindowPlan, ...]
    newest: tuple[NewestPlan, ...]
    decays: tuple[DecayPlan, ...]
    ordered: bool
    reach_ms: int

    def keep_from_ms(self, complete_from_ms: int, anchor_ms: int | None) -> int:
        """The earliest event time of use to any as-of time from `complete_from_ms` on.

        `anchor_ms` is the newest event time before it, all that the newest event and decays need from before.
        """
        keep_ms = complete_from_ms - max((window.reach_ms for window in self.windows), default=0)
        if anchor_ms is None:
            return keep_ms
        for newest in self.newest:
            keep_ms = min(keep_ms, max(complete_from_ms - newest.reach_ms, anchor_ms))
        for decay in self.decays:
            keep_ms = min(keep_ms, max(complete_from_ms - decay.reach_ms, anchor_ms - decay.tail_ms))
        return keep_ms


@dataclass(frozen=True, slots=True)
class ViewPlan:
    """The series that a view keeps, and its features' values where there is no event, in the view's order."""

    series: tuple[SeriesPlan, ...]
    empty: dict[str, InputValue]

    @classmethod
    def of(cls, view: FeatureView) -> ViewPlan:
        by_series: dict[str, dict[str, Feature]] = {}
        for name, feature in view.features.items():
            by_series.setdefault(feature.of or RECORDS, {})[name] = feature
        series = tuple(_series_plan(name, features, view.ttl) for name, features in by_series.items())
        return cls(series, {name: _EMPTY.get(feature.aggregate) for name, feature in view.features.items()})


_EMPTY: Final = {Aggregate.COUNT: 0.0, Aggregate.SUM: 0.0, Aggregate.DISTINCT_COUNT: 0.0}


def reach_ms(feature: Feature, ttl_ms: int) -> int:
    """How far back a feature looks: its window, but nothing older than the view's ttl."""
    return ttl_ms if feature.over is None else min(feature.over, ttl_ms)


def _series_plan(name: str, features: dict[str, Feature], ttl_ms: int) -> SeriesPlan:
    windows: dict[int, list[tuple[str, Aggregate]]] = {}
    newest: list[NewestPlan] = []
    decays: list[DecayPlan] = []
    for key, feature in features.items():
        reach = reach_ms(feature, ttl_ms)
        if feature.aggregate in _NEWEST_ONLY:
            newest.append(NewestPlan(key, feature.aggregate, reach))
        elif feature.half_life is not None:
            decays.append(DecayPlan(key, reach, feature.half_life, HALF_LIVES * feature.half_life))
        else:
            windows.setdefault(reach, []).append((key, feature.aggregate))
    return SeriesPlan(
        name,
        tuple(WindowPlan(r, tuple(a), any(x in _OF_TOTAL for _, x in a)) for r, a in windows.items()),
        tuple(newest),
        tuple(decays),
        any(feature.aggregate is Aggregate.LAST for feature in features.values()),
        max(reach_ms(feature, ttl_ms) for feature in features.values()),
    )


_PLANS: dict[int, tuple[FeatureView, ViewPlan]] = {}


def plan_of(view: FeatureView) -> ViewPlan:
    """`ViewPlan.of(view)`, kept by identity: to hash a definition for every record would cost too much."""
    found = _PLANS.get(id(view))
    # The view is kept beside its plan, so that its identity cannot pass to another.
    if found is None or found[0] is not view:
        if len(_PLANS) >= 1_000:
            _PLANS.clear()
        found = _PLANS[id(view)] = (view, ViewPlan.of(view))
    return found[1]
