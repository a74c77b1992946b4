"""What the marks of a log show its reader, entry by entry: computed here once more, from the rule.

A mark counts once the sequence that it names has been accepted. A log's watermark is the lowest of its writers' newest;
one that has not been heard holds it back.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

from shared.contracts.envelope import NEVER_MS, Mark, Message, origin
from shared.runtime.log import LogRecord, TopicPartition
from tests.scenarios.topic_history import TopicHistory


class Shown:
    """By task: the last sequence accepted, and the watermark that it has promised by marks that count.

    `control`: the highest control position that an accepted event or a mark that counts has shown.
    """

    def __init__(self, writers: frozenset[str]) -> None:
        self._writers = writers
        self.last: dict[str, int] = {}
        self.promised_ms: dict[str, int] = {}
        self.watermark_ms = NEVER_MS
        self.control = 0

    def take(self, record: LogRecord, entry: Message | Mark | None) -> bool:
        """Take the log's next entry in; whether it is an event that readers accept."""
        if isinstance(entry, Mark):
            if entry.sequence <= self.last.get(entry.source, 0):
                self._promise(entry)
            return False
        wrote = origin(record.headers) if entry is None else entry
        if wrote is None or wrote.sequence is None:
            return entry is not None
        if wrote.sequence != self.last.get(wrote.source, 0) + 1:
            return False
        self.last[wrote.source] = wrote.sequence
        self.control = max(self.control, wrote.control)
        return entry is not None

    def _promise(self, mark: Mark) -> None:
        self.control = max(self.control, mark.control)
        self.promised_ms[mark.source] = max(self.promised_ms.get(mark.source, NEVER_MS), mark.watermark_ms)
        lowest_ms = min((self.promised_ms.get(writer, NEVER_MS) for writer in self._writers), default=NEVER_MS)
        self.watermark_ms = max(self.watermark_ms, lowest_ms)


def followed(history: TopicHistory, tp: TopicPartition) -> Iterator[tuple[LogRecord, Message | Mark | None, Shown]]:
    """Each entry of a log, readable or not, with what the log had shown before it."""
    shown = Shown(history.definitions.writers.get(tp, frozenset()))
    for record, entry in history.read_entries(tp):
        yield record, entry, shown
        shown.take(record, entry)


def watermarks_ms(history: TopicHistory, tp: TopicPartition) -> dict[int, int]:
    """The watermark before each entry, by its offset."""
    return {record.offset: shown.watermark_ms for record, _, shown in followed(history, tp)}


def at_end(history: TopicHistory, tp: TopicPartition) -> Shown:
    """What the whole log shows."""
    shown = Shown(history.definitions.writers.get(tp, frozenset()))
    for record, entry in history.read_entries(tp):
        shown.take(record, entry)
    return shown


def falls(history: TopicHistory, tp: TopicPartition) -> Iterator[str]:
    """Marks with which a task promises less behind a number than it had promised before it.

    In the order of numbers, not of the log: what is sent again, or by another attempt that began further back, comes
    late and says less, and readers take the most. What a head step marks comes from outside (the clock, and how far
    control.v1 is read), so a new attempt may well say less behind the same record.
    """
    heads = {task.id for task in history.definitions.tasks if task.head}
    marks = [(mark.sequence, record.offset, mark) for record, mark in history.entries(tp) if isinstance(mark, Mark)]
    highest: dict[tuple[str, str], tuple[int, int]] = {}
    for sequence, group in groupby(sorted(marks, key=itemgetter(0, 1)), key=itemgetter(0)):
        said = [
            ((mark.source, what), value, offset)
            for _, offset, mark in group
            if mark.source not in heads
            for what, value in (("watermark", mark.watermark_ms), ("control position", mark.control))
        ]
        for (task, what), value, offset in said:
            known, behind = highest.get((task, what), (value, sequence))
            if value < known:
                where = f"{tp.topic}/{tp.partition} offset {offset}"
                yield f"{where}: {task} goes back from {what} {known}, behind number {behind}, to {value}"
        for key, value, _ in said:
            highest[key] = max(highest.get(key, (value, sequence)), (value, sequence))
