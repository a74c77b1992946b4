"""Of head steps: 7, whether what they promise had been shown to them: worked out once more, from the user's topic."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from shared.contracts import control as c
from shared.contracts.definitions import Clock, Source
from shared.contracts.envelope import NEVER_MS, Message
from shared.contracts.flow import IntakeRecord
from shared.contracts.topics import INTAKE
from shared.runtime.log import TopicPartition
from tests.scenarios.evidence import Evidence
from tests.scenarios.topic_history import CONTROL_TP, TopicHistory
from tests.scenarios.watermarks import followed

Ticks = list[tuple[int, int]]  # behind what a tick stands, and its time
SeenBefore = Callable[[int], int]  # the newest time that a head may have seen before it takes an offset


def heads_promise_what_they_have_seen(evidence: Evidence) -> Iterator[str]:
    """7: behind a record of a user's topic nothing was promised but what stood before it there, or a tick behind that.

    Ticks of the clock of events name the ends that they stand behind. One of the wall clock counts once all is taken
    that stood in the topic when the head saw it: whatever came to stand there before the tick was written is.
    """
    history = evidence.history
    for source in history.definitions.sources.values():
        if source.time.clock is Clock.WALL and not history.stamped_on_arrival:
            continue  # when a tick and a record came to stand in their logs is not known
        by_clock = _seen_by_the_wall if source.time.clock is Clock.WALL else _seen_by_events
        taken = _taken(history, source)
        for partition in range(source.partitions):
            seen_ms = by_clock(history, source, partition, taken.get(partition, {}))
            yield from _too_early(history, source, partition, seen_ms)


def _too_early(history: TopicHistory, source: Source, partition: int, seen_ms: SeenBefore) -> Iterator[str]:
    head, lateness_ms = f"ingestion/intake/{source.topic_name}/{partition}", source.time.allowed_lateness
    for tp in history.partitions(INTAKE.of(source.name).name):
        for _, entry, shown in followed(history, tp):
            if not isinstance(entry, Message) or entry.source != head or not isinstance(entry.event, IntakeRecord):
                continue
            if entry.sequence != shown.last.get(head, 0) + 1:
                continue
            offset, promised_ms = entry.event.offset, shown.promised_ms.get(head, NEVER_MS)
            if promised_ms != NEVER_MS and promised_ms + lateness_ms > seen_ms(offset):
                said = f"promised {promised_ms}, {lateness_ms} behind what it has seen, before it took offset {offset}"
                yield f"{head} {said}; it had seen {seen_ms(offset)}"


def _taken(history: TopicHistory, source: Source) -> dict[int, dict[int, int]]:
    """Times by offset, by partition of the user's topic: by the wall clock none counts as later than the broker's."""
    found: dict[int, dict[int, int]] = {}
    for read, event in history.events(INTAKE.of(source.name).name, IntakeRecord):
        time_ms = read.message.time_ms
        counted_ms = min(time_ms, event.broker_time_ms) if source.time.clock is Clock.WALL else time_ms
        found.setdefault(event.partition, {})[event.offset] = counted_ms
    return found


def _seen_by_events(history: TopicHistory, source: Source, partition: int, taken: dict[int, int]) -> SeenBefore:
    ticks = [
        (tick.ends.get(source.topic_name, {}).get(partition, 0), read.message.time_ms)
        for read, tick in history.decided(c.Tick)
        if source.name in tick.sources
    ]
    return lambda offset: _newest(offset, taken, ticks, offset)


def _seen_by_the_wall(history: TopicHistory, source: Source, partition: int, taken: dict[int, int]) -> SeenBefore:
    control, topic = history.logs[CONTROL_TP], history.logs[TopicPartition(source.topic_name, partition)]
    ticks = [
        (control[read.offset].timestamp_ms, read.message.time_ms)
        for read, tick in history.decided(c.Tick)
        if tick.clock is Clock.WALL
    ]
    came_ms = {record.offset: record.timestamp_ms for record in topic}
    return lambda offset: _newest(offset, taken, ticks, came_ms[offset])


def _newest(offset: int, taken: dict[int, int], ticks: Ticks, reached: int) -> int:
    times = [time_ms for at, time_ms in taken.items() if at < offset]
    return max((*times, *(time_ms for behind, time_ms in ticks if behind <= reached)), default=NEVER_MS)
