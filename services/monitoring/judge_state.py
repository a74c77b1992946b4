"""What is kept of a model between two outcomes: what waits, how many are decided, and the state of each decision.

Named tuples: every outcome makes a new one of each, at a quarter of what a frozen dataclass costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import PlainSerializer, PlainValidator

from services.monitoring import canary_judge, paired_since
from services.monitoring.decided_order import Waiting
from services.monitoring.estimated_quality import EstimateState
from services.monitoring.feature_monitor import FeatureMonitorState
from services.monitoring.feature_shift import ShiftWindow
from services.monitoring.loss_watch import WatchState
from services.monitoring.missed_saving import Missed
from services.monitoring.prequential import PrequentialState
from services.monitoring.revised_pairs import Corrections
from services.monitoring.revised_quality import RevisedQuality
from services.monitoring.standing_alarm import StandingAlarm
from shared.contracts.control import VerdictKind


class ChampionWatch(NamedTuple):
    """The loss of a version since it answers, and beside it that of the former champion, paired.

    `since` is the control position of its promotion: a version that comes back is watched anew. `standing`: the alarm
    that stands, if one does. `residual`: beside the loss, where its run says what it is expected to lose.
    """

    version: int
    since: int
    watch: WatchState
    standing: StandingAlarm | None = None
    pairs: paired_since.Blocks = ()  # champion's - former's loss
    residual: WatchState | None = None

    def to_json(self) -> dict[str, Any]:
        standing, residual = self.standing and self.standing.to_json(), self.residual and self.residual.to_json()
        return {**self._asdict(), "watch": self.watch.to_json(), "standing": standing, "residual": residual}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ChampionWatch:
        """The state that `to_json` wrote."""
        watch = WatchState.from_json(data["watch"])
        standing = StandingAlarm.from_json(data["standing"]) if data["standing"] else None
        blocks = data["pairs"] if isinstance(data["pairs"], list) else ()  # once it was one sum, of all of them
        pairs = tuple(paired_since.Block(*b) for b in blocks)
        residual = WatchState.from_json(data["residual"]) if data.get("residual") else None
        return cls(data["version"], data["since"], watch, standing, pairs, residual)


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


class FinalVerdict(NamedTuple):
    """The verdict that ends a rollout, with what later labels say of the same outcomes.

    `pairs`: judged up to `position`, the last of which is the outcome of `last`: (event time, record id). `measure`:
    what the losses are by. `says`: the verdict as it stands by the labels of now.
    """

    verdict_id: str
    rollout_id: str
    champion: int
    candidate: int
    position: int
    last: tuple[int, str]
    alpha: float
    measure: str
    says: VerdictKind
    pairs: canary_judge.JudgeState
    corrections: Corrections

    def to_json(self) -> dict[str, Any]:
        nested = {"pairs": self.pairs.to_json(), "corrections": self.corrections.to_json()}
        return {**self._asdict(), "last": list(self.last), **nested}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FinalVerdict:
        """The state that `to_json` wrote."""
        known = dict(data)
        time_ms, record_id = known.pop("last")
        pairs = canary_judge.JudgeState.from_json(known.pop("pairs"))
        corrections = Corrections.from_json(known.pop("corrections"))
        says = VerdictKind(known.pop("says"))
        return cls(last=(time_ms, record_id), pairs=pairs, corrections=corrections, says=says, **known)


class RolloutJudge(NamedTuple):
    """The paired judge of one rollout, and what it has said: the highest step, after which of the outcomes decided, and
    the kinds that are said once. `corrections`: of labels of pairs since they were judged. `final`: the newest verdict
    that ends the rollout."""

    rollout_id: str
    pairs: canary_judge.JudgeState = canary_judge.JudgeState()
    step: int = 0
    said: tuple[str, ...] = ()
    said_at: int = 0
    corrections: Corrections = Corrections()
    final: FinalVerdict | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            **self._asdict(),
            "pairs": self.pairs.to_json(),
            "said": list(self.said),
            "corrections": self.corrections.to_json(),
            "final": self.final and self.final.to_json(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> RolloutJudge:
        """The state that `to_json` wrote, with or without what it holds of corrected labels."""
        pairs = canary_judge.JudgeState.from_json(data["pairs"])
        corrections, final = data.get("corrections"), data.get("final")
        return cls(
            data["rollout_id"], pairs, data["step"], tuple(data["said"]), data["said_at"],
            Corrections.from_json(corrections) if corrections else Corrections(),
            FinalVerdict.from_json(final) if final else None,
        )  # fmt: skip


class JudgeState(NamedTuple):
    """`position`: outcomes decided. `labelled`: with a label, or absent. `answered`: of these, those with an answer.

    `revised`: what labels that were corrected since change in the quality. `ended`: the verdicts of the newest rollouts
    that are over, as long as another one does not take their place; the newest last. `scored`: records taken as scored,
    which come before their outcomes, and in the same order.
    """

    waiting: Waiting = Waiting()
    position: int = 0
    labelled: int = 0
    answered: int = 0
    quality: PrequentialState | None = None
    champion: ChampionWatch | None = None
    shift: ShiftWatch | None = None
    rollout: RolloutJudge | None = None
    missed: Missed | None = None
    estimate: EstimateState | None = None
    revised: RevisedQuality | None = None
    ended: tuple[FinalVerdict, ...] = ()
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
            "missed": self.missed and self.missed.to_json(),
            "estimate": self.estimate and self.estimate.to_json(),
            "revised": self.revised and self.revised.to_json(),
            "ended": [verdict.to_json() for verdict in self.ended],
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
            Missed.from_json(data["missed"]) if data.get("missed") else None,
            EstimateState.from_json(data["estimate"]) if data.get("estimate") else None,
            RevisedQuality.from_json(data["revised"]) if data.get("revised") else None,
            tuple(FinalVerdict.from_json(verdict) for verdict in data.get("ended", ())),
            # An earlier release did not count them; those that wait for their label are left out then.
            data.get("scored", data["position"]),
        )


# As a task's file keeps it: encoded once a batch.
StoredJudgeState = Annotated[JudgeState, PlainValidator(JudgeState.from_json), PlainSerializer(JudgeState.to_json)]
