"""What is not derived: ticks, commands, workers' results, facts of replicas. Its writer has an identity of its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass

from shared.contracts.control_writers import may_say
from shared.contracts.envelope import Encoded, Event, Message, encode
from shared.contracts.topics import CONTROL, Topic
from shared.runtime.log import RecordTooLarge, SendError, TopicPartition, Writer
from shared.runtime.relay import EventRefused

Landed = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Row:
    tp: TopicPartition
    entry: Message | Encoded
    landed: Landed | None = None
    future: Future[int] | None = None

    @property
    def given_up(self) -> bool:
        return self.future is not None and self.future.cancelled()

    def answer(self, offset: int) -> None:
        if self.landed is not None:
            self.landed(offset)
        if self.future is not None:
            # Whoever waited may have given up a moment ago.
            with suppress(InvalidStateError):
                self.future.set_result(offset)

    def refuse(self, error: RecordTooLarge) -> bool:
        """Whether somebody waits for the news that sending it again cannot succeed."""
        if self.future is not None:
            with suppress(InvalidStateError):
                self.future.set_exception(error)
        return self.future is not None


class OutsideWriter:
    """Publishes events without a task's sequence; readers de-duplicate by event id, so sending one twice is harmless.

    `publish` may be called from any thread; `send` belongs to the driver's. What is queued is lost with the process:
    whoever publishes must do so again after a restart, under the same id. `service`: whose process writes; None: a
    client's, which may say anything.
    """

    def __init__(self, identity: str, service: str | None = None) -> None:
        self.identity, self._service = identity, service
        self.wake: Callable[[], None] = lambda: None  # called when something is queued, from whichever thread does so
        self._lock = threading.Lock()
        self._queue: deque[_Row] = deque()
        self._flying = 0
        self.ends: dict[tuple[str, int], int] = {}

    def publish(
        self, topic: Topic, event: Event, *, event_id: str, time_ms: int, key: str = "", partition: int = 0,
        control: int = 0, trace: str | None = None, landed: Landed | None = None,
    ) -> None:  # fmt: skip
        """Queue an event; `landed(offset)` is called once the log has it. `trace`: its own `traceparent`.
        Raises WrongEvent or NotToBeSaid."""
        topic.admit(event)
        if topic == CONTROL and self._service is not None:
            may_say(self._service, event)
        message = Message(event_id, self.identity, time_ms, key, event, None, control, trace)
        with self._lock:
            self._queue.append(_Row(TopicPartition(topic.name, partition), message, landed))
        self.wake()

    def publish_raw(
        self, tp: TopicPartition, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Future[int]:
        """Queue a record that is no event of ours, such as a user's; the future gives its offset, or RecordTooLarge.

        Cancelling the future takes the record back, unless it was sent already.
        """
        future: Future[int] = Future()
        with self._lock:
            self._queue.append(_Row(tp, Encoded(key, value, tuple(headers)), future=future))
        self.wake()
        return future

    @property
    def pending(self) -> int:
        with self._lock:
            return len(self._queue) + self._flying

    def send(self, writer: Writer) -> int:
        """Hand over what is queued. Raises what the writer raises; the queue keeps what was not taken."""
        sent = 0
        while True:
            with self._lock:
                if not self._queue:
                    return sent
                row = self._queue[0]
                if row.given_up:
                    self._queue.popleft()
                    continue
            encoded = encode(row.entry) if isinstance(row.entry, Message) else row.entry
            writer.send(
                row.tp, encoded.key, encoded.value, encoded.headers,
                lambda offset, error, row=row: self._answered(row, offset, error),
            )  # fmt: skip
            with self._lock:
                self._queue.popleft()
                self._flying += 1
            sent += 1

    def _answered(self, row: _Row, offset: int | None, error: SendError | None) -> None:
        with self._lock:
            self._flying -= 1
            if isinstance(error, RecordTooLarge):
                if row.refuse(error):
                    return
                raise EventRefused(error)
            if error is not None or offset is None:
                self._queue.append(row)
                return
            where = (row.tp.topic, row.tp.partition)
            self.ends[where] = max(self.ends.get(where, 0), offset + 1)
        row.answer(offset)
