"""A known stream as a platform records it: decided by the judge's task, the first outcomes in a segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.backtest.request import Request
from deploy.simulation.decision_loop import Recorded
from shared.contracts import control as c
from shared.contracts.envelope import Event
from shared.runtime.history import ControlHistory
from tests import builders as b
from tests.unit.console.running import LOG_ID
from tests.unit.monitoring.recorded_model import archived, entries_of, stepping_in
from tests.unit.monitoring.stepping import At, decide, history


def defined(**over: Any) -> c.DefinitionsApplied:
    """The model that a known stream is of, small enough for a test."""
    settings = {
        "inputs": {"fields": ["amount", "category"]},
        "training": {"minimum_rows": 300, "search": {"families": ["linear"], "trials": 1}},
        "retrain": {"policy": "evidence", "cost": 10.0, "horizon": 2_000, "cooldown": "1m"},
        "rollout": {"steps": [50, 100], "alpha": 0.05, "deadline": "7d", "watch": "1d"},
        **over,
    }
    return b.applied(b.source(), b.label_source(), b.view(), b.model(**settings))


@dataclass(frozen=True, slots=True)
class RecordedStream:
    """`events`: what the control log holds behind its founding."""

    data: Path
    control: ControlHistory
    events: list[Event]

    def request(self, *retrains: dict[str, Any], **more: Any) -> Request:
        """What the command line asks; each of `retrains` is what it says otherwise than in force."""
        asked = {"retrains": [{"name": str(says), "says": says} for says in retrains]} if retrains else {}
        return Request.model_validate({
            "model": b.MODEL, "log_id": LOG_ID, "data": str(self.data), "object_store": str(self.data / "objects"),
            "entries": entries_of(self.control), **asked, **more,
        })  # fmt: skip


def recorded_stream(data: Path, stream: Sequence[Recorded], segment: int, **over: Any) -> RecordedStream:
    """The stream of a model whose definition says `over`; its first `segment` outcomes in a segment."""
    events: list[Event] = [defined(**over)]
    control = history(*events)
    stepping = stepping_in(data, control, LOG_ID)
    stepping.feed(*map(_decided, stream), stream[-1].due_ms + 1)
    if segment:
        events.append(archived(stepping, data, segment, LOG_ID))
        decide(control, events[-1])
    stepping.task.file.close()
    return RecordedStream(data, control, events)


def _decided(record: Recorded) -> At:
    """Nothing answered: a backtest computes every answer anew."""
    prediction = b.prediction(None, record_id=record.record_id, inputs=record.inputs, entity=record.entity)
    outcome = b.matured(label=record.label, prediction=prediction, scored_ms=record.scored_ms)
    return At(record.due_ms, outcome, record.record_id)
