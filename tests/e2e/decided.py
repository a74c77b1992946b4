"""What a run decided and predicted, without what depends on clocks, logs and processes: two runs can be compared."""

from __future__ import annotations

from typing import Any

from shared.contracts.control import (
    DriftDetected,
    InputsMoved,
    ModelRolledBack,
    QualityMeasured,
    RolloutAdvanced,
    RolloutEnded,
    RolloutStarted,
    RunFailed,
    RunFinished,
    RunRequested,
    SegmentWritten,
    VerdictReached,
    VersionApproved,
    VersionPromoted,
    VersionRegistered,
    VersionWithdrawn,
    WatchEnded,
)
from shared.contracts.flow import OutcomeMatured, OutcomeScored, PredictionMade
from shared.contracts.topics import OUTCOMES, PREDICTIONS
from tests.scenarios.topic_history import TopicHistory

DECISIONS = (
    DriftDetected, InputsMoved, ModelRolledBack, QualityMeasured, RolloutAdvanced, RolloutEnded, RolloutStarted,
    RunFailed, RunFinished, RunRequested, SegmentWritten, VerdictReached, VersionApproved, VersionPromoted,
    VersionRegistered, VersionWithdrawn, WatchEnded,
)  # fmt: skip
# Durations are measured; a reference names a log and its folder (its sha256 stays); a control position counts ticks of
# the wall clock.
_FACTS = frozenset({"seconds", "duration_s", "uri", "control"})

Said = dict[str, list[dict[str, Any]]]


def decisions(history: TopicHistory) -> Said:
    """By kind and subject: id, event time and content of each decision, in the order of control.v1."""
    found: Said = {}
    for read, event in history.decided(*DECISIONS):
        content = without_facts(event.model_dump(mode="json"))
        where = f"{type(event).__name__} {content.get('model') or content.get('subject')}"
        found.setdefault(where, []).append({"id": read.message.id, "at": read.message.time_ms, **content})
    return found


def predictions(history: TopicHistory) -> Said:
    """By topic: what was predicted, and what became of it, in the order of the log."""
    found: Said = {}
    for model in history.definitions.models:
        for topic in (PREDICTIONS.of(model).name, OUTCOMES.of(model).name):
            found[topic] = [
                {"id": read.message.id, "at": read.message.time_ms, **without_facts(event.model_dump(mode="json"))}
                for read, event in history.events(topic, PredictionMade, OutcomeScored, OutcomeMatured)
            ]
    return found


def without_facts(content: Any) -> Any:
    """Anything made of JSON, less what differs from run to run."""
    if isinstance(content, dict):
        return {name: without_facts(value) for name, value in content.items() if name not in _FACTS}
    if isinstance(content, list):
        return [without_facts(value) for value in content]
    return content
