"""Publishes a task's outbox in order. The cursor moves over what is acknowledged; after a failure the rest goes."""

from __future__ import annotations

from collections import deque

from shared.contracts.errors import HeadraceError
from shared.runtime.log import RecordTooLarge, SendError, TopicPartition, Writer
from shared.runtime.task import Task
from shared.runtime.task_file import OutboxRow
from shared.runtime.topic_settings import MAX_MESSAGE_BYTES


class EventRefused(HeadraceError):
    """The broker takes no events of a size that we derive; sending again would go on for ever."""

    def __init__(self, error: RecordTooLarge) -> None:
        super().__init__(
            f"The broker refused an event of {error.size_bytes} bytes for {error.tp.topic}/{error.tp.partition} as too "
            f"large. Set max.message.bytes of that topic to at least {MAX_MESSAGE_BYTES}, and start again: it is kept"
        )


class Relay:
    """One task's way out. `window` bounds what is in flight."""

    def __init__(self, task: Task, writer: Writer, window: int = 2_000) -> None:
        self.task, self._writer, self._window = task, writer, window
        self._flying: deque[OutboxRow] = deque()
        self._answers: dict[int, int] = {}  # ordinal -> offset, of what was acknowledged out of turn
        self._unanswered = 0
        self.failure: SendError | None = None

    @property
    def idle(self) -> bool:
        return not self._flying and not self.task.unsent

    @property
    def pending(self) -> int:
        return len(self._flying) + len(self.task.unsent)

    def send(self) -> int:
        """Hand over as much as the window takes; returns how many. After a failure: only once all are answered."""
        if self.failure is not None:
            if self._unanswered:
                return 0
            self._again()
        sent = 0
        while self.task.unsent and len(self._flying) < self._window and self.failure is None:
            row = self.task.unsent[0]
            self._writer.send(
                TopicPartition(row.topic, row.partition), row.key, row.value, row.headers,
                lambda offset, error, row=row: self._answered(row, offset, error),
            )  # fmt: skip
            self.task.unsent.popleft()
            self._flying.append(row)
            self._unanswered += 1
            sent += 1
        return sent

    def _answered(self, row: OutboxRow, offset: int | None, error: SendError | None) -> None:
        self._unanswered -= 1
        if isinstance(error, RecordTooLarge):
            raise EventRefused(error)
        if error is not None or offset is None:
            self.failure = error
            return
        self._answers[row.ordinal] = offset
        while self._flying and self._flying[0].ordinal in self._answers:
            first = self._flying.popleft()
            end = self._answers.pop(first.ordinal) + 1
            self.task.acknowledged(first.ordinal, first.topic, first.partition, end)

    def _again(self) -> None:
        """Everything behind the cursor, in order: what landed before is skipped by its sequence."""
        self.task.unsent.extendleft(reversed(self._flying))
        self._flying.clear()
        self._answers.clear()
        self.failure = None
