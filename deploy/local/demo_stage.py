"""A platform as a generator of events sees it: records, ticks and commands in, decisions and outcomes out.

It knows only the port to a log and a way to wait until the platform has settled, so that the same story plays on
processes over a broker and in the simulation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from shared.contracts.control import ApplyDefinitions, Tick
from shared.contracts.definitions import Clock, FeatureView, Model, Source
from shared.contracts.envelope import Event, Mark, Message, decode
from shared.contracts.errors import HeadraceError
from shared.contracts.identity import canonical_text, derived_id
from shared.contracts.topics import CONTROL, OUTCOMES
from shared.runtime.acceptance import Acceptance
from shared.runtime.history import ControlHistory
from shared.runtime.log import Broker, LogRecord, TopicPartition
from shared.runtime.outside import OutsideWriter
from shared.runtime.partitioning import partition_of
from shared.runtime.to_the_end import to_the_end

IDENTITY = "headrace/demo"
CONTROL_TP = TopicPartition(CONTROL.name, 0)
SEND_WITHIN_S = 30.0
SILENT_AT_MOST_S = 30.0

Told = Callable[[int, Message], None]
Settle = Callable[[Mapping[str, int], Callable[[], None]], None]


class StageFailed(HeadraceError):
    """The platform does not take, or does not do, what the story needs."""


class Stage:
    """Publishes under the lockstep contract, and follows `control.v1` and the outcomes of one model.

    `settle(ends, look)` waits until nothing can move without new input, calling `look` now and then; `ends`: how far
    this stage has sent, by `topic/partition`. `on_control` and `on_outcome` get (position, message) of each accepted
    event, in the order of its log.
    """

    def __init__(self, broker: Broker, settle: Settle, model: str, on_control: Told, on_outcome: Told) -> None:
        self._reader, self._writer, self._admin = broker.reader(), broker.writer(), broker.admin()
        self._settle, self._on_control, self._on_outcome = settle, on_control, on_outcome
        self._outside = OutsideWriter(IDENTITY)
        self._outcomes = TopicPartition(OUTCOMES.of(model).name, 0)
        self._accepted = Acceptance()
        self._positions: dict[TopicPartition, int] = {}
        self._asked = 0
        self.history = ControlHistory()

    def apply(self, definitions: Sequence[Source | FeatureView | Model]) -> None:
        """Put definitions in force. Raises StageFailed with the registry's reason."""
        self.settle()
        command = ApplyDefinitions(
            request_id=f"demo:{self._asked}",
            based_on=self.history.newest.definitions_at,
            definitions=tuple(definitions),
            by="demo",
        )
        before = self.history.newest.definitions_at
        self.ask(command, 0)
        self.settle()
        if self.history.newest.definitions_at == before:
            raise StageFailed("The definitions did not come into force: look for definitions_refused in control.v1")

    def ask(self, event: Event, time_ms: int) -> None:
        """Publish a command or a tick to `control.v1`."""
        self._asked += 1
        event_id = derived_id(IDENTITY, event.ce_type, "", self._asked)
        self._outside.publish(CONTROL, event, event_id=event_id, time_ms=time_ms)

    def publish(self, source: str, record: Mapping[str, Any]) -> None:
        """Publish a record as any client would."""
        definition = self.history.newest.definitions.sources[source]
        key = canonical_text(record.get(definition.key)).encode()
        tp = TopicPartition(definition.topic_name, partition_of(key, definition.partitions))
        self._outside.publish_raw(tp, key, orjson.dumps(record))

    def tick(self, time_ms: int, sources: Sequence[str]) -> None:
        """The time that has come for these sources, once what was published before is in its topics."""
        self.flush()
        topics = {self.history.newest.definitions.sources[source].topic_name for source in sources}
        ends: dict[str, dict[int, int]] = {}
        for (topic, partition), end in self._outside.ends.items():
            if topic in topics:
                ends.setdefault(topic, {})[partition] = end
        tick = Tick(clock=Clock.EVENTS, sources=tuple(sources), ends=ends, adopt=self.history.position)
        self.ask(tick, time_ms)

    def settle(self) -> None:
        """Send everything, wait until nothing moves any more, and read what was decided."""
        self.flush()
        self._settle({f"{topic}/{partition}": end for (topic, partition), end in self._outside.ends.items()}, self.look)
        self._read_to_the_end()

    def flush(self) -> None:
        """Send what is queued. Raises StageFailed."""
        until_s = time.monotonic() + SEND_WITHIN_S
        while self._outside.pending:
            self._outside.send(self._writer)
            self._writer.drain(0.05)
            if time.monotonic() > until_s:
                raise StageFailed(f"{self._outside.pending} records were not taken by the broker: look at its log")

    def look(self) -> None:
        """Read what is there by now."""
        self._open()
        for tp, records in self._reader.poll(0.0, 10_000).items():
            self._take(tp, records)

    def close(self) -> None:
        """Give back connections."""
        for port in (self._reader, self._writer, self._admin):
            port.close()

    def _open(self) -> None:
        wanted = {CONTROL_TP, self._outcomes} - self._positions.keys()
        fresh = {tp: 0 for tp in wanted if self._admin.partitions(tp.topic) is not None}
        if fresh:
            self._positions |= fresh
            self._reader.assign(self._positions)

    def _read_to_the_end(self) -> None:
        self._open()
        try:
            for tp, records in to_the_end(self._reader, self._positions, silent_s=SILENT_AT_MOST_S, wait_s=0.05):
                self._take(tp, records)
        except TimeoutError as late:
            raise StageFailed(str(late)) from late

    def _take(self, tp: TopicPartition, records: Sequence[LogRecord]) -> None:
        self._positions[tp] = records[-1].offset + 1
        for record in records:
            if tp == CONTROL_TP:
                message = self.history.append(record).message
                if message is not None:
                    self._on_control(record.offset, message)
                continue
            entry = decode(record.key, record.value, record.headers)
            if not isinstance(entry, Mark) and self._accepted.accepts(entry):
                self._on_outcome(record.offset, entry)
