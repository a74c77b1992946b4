"""Tables: the newest row of each key of the logs `features.<view>`, all partitions, kept in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.contracts.envelope import Mark, Message
from shared.contracts.flow import WindowsChanged
from shared.contracts.platform import Platform, TableCopy
from shared.contracts.topics import FEATURES
from shared.runtime.log import TopicPartition
from shared.runtime.process import Process
from shared.runtime.table_copies import Rows, TableRow


def view_of(tp: TopicPartition) -> str:
    """The view whose table a log is; empty for a log of another kind."""
    return FEATURES.subject(tp.topic) or ""


class TableFollower:
    """Follows the tables of every view. Rows are replaced whole, so any thread may read while the driver writes.

    It is given accepted sequences only, so that a late repetition never buries a newer row. A row whose state is empty
    says that the entity was forgotten. A log begins with the rows of a copy, if there is one.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self._topics: tuple[int, tuple[str, ...]] = (-1, ())
        self._logs: dict[TopicPartition, Rows] = {}
        self._views: dict[str, tuple[Rows, ...]] = {}  # the same by view; an entity stands in one partition only

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

    def reads(self, tp: TopicPartition) -> bool:
        """Whether this is a log of a table."""
        return bool(view_of(tp))

    def copies(self, tp: TopicPartition, platform: Platform) -> Sequence[TableCopy]:
        """The copies of a log's rows, in the order of their positions."""
        return platform.tables.get((view_of(tp), tp.partition), ())

    def begin(self, tp: TopicPartition, rows: Rows) -> None:
        """Hold these rows of a log, and no others."""
        self._logs[tp] = rows
        logs = tuple(held for log, held in self._logs.items() if log.topic == tp.topic)
        self._views[view_of(tp)] = logs

    def on_message(self, tp: TopicPartition, message: Message) -> None:
        """Take a row in."""
        event = message.event
        if not isinstance(event, WindowsChanged):
            return
        rows = self._logs[tp]
        if not event.state:
            rows.pop(event.entity, None)
            return
        before = rows.get(event.entity)
        # The newest row may be that of a late record.
        newest_ms = message.time_ms if before is None else max(before.time_ms, message.time_ms)
        rows[event.entity] = TableRow(event.state, newest_ms)

    def on_mark(self, tp: TopicPartition, mark: Mark) -> None:
        """Tables carry no marks that anybody waits for."""

    def row(self, view: str, entity: str) -> TableRow | None:
        """The newest row of an entity; None if there is none, or it was forgotten."""
        logs = self._views.get(view, ())
        # One look a log: between two of them the driver may forget the entity.
        return next((found for rows in logs if (found := rows.get(entity)) is not None), None)

    def newest_ms(self, view: str, entity: str) -> int | None:
        """The newest event time that went into the row; None without a row."""
        found = self.row(view, entity)
        return None if found is None else found.time_ms

    def rows(self, tp: TopicPartition) -> Rows:
        """The rows of one log as they are now; on the driver's thread."""
        return dict(self._logs.get(tp, {}))

    def count(self, tp: TopicPartition) -> int:
        """How many rows one log has."""
        return len(self._logs.get(tp, {}))

    def why_unread(self, view: str) -> str | None:
        """Why rows of a view may be missing, or older than those that stood in its log at the start; None: none is."""
        why = self._process.followed.why_unread(FEATURES.of(view).name)
        return None if why is None else f"the table of view {view} is not whole: {why}"

    def __len__(self) -> int:
        return sum(map(len, self._logs.values()))
