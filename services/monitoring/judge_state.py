"""What is kept of a model between two outcomes: what waits, how many are decided, and the state of each decision.

Named tuples: every outcome makes a new one of each, at a quarter of what a frozen dataclass costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import PlainSerializer, PlainValidator

from services.monitoring import canary_judge
from services.monitoring.decided_order import Waiting
from services.monitoring.feature_monitor import FeatureMonitorState
from services.monitoring.feature_shift import ShiftWindow
from services.monitoring.loss_watch import WatchState
from services.monitoring.prequential import PrequentialState
from services.monitoring.standing_alarm import StandingAlarm


class ChampionWatch(NamedTuple):
    """The loss of a version since it answers, and beside it that of the former champion, paired.

    `since` is the control position of its promotion: a version that comes back is watched anew. `standing`: the alarm
    that stands, if one does. `residual`: beside the loss, where its run says what it is expected to lose.
    """

    version: int
    since: int
    watch: WatchState
    pairs: int = 0
    difference: float = 0.0  # sum of champion's - former's loss over the pairs
    standing: StandingAlarm | None = None
    residual: WatchState | None = None

    def to_json(self) -> dict[str, Any]:
        standing, residual = self.standing and self.standing.to_json(), self.residual and self.residual.to_json()
        return {**self._asdict(), "watch": self.watch.to_json(), "standing": standing, "residual": residual}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ChampionWatch:
        """The state that `to_json` wrote."""
        watch = WatchState.from_json(data["watch"])
        standing = StandingAlarm.from_json(data["standing"]) if data["standing"] else None
        residual = WatchState.from_json(data["residual"]) if data.get("residual") else None
        return cls(data["version"], data["since"], watch, data["pairs"], data["difference"], standing, residual)


class ShiftWatch(NamedTuple):
    """The inputs under a version: the sketch of the newest, the monitor of all, and rows that go into both together,
    with the ids of their records."""

    version: int
    window: ShiftWindow
    rows: tuple[Mapping[str, Any], ...] = ()
    ids: tuple[str, ...] = ()
    monitor: FeatureMonitorState | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "window": self.window.to_json(),
            "rows": list(self.rows),
            "ids": list(self.ids),
            "monitor": self.monitor and self.monitor.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ShiftWatch:
        """The state that `to_json` wrote; that of an earlier release has rows without ids, and no monitor."""
        rows, monitor = tuple(data["rows"]), data.get("monitor")
        ids = tuple(data.get("ids") or ("",) * len(rows))
        known = None if monitor is None else FeatureMonitorState.from_json(monitor)
        return cls(data["version"], ShiftWindow.from_json(data["window"]), rows, ids, known)


class RolloutJudge(NamedTuple):
    """The paired judge of one rollout, and what it has said: the highest step, after which of the outcomes decided, and
    the kinds that are said once."""

    rollout_id: str
    pairs: canary_judge.JudgeState = canary_judge.JudgeState()
    step: int = 0
    said: tuple[str, ...] = ()
    said_at: int = 0

    def to_json(self) -> dict[str, Any]:
        return {**self._asdict(), "pairs": self.pairs.to_json(), "said": list(self.said)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RolloutJudge:
        """The state that `to_json` wrote."""
        pairs = canary_judge.JudgeState.from_json(data["pairs"])
        return cls(data["rollout_id"], pairs, data["step"], tuple(data["said"]), data["said_at"])


class JudgeState(NamedTuple):
    """`position`: outcomes decided. `labelled`: with a label, or absent. `answered`: of these, those with an answer.
    `scored`: records taken as scored, which come before their outcomes, and in the same order."""

    waiting: Waiting = Waiting()
    position: int = 0
    labelled: int = 0
    answered: int = 0
    quality: PrequentialState | None = None
    champion: ChampionWatch | None = None
    shift: ShiftWatch | None = None
    rollout: RolloutJudge | None = None
    scored: int = 0

    def put(self, name: str, row: Mapping[str, Any]) -> JudgeState:
        return self._replace(waiting=self.waiting.put(name, row))

    def take(self, name: str) -> tuple[Mapping[str, Any], JudgeState]:
        row, waiting = self.waiting.take(name)
        return row, self._replace(waiting=waiting)

    def to_json(self) -> dict[str, Any]:
        return {
            "waiting": self.waiting.to_json(),
            "position": self.position,
            "labelled": self.labelled,
            "answered": self.answered,
            "quality": self.quality and self.quality.to_json(),
            "champion": self.champion and self.champion.to_json(),
            "shift": self.shift and self.shift.to_json(),
            "rollout": self.rollout and self.rollout.to_json(),
            "scored": self.scored,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> JudgeState:
        """The state that `to_json` wrote."""
        return cls(
            Waiting.from_json(data["waiting"]),
            data["position"],
            data["labelled"],
            data["answered"],
            PrequentialState.from_json(data["quality"]) if data["quality"] else None,
            ChampionWatch.from_json(data["champion"]) if data["champion"] else None,
            ShiftWatch.from_json(data["shift"]) if data["shift"] else None,
            RolloutJudge.from_json(data["rollout"]) if data["rollout"] else None,
            # An earlier release did not count them; those that wait for their label are left out then.
            data.get("scored", data["position"]),
        )


# As a task's file keeps it: encoded once a batch.
StoredJudgeState = Annotated[JudgeState, PlainValidator(JudgeState.from_json), PlainSerializer(JudgeState.to_json)]
