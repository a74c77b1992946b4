"""The peer: kafka-python itself copies the records, as one would write it by hand.

A batch is what one `poll` returns, at most `batch` records. Each is sent with the key, the value and the headers that
it came with, to one partition; then `flush`, a look at every future, and a commit of the offset behind the batch under
a consumer group. So a record is lost never and copied again after a crash: less than the runtime promises, at the price
of waiting for the broker once a batch. Producer and consumer are set as the runtime's own: idempotent, `acks=all`,
linger 2 ms, batches of 256 KiB, fetches of 4 MiB, metrics off.
"""

from __future__ import annotations

import argparse

from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import OffsetAndMetadata, TopicPartition

from tests.benchmarks._laps import serve_laps


class BareCopy:
    """Copies `source` to `target`, partition 0 to partition 0, from the beginning on."""

    def __init__(self, bootstrap: str, source: str, target: str, batch: int) -> None:
        self._from, self._target, self._batch = TopicPartition(source, 0), target, batch
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
        """The next `records` of the log: each stands in the target, and the position behind them is committed."""
        left = records
        while left > 0:
            polled = self._consumer.poll(timeout_ms=500, max_records=min(self._batch, left))
            taken = polled.get(self._from, [])
            if not taken:
                continue
            send = self._producer.send
            futures = [
                send(self._target, value=one.value, key=one.key, headers=list(one.headers), partition=0)
                for one in taken
            ]
            self._producer.flush()
            if not all(future.succeeded() for future in futures):
                raise RuntimeError("a send failed: the figures would say nothing")
            self._consumer.commit({self._from: OffsetAndMetadata(taken[-1].offset + 1, "", -1)})
            left -= len(taken)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "source", "target"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--batch", type=int, required=True)
    given = parser.parse_args()
    serve_laps(BareCopy(given.bootstrap, given.source, given.target, given.batch).copy)


if __name__ == "__main__":
    main()
