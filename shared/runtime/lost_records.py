"""Records of a log of ours that are gone, or cannot be read, before a task or whoever follows the log has read them."""

from __future__ import annotations

from collections.abc import Sequence

from shared.contracts.errors import HeadraceError
from shared.runtime.log import DamagedBatch, LogRecord, TopicPartition


class RecordsExpired(HeadraceError):
    """`reader` stands at `position` of a log that goes on at `beginning`: what stood between is gone."""

    def __init__(self, reader: str, tp: TopicPartition, position: int, beginning: int) -> None:
        gone = beginning - position
        super().__init__(
            f"{reader} has read {tp.topic}/{tp.partition} up to {position}, and what that log still holds begins at "
            f"{beginning}: {f'{gone} records' if gone > 1 else '1 record'} that it needs went before it read them. "
            "Retention was shorter than the time for which it was away, or somebody deleted them. Nothing was skipped; "
            "its service stops, for without them what it derives would be wrong. Where a replica of that partition "
            "still holds them, make it the leader and start again; otherwise rebuild from the archive: `headrace "
            "archive`, and Records that are gone in docs/operations.md"
        )
        self.tp, self.position, self.beginning = tp, position, beginning


class ReplacedTopic(HeadraceError):
    """A topic was deleted, and one of its name made: positions in the former say nothing of the new one."""

    def __init__(self, reader: str, topic: str, position: int) -> None:
        super().__init__(
            f"{reader} has read the topic {topic} up to {position}, but that was deleted, and another of its name made "
            "since. It stands still there: what it has read and what stands there now are two logs, and are never "
            "mixed. Publish into a topic of another name, and declare a source of another name on that; a topic "
            "of ours has to be rebuilt, as told in Records that are gone in docs/operations.md"
        )


class DamagedLog(HeadraceError):
    """Entries of a log of ours that cannot be read: whatever stands behind them would be a gap for ever."""

    def __init__(self, damage: DamagedBatch) -> None:
        super().__init__(
            f"{damage.topic}/{damage.partition} cannot be read from {damage.first} to {damage.following - 1}: "
            f"{damage.reason}. Nothing that follows may be taken without them. Nothing was skipped: where a replica of "
            "that partition is whole, make it the leader and start again"
        )
        self.damage = damage


def require_whole(reader: str, tp: TopicPartition, fetched: Sequence[LogRecord], following: int) -> None:
    """Raises RecordsExpired where `fetched`, which is not empty, leaves out offsets from `following` on."""
    without_holes = fetched[-1].offset - fetched[0].offset < len(fetched)
    for record in fetched[:1] if without_holes else fetched:
        if record.offset > following:
            raise RecordsExpired(reader, tp, following, record.offset)
        following = record.offset + 1
