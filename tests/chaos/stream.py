"""The client of a platform that is struck: publishes all the time, with labels that come late, and counts what it sent.

Records go out while the platform keeps up; where it is behind, the client waits. So there is always something to do,
and never more than can be caught up with.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

import orjson

from deploy.local.replay_publisher import ReplayPublisher, tick_ends
from deploy.local.replay_rows import Outgoing
from deploy.local.settle import Settling
from shared.contracts.control import Tick
from shared.contracts.definitions import Clock
from shared.runtime.kafka_broker import KafkaBroker
from shared.runtime.kafka_settings import KafkaSettings
from tests.chaos.processes import Processes
from tests.scenarios.acts import UNTIL_ALL_IS_DECIDED
from tests.scenarios.workload import PAYMENTS, STEP_MS, T0_MS, TRUTHS, Block, Sent, endless

BLOCK = 6  # payments; about as many truths come with them
BLOCK_EVERY_S = 0.4
MOST_BEHIND = 1_500  # entries, of all logs together
TURNS_EVERY = 1_200  # payments: time for a rollout to be judged, though decisions lag where somebody is always dead
DEADLINE_H = 3  # of a rollout, for the same reason: an hour of events goes by in 24 s
OPENING_MS, HOUR_MS = 1, 3_600_000


class Stream(threading.Thread):
    """Publishes blocks, each with a tick behind it, until it is told to stop; `finish` lets everything mature."""

    def __init__(self, seed: int, kafka: KafkaSettings, processes: Processes) -> None:
        super().__init__(name="stream", daemon=True)
        self._stream = endless(seed, TURNS_EVERY * STEP_MS)
        self._publisher = ReplayPublisher("chaos", KafkaBroker(kafka).writer())
        self._processes = processes
        self._over = threading.Event()
        self._failure: Exception | None = None
        self._applied: dict[str, int] = {}
        self._published_ms: int | None = None

    @property
    def now(self) -> tuple[int, bool] | None:
        """Event time of the newest block and whether what was good is bad then; None before the first one."""
        now_ms = self._published_ms
        return None if now_ms is None else (now_ms, (now_ms - T0_MS) // (TURNS_EVERY * STEP_MS) % 2 == 1)

    @property
    def published(self) -> Mapping[str, int]:
        """Records by topic."""
        return self._publisher.published

    def run(self) -> None:
        try:
            while not self._over.wait(BLOCK_EVERY_S):
                if self._behind() < MOST_BEHIND:
                    block = self._stream.block(BLOCK)
                    self._publish(block, adopt=self._processes.control)
                    self._published_ms = block.end_ms
        except Exception as failure:
            self._failure = failure
            raise

    def _behind(self) -> int:
        """Entries that nobody has applied, as far as is known."""
        for name in self._processes.ports.services:
            said = self._processes.picture(name)
            for log, position in (said.applied if said else {}).items():
                self._applied[log] = max(self._applied.get(log, 0), position)
        ends = {**self._processes.ends, **self._publisher.ends}
        return sum(max(0, ends.get(log, 0) - position) for log, position in self._applied.items())

    def _publish(self, block: Block, adopt: int) -> None:
        for sent in (*block.records, *block.truths):
            self._publisher.send(_outgoing(sent))
        self._publisher.flush()
        self._tick(block.end_ms, adopt)

    def _tick(self, time_ms: int, adopt: int) -> None:
        ends = tick_ends(self._publisher.ends, frozenset((PAYMENTS, TRUTHS)))
        self._publisher.tick(time_ms, Tick(clock=Clock.EVENTS, sources=(PAYMENTS, TRUTHS), ends=ends, adopt=adopt))

    def stop(self) -> None:
        """Publish no further block. Raises what made the publishing fail."""
        self._over.set()
        self.join()
        if self._failure is not None:
            raise self._failure

    def finish(self, settling: Settling, others: Mapping[str, int]) -> None:
        """The labels still held back, and ticks until all have matured and every deadline has passed.

        `others`: how far logs reach by what another client sent.
        """
        for log, end in others.items():
            self._publisher.ends[log] = max(self._publisher.ends.get(log, 0), end)
        last = self._stream.last_truths()
        settled = settling.settle(self._publisher.ends)
        self._publish(last, settled.control)
        for after_ms in (*UNTIL_ALL_IS_DECIDED, (DEADLINE_H + 1) * HOUR_MS):
            settled = settling.settle(self._publisher.ends)
            self._tick(last.end_ms + OPENING_MS + after_ms, settled.control)
        settling.settle(self._publisher.ends)
        self._publisher.close()


def _outgoing(sent: Sent) -> Outgoing:
    value = sent.record if isinstance(sent.record, bytes) else orjson.dumps(sent.record)
    return Outgoing(sent.source, sent.partition, b"", value)
