"""A known stream as a platform records it: decided by the judge's task, the first outcomes in a segment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.simulation.decision_loop import Recorded
from shared.contracts import control as c
from shared.contracts.envelope import Event
from tests import builders as b
from tests.unit.console.running import LOG_ID
from tests.unit.monitoring.recorded_model import archived, stepping_in
from tests.unit.monitoring.stepping import At, history


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


def recorded(data: Path, stream: Sequence[Recorded], segment: int, **over: Any) -> list[Event]:
    """What the control log holds behind its founding."""
    applied = defined(**over)
    stepping = stepping_in(data, history(applied), LOG_ID)
    stepping.feed(*map(_decided, stream), stream[-1].due_ms + 1)
    written = archived(stepping, data, segment, LOG_ID)
    stepping.task.file.close()
    return [applied, written]


def _decided(record: Recorded) -> At:
    """Nothing answered: a backtest computes every answer anew."""
    prediction = b.prediction(None, record_id=record.record_id, inputs=record.inputs, entity=record.entity)
    outcome = b.matured(label=record.label, prediction=prediction, scored_ms=record.scored_ms)
    return At(record.due_ms, outcome, record.record_id)
