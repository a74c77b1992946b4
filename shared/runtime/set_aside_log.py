"""Log lines about what was set aside: a dead letter each time, rejected records a few at a time."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from shared.contracts.envelope import Message, decode
from shared.contracts.flow import RecordRejected
from shared.contracts.topics import REJECTED
from shared.contracts.trace_context import trace_id_of
from shared.runtime.dead_letters import letter_facts
from shared.runtime.task_file import OutboxRow

log = structlog.get_logger()
EVERY_S = 10.0
AT_MOST = 10


class SetAsideLog:
    """Called once for each. Of rejected records at most 10 are logged in 10 s, for a client may send nothing else; the
    next line says how many were not."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._since_s = float("-inf")
        self._said = self._unsaid = 0

    def __call__(self, row: OutboxRow) -> None:
        if row.topic != REJECTED.name:
            log.error("dead letter", dead_letters=row.topic, **letter_facts(row.headers))
        elif self._may_say():
            log.warning("record rejected", **_rejection(row), unlogged_before=self._unsaid)
            self._unsaid = 0

    def _may_say(self) -> bool:
        if self._now_s() - self._since_s >= EVERY_S:
            self._since_s, self._said = self._now_s(), 0
        self._said += 1
        self._unsaid += self._said > AT_MOST
        return self._said <= AT_MOST


def _rejection(row: OutboxRow) -> dict[str, str | int | None]:
    message = decode(row.key, row.value, row.headers)
    assert isinstance(message, Message)
    named: dict[str, str | int | None] = {"event_id": message.id, "trace_id": trace_id_of(message.trace)}
    event = message.event
    if not isinstance(event, RecordRejected):  # it was too large for the broker: its dead letter is said as well
        return named
    where = {"source": event.source, "topic": event.topic, "partition": event.partition, "offset": event.offset}
    return {**where, **named, "error": event.reason, "reason": event.detail}
