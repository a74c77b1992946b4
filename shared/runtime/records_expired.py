"""Records that are gone from a log before a task, or whoever follows the log, has read them."""

from __future__ import annotations

from shared.contracts.errors import HeadraceError
from shared.runtime.log import TopicPartition


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
