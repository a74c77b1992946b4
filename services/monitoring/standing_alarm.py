"""One alarm for one change: what follows an alarm is held back while that one stands.

A monitor starts again after each alarm, so on a model that stays worse it alarms again every few dozen outcomes; and
two of them, of the loss and of the residual, tell of the same change. An alarm of either stands until
- another version answers (the watch of a version begins without an alarm);
- what it was raised on, loss or residual, has recovered: over as many outcomes as made the reference, its mean is back
  below the level that is normal;
- what it led to is over, and the version still answers: the run failed, or its candidate went no further (one that
  waits for a person's approval has not come to its end); or
- the definition's retrain policy is another one, which may answer it otherwise.
Meanwhile one alarm passes all the same: the first that says, during the watch after a promotion, that the former
champion does better, for it calls for something else than the one that stands.

After what it led to has failed, the next alarm tells of the same change: it keeps its beginning (`since`), and its mean
is taken from there, unless it is the other monitor's, of whose statistic nobody has kept the sum since then. It is an
event of its own, so it may lead to a run of its own.

The monitors' guarantee stands: of their alarms some are held back, none is added.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from shared.contracts import control as c
from shared.contracts.definitions import Policy
from shared.contracts.platform import ModelState
from shared.contracts.watch import former_did_better


class StandingAlarm(NamedTuple):
    """The newest alarm of a change. `outcomes` and `total`: losses, or residuals, since the change; `block` and
    `block_total`: the newest of them, which are to show whether it has recovered."""

    drift_id: str
    since: int
    policy: Policy
    former_better: bool
    outcomes: int
    total: float
    block: int = 0
    block_total: float = 0.0
    monitor: Literal["loss", "residual"] = "loss"

    def to_json(self) -> dict[str, Any]:
        return self._asdict()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StandingAlarm:
        """The state that `to_json` wrote."""
        known = dict(data)
        return cls(policy=Policy(known.pop("policy")), **known)


def of(alarm: c.DriftDetected, outcomes: int, policy: Policy, decided: ModelState) -> StandingAlarm:
    """An alarm that was raised just now, `outcomes` after the change."""
    better = former_did_better(alarm, decided.champion, decided.former)
    total, monitor = outcomes * alarm.mean_since, "residual" if alarm.monitor == "residual" else "loss"
    return StandingAlarm(alarm.drift_id, alarm.since, policy, better, outcomes, total, monitor=monitor)


def after(standing: StandingAlarm, value: float | None, normal: float, needed: int) -> StandingAlarm | None:
    """With the loss, or the residual, of one more outcome; None: over the newest `needed` its mean was at most
    `normal`."""
    if value is None:
        return standing
    standing = standing._replace(
        outcomes=standing.outcomes + 1,
        total=standing.total + value,
        block=standing.block + 1,
        block_total=standing.block_total + value,
    )
    if standing.block < needed:
        return standing
    recovered = standing.block_total <= normal * standing.block
    return None if recovered else standing._replace(block=0, block_total=0.0)


def holds_back(standing: StandingAlarm, alarm: c.DriftDetected, policy: Policy, decided: ModelState) -> bool:
    """Whether the monitor's next alarm says nothing new."""
    if standing.policy is not policy or answered_in_vain(standing.drift_id, decided):
        return False
    return standing.former_better or not former_did_better(alarm, decided.champion, decided.former)


def same_change(standing: StandingAlarm, alarm: c.DriftDetected) -> c.DriftDetected:
    """The alarm, told from the beginning of the change."""
    told: dict[str, float] = {"since": standing.since}
    if alarm.monitor == standing.monitor:
        told["mean_since"] = standing.total / standing.outcomes
    return alarm.model_copy(update=told)


def answered_in_vain(drift_id: str, decided: ModelState) -> bool:
    """A run on this alarm is over, with all that came of it: the same version still answers."""
    if decided.answered != drift_id or decided.run is not None or decided.rollout is not None:
        return False
    ended = decided.last_run
    judged = not isinstance(ended, c.RunFinished) or any(v.run_id == ended.run_id for v in decided.versions.values())
    return judged and not decided.pending and decided.for_a_person is None
