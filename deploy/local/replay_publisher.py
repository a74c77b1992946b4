"""Publishes a replay's records and ticks, and knows from the acknowledgements how far each log reaches."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.local.replay_rows import Outgoing
from shared.contracts.control import Tick
from shared.contracts.envelope import Message, encode
from shared.contracts.errors import HeadraceError
from shared.contracts.identity import derived_id
from shared.contracts.topics import CONTROL
from shared.runtime.log import SendError, TopicPartition, Writer

_ACKNOWLEDGED_WITHIN_S = 60.0


class NotPublished(HeadraceError):
    def __init__(self, error: SendError) -> None:
        super().__init__(
            f"the replay stops, for the broker did not take what it published: {error} "
            "Run it again on empty state (`headrace up --fresh`), or within the sources' retention.duplicates"
        )


class ReplayPublisher:
    """`ends`: by `topic/partition`, the offset after the last acknowledged record. For one thread."""

    def __init__(self, replay: str, writer: Writer) -> None:
        self._replay, self._writer = replay, writer
        self._ticks = 0
        self._failure: SendError | None = None
        self.ends: dict[str, int] = {}
        self.published: dict[str, int] = {}

    def send(self, record: Outgoing) -> None:
        """Hand over a record of a user's topic."""
        tp = TopicPartition(record.topic, record.partition)
        self.published[record.topic] = self.published.get(record.topic, 0) + 1
        self._writer.send(tp, record.key, record.value, (), lambda at, error: self._acknowledged(tp, at, error))

    def tick(self, time_ms: int, tick: Tick) -> None:
        """Write a tick into control.v1, acknowledged. Its id makes a repetition harmless: the first one counts."""
        event_id = derived_id(self._replay, "tick", str(time_ms), self._ticks)
        self._ticks += 1
        encoded = encode(Message(event_id, f"headrace/replay/{self._replay}", time_ms, "", tick))
        tp = TopicPartition(CONTROL.name, 0)
        self._writer.send(
            tp, encoded.key, encoded.value, encoded.headers, lambda at, error: self._acknowledged(tp, at, error)
        )
        self.flush()

    def flush(self) -> None:
        """Return when everything is acknowledged. Raises NotPublished."""
        self._writer.flush(_ACKNOWLEDGED_WITHIN_S)
        if self._failure is not None:
            raise NotPublished(self._failure)

    def close(self) -> None:
        self._writer.close()

    def _acknowledged(self, tp: TopicPartition, offset: int | None, error: SendError | None) -> None:
        if error is not None or offset is None:
            self._failure = self._failure or error
            return
        log = f"{tp.topic}/{tp.partition}"
        self.ends[log] = max(self.ends.get(log, 0), offset + 1)


def tick_ends(ends: Mapping[str, int], topics: frozenset[str]) -> dict[str, dict[int, int]]:
    """Of these topics, the ends by topic and partition, as a tick names them."""
    found: dict[str, dict[int, int]] = {}
    for log, end in ends.items():
        topic, _, partition = log.rpartition("/")
        if topic in topics:
            found.setdefault(topic, {})[int(partition)] = end
    return found
