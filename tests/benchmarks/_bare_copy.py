"""The peer: kafka-python itself copies the records, as one would write it by hand.

A batch is what one `poll` returns, at most `batch` records. Each is sent with the key, the value and the headers that
it came with, to one partition. By itself it waits for nothing until the lap ends: what is in flight at a crash may be
lost or copied again. With `--waits` it flushes, looks at every future and commits the offset behind each batch under a
consumer group: a record is never lost, and copied again after a crash, which is less than the runtime promises.
Producer and consumer are set as the runtime's own: idempotent, `acks=all`, linger 2 ms, batches of 256 KiB, fetches of
4 MiB, metrics off.
"""

from __future__ import annotations

import argparse
from typing import Any

from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import OffsetAndMetadata, TopicPartition

from tests.benchmarks._laps import serve_laps


class BareCopy:
    """Copies `source` to `target`, partition 0 to partition 0, from the beginning on."""

    def __init__(self, bootstrap: str, source: str, target: str, batch: int, *, waits: bool) -> None:
        self._from, self._target, self._batch = TopicPartition(source, 0), target, batch
        self._waits = waits
        self._futures: list[Any] = []
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap, group_id=f"bare-{target}", enable_auto_commit=False,
            auto_offset_reset="earliest", max_partition_fetch_bytes=4 * 1024 * 1024, fetch_max_wait_ms=20,
            metrics_enabled=False,
        )  # fmt: skip
        self._consumer.assign([self._from])
        self._producer = KafkaProducer(
            bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=2, batch_size=256 * 1024,
            max_request_size=4 * 1024 * 1024, metrics_enabled=False,
        )  # fmt: skip

    def copy(self, records: int) -> None:
        """The next `records` of the log: in the end each stands in the target, and the position behind is committed."""
        left = records
        while left > 0:
            polled = self._consumer.poll(timeout_ms=500, max_records=min(self._batch, left))
            taken = polled.get(self._from, [])
            if not taken:
                continue
            send = self._producer.send
            self._futures += [
                send(self._target, value=one.value, key=one.key, headers=list(one.headers), partition=0)
                for one in taken
            ]
            left -= len(taken)
            if self._waits or left == 0:
                self._settle(taken[-1].offset + 1)

    def _settle(self, position: int) -> None:
        self._producer.flush()
        if not all(future.succeeded() for future in self._futures):
            raise RuntimeError("a send failed: the figures would say nothing")
        self._futures.clear()
        self._consumer.commit({self._from: OffsetAndMetadata(position, "", -1)})


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "source", "target"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--waits", action="store_true")
    given = parser.parse_args()
    serve_laps(BareCopy(given.bootstrap, given.source, given.target, given.batch, waits=given.waits).copy)


if __name__ == "__main__":
    main()
