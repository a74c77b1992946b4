"""Reads logs to the ends that they have now."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator

from shared.runtime.log import LogRecord, Reader, TopicPartition


def to_the_end(
    reader: Reader, tps: Collection[TopicPartition], *, within_s: float, wait_s: float = 0.2, most: int = 10_000
) -> Iterator[tuple[TopicPartition, list[LogRecord]]]:
    """What stands in these logs, from the reader's positions on, part by part as it is read.

    `wait_s` and `most` are those of a poll. Raises TimeoutError if the ends are not reached within `within_s`.
    """
    token, until_s = reader.fetch_token(), time.monotonic() + within_s
    while not all(reader.end_reached_since(tp, token) for tp in tps):
        if time.monotonic() > until_s:
            raise TimeoutError(f"the ends of {', '.join(sorted({tp.topic for tp in tps}))} not reached in {within_s} s")
        yield from reader.poll(wait_s, most).items()
