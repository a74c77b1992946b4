"""Reads logs to the ends that they have now."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator

from shared.runtime.log import LogRecord, Reader, TopicPartition


def to_the_end(
    reader: Reader, tps: Collection[TopicPartition], *, silent_s: float, wait_s: float = 0.2, most: int = 10_000
) -> Iterator[tuple[TopicPartition, list[LogRecord]]]:
    """What stands in these logs, from the reader's positions on, part by part as it is read.

    `wait_s` and `most` are those of a poll. Raises TimeoutError if nothing comes for `silent_s` and an end is still
    ahead. However long the logs are, they are read: the limit is not one of the whole.
    """
    token, heard_s = reader.fetch_token(), time.monotonic()
    while ahead := sorted({tp.topic for tp in tps if not reader.end_reached_since(tp, token)}):
        if time.monotonic() > heard_s + silent_s:
            raise TimeoutError(f"nothing was read for {silent_s} s, with the ends of {', '.join(ahead)} still ahead")
        found = reader.poll(wait_s, most)
        yield from found.items()
        if found:
            # The time that whoever asked has spent on it is not the log's.
            heard_s = time.monotonic()
