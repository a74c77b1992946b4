"""Reads logs to the ends that they have now."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator

from shared.runtime.log import LogRecord, Reader, TopicPartition


def to_the_end(
    reader: Reader,
    tps: Collection[TopicPartition],
    *,
    silent_s: float,
    within_s: float = math.inf,
    wait_s: float = 0.2,
    most: int = 10_000,
) -> Iterator[tuple[TopicPartition, list[LogRecord]]]:
    """What stands in these logs, from the reader's positions on, part by part as it is read.

    `wait_s` and `most` are those of a poll. Raises TimeoutError if for `silent_s` nothing comes of the logs whose ends
    are still ahead, and, where one wants it, if not all is read `within_s`: without it long logs are read, however
    long it takes.
    """
    token, began_s = reader.fetch_token(), time.monotonic()
    heard_s = began_s
    while ahead := [tp for tp in tps if not reader.end_reached_since(tp, token)]:
        if time.monotonic() > heard_s + silent_s:
            raise TimeoutError(f"nothing was read for {silent_s} s, with the ends of {_topics(ahead)} still ahead")
        if time.monotonic() > began_s + within_s:
            raise TimeoutError(f"the ends of {_topics(ahead)} were not reached in {within_s} s")
        found = reader.poll(wait_s, most)
        yield from found.items()
        if not found.keys().isdisjoint(ahead):
            # The time that whoever asked has spent on it is not the log's.
            heard_s = time.monotonic()


def _topics(tps: Collection[TopicPartition]) -> str:
    return ", ".join(sorted({tp.topic for tp in tps}))
