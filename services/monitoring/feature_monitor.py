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
Features can be silenced: what they say is left out of the sum, which grows no faster for it, so the guarantee stands.
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
    """A feature in an alarm: its share of the evidence in [0, 1], the statistic that says most, and its bound m0.

    mean: of this statistic over the `count` records of the run that it says something of; reference_mean: under the
    reference.
    """

    feature: str
    share: float
    statistic: str
    null_mean: float
    reference_mean: float
    mean: float
    count: int


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
    """first_position: the first record since the monitor last (re)started. position: the newest record's. totals and
    counts, of each statistic [C]: over the records since then. silent: features that are left out."""

    threshold: float
    first_position: int
    position: int
    groups: tuple[_Progress, ...]
    totals: Values
    counts: Values
    alarms: int = 0
    silent: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The state as a plain dict of JSON values, bit for bit."""
        groups = [[*(part.tolist() for part in group[:3]), group.open_rows] for group in self.groups]
        sums = {"totals": self.totals.tolist(), "counts": self.counts.tolist()}
        return {**self._asdict(), "groups": groups, "silent": list(self.silent), **sums}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FeatureMonitorState:
        """The state that `to_json` wrote."""
        groups = tuple(
            _Progress(np.array(values).reshape(BETS, -1), np.array(sums), np.array(counts), rows)
            for values, sums, counts, rows in data["groups"]
        )
        return cls(
            threshold=data["threshold"],
            first_position=data["first_position"],
            position=data["position"],
            groups=groups,
            totals=np.array(data["totals"], dtype=np.float64),
            counts=np.array(data["counts"], dtype=np.float64),
            alarms=data["alarms"],
            silent=tuple(data["silent"]),
        )


RANKED = 5


def start(statistics: Statistics, expected_run_length: float, first_position: int = 0) -> FeatureMonitorState:
    """A monitor whose next record has position `first_position`. Raises ValueError for a run length below 1."""
    if not expected_run_length >= 1.0:
        raise ValueError(f"expected_run_length is {expected_run_length}; it counts records and is at least 1")
    zeros = np.zeros(len(statistics.statistics))
    threshold, before = float(expected_run_length), first_position - 1
    return FeatureMonitorState(threshold, first_position, before, _nothing(statistics), zeros, zeros)


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
        state, alarm, taken = until_alarm(state, statistics, values)
        values = values[taken:]
        if alarm is not None:
            alarms.append(alarm)
    return state, alarms


def until_alarm(
    state: FeatureMonitorState, statistics: Statistics, values: Values
) -> tuple[FeatureMonitorState, FeatureAlarm | None, int]:
    """The state after all of the values, or after those up to the first alarm, where it starts again; and how many
    these were."""
    groups, evidence = _taken(state, statistics, values)
    reached = np.flatnonzero(evidence >= state.threshold)
    count = int(reached[0]) + 1 if len(reached) else len(values)
    if len(reached):
        groups, _ = _taken(state, statistics, values[:count])
    totals, counts = _summed(state, values[:count])
    state = state._replace(position=state.position + count, groups=groups, totals=totals, counts=counts)
    if not len(reached):
        return state, None, count
    alarm = _alarm(state, statistics, float(evidence[count - 1]))
    again = start(statistics, state.threshold, state.position + 1)
    return again._replace(alarms=state.alarms + 1, silent=state.silent), alarm, count


def silenced(state: FeatureMonitorState, features: Sequence[str]) -> FeatureMonitorState:
    """Without these features from here on. For a state that has just started, or started again."""
    return state._replace(silent=tuple(sorted({*state.silent, *features})))


def _summed(state: FeatureMonitorState, values: Values) -> tuple[Values, Values]:
    """One row after the other, so that where a batch ends does not round differently."""
    given = ~np.isnan(values)
    sums = np.add.accumulate(np.vstack([state.totals, np.where(given, values, 0.0)]), axis=0)[-1]
    return sums, state.counts + given.sum(axis=0)


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
            group, progress, np.take(values, group.columns, axis=1), _weights(group, statistics, state.silent)
        )
        groups.append(after)
        evidence += sums
    return tuple(groups), evidence


def _weights(group: Group, statistics: Statistics, silent: tuple[str, ...]) -> Values:
    if not silent:
        return group.weights
    features = [statistics.statistics[column].feature for column in group.columns]
    return np.where(np.isin(features, silent), 0.0, group.weights)


def _by_record(group: Group, progress: _Progress, values: Values, weights: Values) -> tuple[_Progress, Values]:
    excess = values - group.null_means
    excess[np.isnan(excess)] = 0.0  # what says nothing of a row neither gains nor loses
    history = excess[:, None, :] * group.bets
    history += 1.0
    before, grown = progress.values, np.empty(group.bets.shape)
    with np.errstate(over="ignore"):  # behind an alarm, where nothing of it is used
        for now in history:
            np.add(before, weights, out=grown)
            np.multiply(now, grown, out=now)
            before = now
        return progress._replace(values=before.copy()), _sums(history)


def _by_block(group: Group, progress: _Progress, values: Values, weights: Values) -> tuple[_Progress, Values]:
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
        now = (now + weights) * (1.0 + group.bets * (means - group.null_means))
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
                reference_mean=known[column].mean,
                mean=float(state.totals[column] / max(1.0, state.counts[column])),
                count=int(state.counts[column]),
            )
            for name in first
            if of_feature[name] > 0.0
            for column in (leading[name],)
        ),
    )
