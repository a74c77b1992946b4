"""A task of monitoring on a log in memory: events and marks in, what it derived out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.monitoring.app import build
from services.monitoring.settings import MonitoringSettings
from shared.contracts import control as c
from shared.contracts.envelope import Event, Mark, Message, decode, encode, encode_mark
from shared.contracts.identity import derived_id
from shared.contracts.topics import CONTROL
from shared.contracts.topology import TaskSpec
from shared.runtime.history import ControlHistory
from shared.runtime.log import LogRecord
from shared.runtime.task import Task
from shared.runtime.task_file import TaskFile
from tests import builders as b


@dataclass(frozen=True, slots=True)
class At:
    """An event for the task's log, with its event time and key."""

    time_ms: int
    event: Event
    key: str = ""


def history(*events: c.Event) -> ControlHistory:
    """control.v1 with the default definitions, unless `events` bring others, and what is decided after."""
    made = ControlHistory()
    first: list[Event] = [b.founded()]
    if not any(isinstance(event, c.DefinitionsApplied) for event in events):
        first.append(b.applied())
    for event in (*first, *events):
        decide(made, event)
    return made


def decide(made: ControlHistory, event: Event, time_ms: int = b.T0_MS) -> None:
    """One more entry of control.v1."""
    message = Message(derived_id("decide", str(made.position)), "test", time_ms, "", event)
    encoded = encode(message)
    made.append(LogRecord(CONTROL.name, 0, made.position, time_ms, encoded.key, encoded.value, encoded.headers))


class Stepping:
    """One task. Its input comes from all tasks that may write it, each of which says the same watermark."""

    def __init__(self, step: str, control: ControlHistory, file: TaskFile | None = None) -> None:
        self.control = control
        specs = [spec for spec in control.newest.definitions.tasks if spec.step == step]
        self.spec: TaskSpec = specs[0]
        self.task = Task(self.spec, build(MonitoringSettings()).steps[step], file or TaskFile("t", None), control)
        self.writers = sorted(control.newest.definitions.writers[self.spec.topic, self.spec.partition])
        self._sequence = 0
        self._offset = 0

    def records(self, entries: Iterable[At | int]) -> list[LogRecord]:
        """Entries as log records; a number is a watermark, said by every writer."""
        made: list[LogRecord] = []
        position = self.control.position
        for entry in entries:
            if isinstance(entry, At):
                self._sequence += 1
                cause = derived_id(self.writers[0], "event", "", self._sequence)
                encoded = [
                    encode(
                        Message(cause, self.writers[0], entry.time_ms, entry.key, entry.event, self._sequence, position)
                    )
                ]
            else:
                encoded = [
                    encode_mark(Mark(w, self._sequence if w == self.writers[0] else 0, entry, position))
                    for w in self.writers
                ]
            for one in encoded:
                made.append(LogRecord(self.spec.topic, 0, self._offset, 0, one.key, one.value, one.headers))
                self._offset += 1
        return made

    def feed(self, *entries: At | int) -> list[Message]:
        """Let the task take these entries in one batch; the events that it derived."""
        return self.take(self.records(entries))

    def take(self, records: Sequence[LogRecord]) -> list[Message]:
        before = len(self.task.unsent)
        assert self.task.process(records, 0.0) == len(records)
        rows = list(self.task.unsent)[before:]
        decoded = [decode(row.key, row.value, row.headers) for row in rows if not row.topic.endswith(".dead.v1")]
        dead = [row for row in rows if row.topic.endswith(".dead.v1")]
        assert not dead, [dict(row.headers) for row in dead]
        return [entry for entry in decoded if isinstance(entry, Message)]
