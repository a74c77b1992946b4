"""The course of a replay: opening tick, the file's rows, the labels still held back, and two last ticks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from deploy.local.replay_blocks import Block, blocks
from deploy.local.replay_pace import Pace
from deploy.local.replay_publisher import ReplayPublisher, tick_ends
from deploy.local.replay_rows import Outgoing, ReplayRows
from deploy.local.settle import Ends, Settled
from shared.contracts.control import Tick
from shared.contracts.definitions import Clock
from shared.contracts.topology import Definitions

_TICK_EVERY_S = 0.25
LARGEST_FREE_BLOCK = 1_000


@dataclass
class Spent:
    """Seconds by what they went to."""

    seconds: dict[str, float] = field(default_factory=dict[str, float])

    def add(self, what: str, seconds: float) -> None:
        self.seconds[what] = self.seconds.get(what, 0.0) + seconds


@dataclass(frozen=True)
class ReplayRun:
    """`settle` returns once the platform has settled behind these ends; `control` says where control.v1 stands now.

    `published(rows)`: how many rows of the file have been published so far. `now_s` and `sleep` keep a pace that is a
    factor: each record goes out at its time, and with it the labels that are due by then.
    """

    rows: ReplayRows
    definitions: Definitions
    publisher: ReplayPublisher
    settle: Callable[[Ends], Settled]
    control: Callable[[], int]
    published: Callable[[int], None]
    spent: Spent = field(default_factory=Spent)
    now_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def run(self, pace: Pace, block_size: int) -> None:
        """The whole replay; returns when everything is settled."""
        records, labels = self.rows.records, self.rows.labels
        due_ms = None if labels is None else labels.times_ms
        settled = self._settled("definitions")
        self._tick(records.times_ms[0] - 1, settled)
        settled = self._settled("ticks")
        others = self.definitions.ways[records.source.name][1:] if pace.lockstep else ()
        entities = [records.names(stage.entity) for stage in others]
        cut = blocks(records.times_ms, due_ms, _block_size(pace, block_size), entities)
        if pace.lockstep:
            self._in_lockstep(cut, settled)
        else:
            self._freely(cut, pace)
        settled = self._settled("labels")
        self._tick(self.maturity_ms, settled)
        settled = self._settled("maturity tick")
        self._tick(self.expiry_ms, settled)
        self._settled("last tick")

    @property
    def maturity_ms(self) -> int:
        """So late that every record has matured. Not later: deadlines run on ticks as well, and what the last outcomes
        say of a rollout is to come first."""
        source = self.rows.records.source
        last_ms = self.rows.records.times_ms[-1]
        matured = [last_ms + model.label.matures_after for model in self.definitions.models_on(source.name)]
        due = [self.rows.labels.times_ms[-1]] if self.rows.labels else []
        lateness_ms = max(one.time.allowed_lateness for one in self.rows.sources)
        return max([last_ms, *matured, *due]) + lateness_ms + 1

    @property
    def expiry_ms(self) -> int:
        """So late that every label has its fate: one without a record, such as that of a rejected one, has expired."""
        known_ms = [self.rows.records.times_ms[-1], *(self.rows.labels.times_ms[-1:] if self.rows.labels else ())]
        sources = {source.name for source in self.rows.sources}
        waits_ms = [
            model.label.expires_after
            for model in self.definitions.models.values()
            if sources & {model.scores, model.label.source}
        ]
        lateness_ms = max(one.time.allowed_lateness for one in self.rows.sources)
        return max(self.maturity_ms, max(known_ms) + max(waits_ms, default=0) + lateness_ms) + 1

    def _in_lockstep(self, cut: Iterable[Block], opened: Settled) -> None:
        settled = opened
        for block in cut:
            if block.records:
                self._publish(self.rows.records.at(row) for row in block.records)
                settled = self._settled("records")
            if block.labels and self.rows.labels is not None:
                self._publish(self.rows.labels.at(row) for row in block.labels)
                settled = self._settled("labels")
            self._tick(block.end_ms, settled)
            settled = self._settled("ticks")
            if block.records:
                self.published(block.records.stop)

    def _freely(self, cut: Iterable[Block], pace: Pace) -> None:
        began_s = ticked_s = self.now_s()
        first_ms = self.rows.records.times_ms[0]
        for block in cut:
            self.sleep(pace.wait_s(block.end_ms, first_ms, self.now_s() - began_s))
            self._send(self.rows.records.at(row) for row in block.records)
            if self.rows.labels is not None:
                self._send(self.rows.labels.at(row) for row in block.labels)
            if self.now_s() - ticked_s > _TICK_EVERY_S:
                self.publisher.flush()
                self._tick(block.end_ms, Settled(self.control(), self.publisher.ends))
                ticked_s = self.now_s()
            if block.records:
                self.published(block.records.stop)
        self.publisher.flush()

    def _publish(self, records: Iterable[Outgoing]) -> None:
        began_s = time.monotonic()
        self._send(records)
        self.publisher.flush()
        self.spent.add("publishing", time.monotonic() - began_s)

    def _send(self, records: Iterable[Outgoing]) -> None:
        for record in records:
            self.publisher.send(record)

    def _settled(self, after: str) -> Settled:
        began_s = time.monotonic()
        settled = self.settle(self.publisher.ends)
        self.spent.add(f"settling after {after}", time.monotonic() - began_s)
        return settled

    def _tick(self, time_ms: int, behind: Settled) -> None:
        began_s = time.monotonic()
        topics = frozenset(source.topic_name for source in self.rows.sources)
        names = tuple(source.name for source in self.rows.sources)
        ends = {**behind.applied, **self.publisher.ends}
        self.publisher.tick(
            time_ms, Tick(clock=Clock.EVENTS, sources=names, ends=tick_ends(ends, topics), adopt=behind.control)
        )
        self.spent.add("publishing", time.monotonic() - began_s)


def _block_size(pace: Pace, asked: int) -> int:
    """Records that go out together: so many as asked; one by one where each has its own time."""
    if pace.factor is not None:
        return 1
    return asked if pace.lockstep else min(LARGEST_FREE_BLOCK, asked)
