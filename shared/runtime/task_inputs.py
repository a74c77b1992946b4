"""What was fetched for tasks and waits for its turn. A log of which there is enough is paused."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence, Set
from itertools import islice

from shared.runtime.log import LogRecord, Reader, TopicPartition


class TaskInputs:
    """By log, in the log's order."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._fetched: dict[TopicPartition, deque[LogRecord]] = {}
        self._paused: set[TopicPartition] = set()

    @property
    def paused(self) -> Set[TopicPartition]:
        """Logs of which nothing more is fetched for now."""
        return self._paused

    def open(self, tp: TopicPartition) -> None:
        """A task reads this log from now on."""
        self._fetched[tp] = deque()

    def close(self, tp: TopicPartition) -> None:
        """It does no longer; what was fetched is forgotten."""
        del self._fetched[tp]
        self.bound(tp, False)

    def add(self, tp: TopicPartition, records: Iterable[LogRecord]) -> None:
        """What was fetched comes behind what is there."""
        self._fetched[tp].extend(records)

    def next(self, tp: TopicPartition, limit: int) -> Sequence[LogRecord]:
        """The oldest of what is there, `limit` at most."""
        return list(islice(self._fetched[tp], limit))

    def took(self, tp: TopicPartition, count: int) -> None:
        """So many of the oldest were taken."""
        for _ in range(count):
            self._fetched[tp].popleft()

    def waiting(self, tp: TopicPartition) -> int:
        """How many of a log's records wait."""
        return len(self._fetched[tp])

    def reached(self, tp: TopicPartition, position: int) -> int:
        """The offset after the last record that was fetched; `position` where none waits."""
        fetched = self._fetched[tp]
        return fetched[-1].offset + 1 if fetched else position

    def bound(self, tp: TopicPartition, full: bool) -> None:
        """Pause a log that is full, and go on with one that is not."""
        if full and tp not in self._paused:
            self._reader.pause([tp])
            self._paused.add(tp)
        elif not full and tp in self._paused:
            self._reader.resume([tp])
            self._paused.discard(tp)

    def __len__(self) -> int:
        return sum(map(len, self._fetched.values()))
