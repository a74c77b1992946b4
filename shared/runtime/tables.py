"""Tables: the newest row of each key of the logs `features.<view>`, all partitions, kept in memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from shared.contracts.envelope import Mark, Message
from shared.contracts.flow import WindowsChanged
from shared.contracts.platform import Platform
from shared.contracts.topics import FEATURES
from shared.runtime.log import TopicPartition
from shared.runtime.process import Process


@dataclass(frozen=True, slots=True)
class _Row:
    event: WindowsChanged
    time_ms: int


class TableFollower:
    """Follows the tables of every view. Rows are replaced whole, so any thread may read while the driver writes.

    It is given accepted sequences only, so that a late repetition never buries a newer row. A row whose state is empty
    says that the entity was forgotten.
    """

    def __init__(self, process: Process) -> None:
        self._topics: tuple[int, tuple[str, ...]] = (-1, ())
        self._rows: dict[tuple[str, str], _Row] = {}

    @classmethod
    def of(cls, process: Process) -> TableFollower:
        """The follower among those of a process."""
        return next(follower for follower in process.followers if isinstance(follower, cls))

    def topics(self, platform: Platform) -> Iterable[str]:
        """The tables of all views in force."""
        # Asked for with every record.
        if self._topics[0] != platform.definitions_at:
            views = platform.definitions.views
            self._topics = platform.definitions_at, tuple(FEATURES.of(view).name for view in views)
        return self._topics[1]

    def on_message(self, tp: TopicPartition, message: Message) -> None:
        """Take a row in."""
        event = message.event
        if not isinstance(event, WindowsChanged):
            return
        where = (event.view, event.entity)
        if not event.state:
            self._rows.pop(where, None)
            return
        before = self._rows.get(where)
        # The newest row may be that of a late record.
        newest_ms = message.time_ms if before is None else max(before.time_ms, message.time_ms)
        self._rows[where] = _Row(event, newest_ms)

    def on_mark(self, tp: TopicPartition, mark: Mark) -> None:
        """Tables carry no marks that anybody waits for."""

    def row(self, view: str, entity: str) -> WindowsChanged | None:
        """The newest row of an entity; None if there is none, or it was forgotten."""
        found = self._rows.get((view, entity))
        return None if found is None else found.event

    def newest_ms(self, view: str, entity: str) -> int | None:
        """The newest event time that went into the row; None without a row."""
        found = self._rows.get((view, entity))
        return None if found is None else found.time_ms

    def __len__(self) -> int:
        return len(self._rows)
