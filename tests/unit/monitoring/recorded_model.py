"""A model's outcomes as monitoring leaves them: judged by a task with a file, the first of them in a segment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.console.commands import Happened
from services.monitoring.backtest.request import Entry, Request
from services.monitoring.judge import ARCHIVE
from shared.contracts import control as c
from shared.contracts.envelope import Event
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.history import ControlHistory
from shared.runtime.outcome_segments import encode_rows
from shared.runtime.task_folder import TaskFolder
from tests import builders as b
from tests.unit.monitoring.stepping import At, Stepping, decide, history

LOG_ID = b.founded().log_id
T = b.T0_MS
HELD_BACK = {"mean": 0.1, "upper": 0.12, "rows": 500}
Correct = Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class RecordedModel:
    """`events`: control.v1 behind its founding, as it was decided."""

    data: Path
    control: ControlHistory
    events: list[Event]

    @property
    def alarms(self) -> list[c.DriftDetected]:
        found = [event for event in self.events if isinstance(event, c.DriftDetected)]
        return [alarm for alarm in found if alarm.monitor != "saving"]

    def request(self, *configurations: dict[str, Any], **more: Any) -> Request:
        """What the command line asks, small enough for a test."""
        small: dict[str, Any] = {"outcomes": 4_000, "runs": 20, **more}
        return Request(
            model=b.MODEL, log_id=LOG_ID, data=str(self.data), object_store=str(self.data / "objects"),
            entries=entries_of(self.control), configurations=list(configurations) or [{}], **small,
        )  # fmt: skip


def entries_of(control: ControlHistory) -> list[Entry]:
    """The control log as the console shows it."""
    return [
        Entry.model_validate(Happened(n, entry.message).shown())
        for n, entry in enumerate(control.entries, 1)
        if entry.message is not None
    ]


def defined(**monitor: Any) -> c.DefinitionsApplied:
    settings = {"metric": "zero_one", "expected_run_length": 1000, "report_every": 20, **monitor}
    return b.applied(b.source(), b.label_source(), b.view(), b.model(monitor=settings))


def recorded_model(
    data: Path,
    count: int,
    correct: Correct,
    segment: int = 0,
    log_id: str = LOG_ID,
    version: bool = True,
    **monitor: Any,
) -> RecordedModel:
    """`count` outcomes, which version 1 answered right where `correct` says so; the first `segment` in a segment."""
    events: list[Event] = [defined(**monitor)]
    if version:
        events += [b.registered(1, held_back=HELD_BACK), b.approved(1), b.promoted(1)]
    control = history(*events)
    stepping = stepping_in(data, control, log_id)
    for event in judged(stepping, range(count), correct, 1 if version else None):
        events.append(event)
        decide(control, event, T + count)
    if segment:
        events.append(archived(stepping, data, segment, log_id))
        decide(control, events[-1])
    stepping.task.file.close()
    return RecordedModel(data, control, events)


def archived(stepping: Stepping, data: Path, rows: int, log_id: str) -> c.SegmentWritten:
    """The first so many outcomes, written into a segment."""
    archive = stepping.task.file.buffered(ARCHIVE, 0, rows)
    stored = ArtifactStore.at(str(data / "objects")).put(log_id, "segments/outcomes", encode_rows(archive).data)
    return c.SegmentWritten(
        kind="outcomes", subject=b.MODEL, partition=0, number=0, first=0, rows=rows, segment=stored,
        from_ms=T, to_ms=T + rows,
    )  # fmt: skip


def stepping_in(data: Path, control: ControlHistory, log_id: str = LOG_ID) -> Stepping:
    """The judge's task, with its file in a folder of data."""
    folder = TaskFolder(data / "state" / "monitoring" / "0")
    folder.bind(log_id)
    name = Stepping("judge", control).spec.id
    file = folder.open(name)
    file.bind(log_id)
    return Stepping("judge", control, file)


def judged(stepping: Stepping, numbers: range, correct: Correct, version: int | None) -> list[Event]:
    """What the task derives of outcomes with these numbers, all predicted by one version."""

    def outcome(n: int) -> At:
        made: dict[str, Any] = {"champion": version, "answered_by": version} if version else {"value": None}
        if version:
            made["outputs"] = {version: {"artifact_sha256": b.SHA256, "output": [0.9 if correct(n) else 0.1]}}
        prediction = b.prediction(record_id=f"t{n:05}", **made)
        return At(T + n, b.matured(label=1.0, prediction=prediction), f"t{n:05}")

    derived = stepping.feed(*map(outcome, numbers), T + numbers.stop)
    return [message.event for message in derived if message.event.ce_type.startswith("headrace.")]
