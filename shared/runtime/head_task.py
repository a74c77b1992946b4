"""Tasks at the head, which read a user's topic and bring in what comes from outside: the clock and control.v1."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shared.contracts.definitions import Clock, Source
from shared.contracts.envelope import NEVER_MS
from shared.contracts.platform import Platform
from shared.runtime.log import LogRecord
from shared.runtime.step import Raw
from shared.runtime.task import Task


class HeadTask(Task):
    """Reads records that are no events of ours. Its watermark is the newest event time or tick, less the lateness."""

    _tick_ms: int = NEVER_MS
    _awaited: tuple[int, int] | None = None  # a wall tick's time, and the fetch token taken after seeing it

    @property
    def platform(self) -> Platform:
        """What a head step uses of a definition never changes; so it may read the newest."""
        return self.history.newest

    @property
    def source(self) -> Source:
        return self.history.newest.definitions.sources[self.spec.subject]

    def _take(self, record: LogRecord) -> None:
        self.counts.read += 1
        self._call(Raw(record), record)

    def process(self, records: Sequence[LogRecord], now_s: float) -> int:
        """Take records: even the first of them under the definition of their source."""
        self._show_definition()
        return super().process(records, now_s)

    def pass_to(self, position: int) -> None:
        """Up to `position` the log holds no record: ends of transactions, say, or what was told to be damaged."""
        if position > self.position:
            self._write()
            self._changes = self._no_changes()
            self.position = position
            self._commit()

    def _show_definition(self) -> None:
        self.control = max(self.control, self.history.newest.sources_at.get(self.spec.subject, 0))

    def observe(self, token: Callable[[], int], end_reached: Callable[[int], bool]) -> None:
        """Take in ticks of the source's clock, and the control position, as far as they may be marked now.

        `token` names this moment for `end_reached`, which says whether everything that the topic held then is taken.
        """
        platform, source = self.history.newest, self.source
        if source.time.clock is Clock.WALL:
            self._observe_wall(platform, token, end_reached)
        else:
            self._observe_events(platform, source)
        self._move_watermark()

    def _fire(self) -> None:
        self._move_watermark()

    @property
    def awaits_tick(self) -> bool:
        """Whether a tick of a replay is not yet marked."""
        source = self.source
        events = source.time.clock is Clock.EVENTS
        return events and self.history.newest.ticks.get(source.name, NEVER_MS) > self._tick_ms

    def _move_watermark(self) -> None:
        newest_ms = self.step.newest_ms(self.state("partition"))
        time_ms = max(self._tick_ms, NEVER_MS if newest_ms is None else newest_ms)
        if time_ms != NEVER_MS:
            self.watermark_ms = max(self.watermark_ms, time_ms - self.source.time.allowed_lateness)

    def _observe_wall(self, platform: Platform, token: Callable[[], int], end_reached: Callable[[int], bool]) -> None:
        self.control = max(self.control, platform.position)
        if self._awaited and end_reached(self._awaited[1]):
            self._tick_ms, self._awaited = max(self._tick_ms, self._awaited[0]), None
        newest_ms = platform.ticks.get("wall", NEVER_MS)
        if self._awaited is None and newest_ms > self._tick_ms:
            self._awaited = (newest_ms, token())

    def _observe_events(self, platform: Platform, source: Source) -> None:
        """Ticks of a replay name the ends of the topics that they stand behind, and the control position to adopt."""
        self._show_definition()
        time_ms, seen = platform.ticks.get(source.name, NEVER_MS), platform.last_ticks.get(source.name)
        if seen is None:
            return
        tick = seen[1]
        end = tick.ends.get(self.spec.topic, {}).get(self.spec.partition, 0)
        if self.position >= end:
            self._tick_ms = max(self._tick_ms, time_ms)
            self.control = max(self.control, tick.adopt or 0)
