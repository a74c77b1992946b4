"""When the inputs have moved, and which: e-detectors on bounded statistics of every input, under one guarantee.

For each statistic x of `feature_statistics` and each of its bets, N <- (N + w) (1 + bet (x - m0)), where the weights w
of all add up to 1: every feature has the same share, within it every statistic, within that every bet. Alarm when the
sum of all N reaches `expected_run_length`; then it starts again. Where records hang together, x is the mean of a block
of `block` records, and w that many times larger.

Guarantee: while the conditional mean of every x, given what came before, is at most its m0, (sum of N) - n is a
supermartingale, so the expected number of records to a false alarm is at least `expected_run_length`: one guarantee
for all inputs together, with no correction for how many there are. Sources: as `loss_monitor`; averages of e-detectors
are e-detectors: Shin, Ramdas, Rinaldo (2022), section 2.

A feature's share of the sum at the alarm ranks it. An alarm advises: inputs that move need not make the model worse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from services.monitoring.feature_statistics import BETS, Group, Row, Statistics
from services.monitoring.json_state import JsonState
from services.monitoring.pit_curve import Values


@dataclass(frozen=True, slots=True)
class MovedFeature(JsonState):
    """A feature in an alarm: its share of the evidence in [0, 1], the statistic that says most, and its bound m0."""

    feature: str
    share: float
    statistic: str
    null_mean: float


@dataclass(frozen=True, slots=True)
class FeatureAlarm(JsonState):
    """first_position: the first record since the monitor last (re)started. position: the record at which it alarmed.
    Feed the same records from the one to the other, and it comes again. features: the most moved first."""

    evidence: float
    threshold: float
    first_position: int
    position: int
    features: tuple[MovedFeature, ...]


class _Progress(NamedTuple):
    """Of one group: values [BETS, C] of the processes, and the block that is being filled: sums and counts [C]."""

    values: Values
    open_sums: Values
    open_counts: Values
    open_rows: int


class FeatureMonitorState(NamedTuple):
    """first_position: the first record since the monitor last (re)started. position: the newest record's."""

    threshold: float
    first_position: int
    position: int
    groups: tuple[_Progress, ...]
    alarms: int = 0

    def to_json(self) -> dict[str, Any]:
        """The state as a plain dict of JSON values, bit for bit."""
        groups = [[*(part.tolist() for part in group[:3]), group.open_rows] for group in self.groups]
        return {**self._asdict(), "groups": groups}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FeatureMonitorState:
        """The state that `to_json` wrote."""
        groups = tuple(
            _Progress(np.array(values).reshape(BETS, -1), np.array(sums), np.array(counts), rows)
            for values, sums, counts, rows in data["groups"]
        )
        return cls(data["threshold"], data["first_position"], data["position"], groups, data.get("alarms", 0))


RANKED = 5


def start(statistics: Statistics, expected_run_length: float, first_position: int = 0) -> FeatureMonitorState:
    """A monitor whose next record has position `first_position`. Raises ValueError for a run length below 1."""
    if not expected_run_length >= 1.0:
        raise ValueError(f"expected_run_length is {expected_run_length}; it counts records and is at least 1")
    return FeatureMonitorState(float(expected_run_length), first_position, first_position - 1, _nothing(statistics))


def update_many(
    state: FeatureMonitorState, statistics: Statistics, rows: Sequence[Row]
) -> tuple[FeatureMonitorState, list[FeatureAlarm]]:
    """The state after these records, and the alarms; in batches of any size the result is the same."""
    return advance(state, statistics, statistics.values(rows))


def advance(
    state: FeatureMonitorState, statistics: Statistics, values: Values
) -> tuple[FeatureMonitorState, list[FeatureAlarm]]:
    """`update_many` for values [rows, statistics] of `Statistics.values`."""
    alarms: list[FeatureAlarm] = []
    while len(values):
        groups, evidence = _taken(state, statistics, values)
        reached = np.flatnonzero(evidence >= state.threshold)
        if not len(reached):
            return state._replace(position=state.position + len(values), groups=groups), alarms
        count = int(reached[0]) + 1
        groups, _ = _taken(state, statistics, values[:count])
        state = state._replace(position=state.position + count, groups=groups)
        alarms.append(_alarm(state, statistics, float(evidence[count - 1])))
        state = state._replace(first_position=state.position + 1, groups=_nothing(statistics), alarms=state.alarms + 1)
        values = values[count:]
    return state, alarms


def _nothing(statistics: Statistics) -> tuple[_Progress, ...]:
    return tuple(
        _Progress(np.zeros(group.bets.shape), np.zeros(len(group.columns)), np.zeros(len(group.columns)), 0)
        for group in statistics.groups
    )


def _taken(state: FeatureMonitorState, statistics: Statistics, values: Values) -> tuple[tuple[_Progress, ...], Values]:
    """Each group after all of the values, and the sum of all processes after each row [rows]."""
    evidence, groups = np.zeros(len(values)), list[_Progress]()
    for group, progress in zip(statistics.groups, state.groups, strict=True):
        after, sums = (_by_record if group.block == 1 else _by_block)(
            group, progress, np.take(values, group.columns, axis=1)
        )
        groups.append(after)
        evidence += sums
    return tuple(groups), evidence


def _by_record(group: Group, progress: _Progress, values: Values) -> tuple[_Progress, Values]:
    excess = values - group.null_means
    excess[np.isnan(excess)] = 0.0  # what says nothing of a row neither gains nor loses
    history = excess[:, None, :] * group.bets
    history += 1.0
    before, grown = progress.values, np.empty(group.bets.shape)
    with np.errstate(over="ignore"):  # behind an alarm, where nothing of it is used
        for now in history:
            np.add(before, group.weights, out=grown)
            np.multiply(now, grown, out=now)
            before = now
        return progress._replace(values=before.copy()), _sums(history)


def _by_block(group: Group, progress: _Progress, values: Values) -> tuple[_Progress, Values]:
    evidence, now, first = np.zeros(len(values)), progress.values, 0
    sums, counts, rows = progress.open_sums, progress.open_counts, progress.open_rows
    while first < len(values):
        part = values[first : first + group.block - rows]
        evidence[first : first + len(part)] = _sums(now[None])[0]
        # One row after the other, so that where a batch ends does not round differently.
        sums = np.add.accumulate(np.vstack([sums, np.where(np.isnan(part), 0.0, part)]), axis=0)[-1]
        counts = counts + np.sum(~np.isnan(part), axis=0)
        rows, first = rows + len(part), first + len(part)
        if rows < group.block:
            break
        means = np.divide(sums, counts, out=group.null_means.copy(), where=counts > 0)
        now = (now + group.weights) * (1.0 + group.bets * (means - group.null_means))
        evidence[first - 1] = _sums(now[None])[0]
        sums, counts, rows = np.zeros(len(sums)), np.zeros(len(counts)), 0
    return _Progress(now, sums, counts, rows), evidence


def _sums(history: Values) -> Values:
    return history.reshape(len(history), -1).sum(axis=1)


def _alarm(state: FeatureMonitorState, statistics: Statistics, evidence: float) -> FeatureAlarm:
    known = statistics.statistics
    shares, bounds = np.zeros(len(known)), np.zeros(len(known))
    for group, progress in zip(statistics.groups, state.groups, strict=True):
        shares[group.columns] = progress.values.sum(axis=0) / evidence
        bounds[group.columns] = group.null_means
    of_feature: dict[str, float] = {}
    leading: dict[str, int] = {}
    for column, statistic in enumerate(known):
        name = statistic.feature
        of_feature[name] = of_feature.get(name, 0.0) + float(shares[column])
        if name not in leading or shares[column] > shares[leading[name]]:
            leading[name] = column
    first = sorted(of_feature, key=lambda name: (-of_feature[name], name))[:RANKED]
    return FeatureAlarm(
        evidence=evidence,
        threshold=state.threshold,
        first_position=state.first_position,
        position=state.position,
        features=tuple(
            MovedFeature(
                feature=name,
                share=of_feature[name],
                statistic=known[column].what,
                null_mean=float(bounds[column]),
            )
            for name in first
            for column in (leading[name],)
        ),
    )
