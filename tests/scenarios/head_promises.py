"""Of head steps: 7, whether what they promise had been shown to them: worked out once more, from the user's topic."""

from __future__ import annotations

from collections.abc import Iterator

from shared.contracts import control as c
from shared.contracts.definitions import Clock, Source
from shared.contracts.envelope import NEVER_MS, Message
from shared.contracts.flow import IntakeRecord
from shared.contracts.topics import INTAKE
from tests.scenarios.evidence import Evidence
from tests.scenarios.topic_history import TopicHistory
from tests.scenarios.watermarks import followed

Ticks = list[tuple[int, int]]  # the end that a tick names, and its time


def heads_promise_what_they_have_seen(evidence: Evidence) -> Iterator[str]:
    """7: behind a record of a user's topic nothing was promised but what stood before it there, or a tick behind that.

    Of sources by the clock of events: their ticks name the ends that they stand behind.
    """
    history = evidence.history
    for source in history.definitions.sources.values():
        if source.time.clock is not Clock.EVENTS:
            continue
        taken = _taken(history, source)
        for partition in range(source.partitions):
            yield from _too_early(history, source, partition, taken.get(partition, {}))


def _too_early(history: TopicHistory, source: Source, partition: int, taken: dict[int, int]) -> Iterator[str]:
    head = f"ingestion/intake/{source.topic_name}/{partition}"
    ticks, lateness_ms = _ticks(history, source, partition), source.time.allowed_lateness
    for tp in history.partitions(INTAKE.of(source.name).name):
        for _, entry, shown in followed(history, tp):
            if not isinstance(entry, Message) or entry.source != head or not isinstance(entry.event, IntakeRecord):
                continue
            if entry.sequence != shown.last.get(head, 0) + 1:
                continue
            offset, promised_ms = entry.event.offset, shown.promised_ms.get(head, NEVER_MS)
            if promised_ms != NEVER_MS and promised_ms + lateness_ms > _seen_ms(offset, taken, ticks):
                said = f"promised {promised_ms}, {lateness_ms} behind what it has seen, before it took offset {offset}"
                yield f"{head} {said}; it had seen {_seen_ms(offset, taken, ticks)}"


def _seen_ms(offset: int, taken: dict[int, int], ticks: Ticks) -> int:
    """The newest event time before an offset, and the newest tick that stands behind no more than that."""
    times = [time_ms for at, time_ms in taken.items() if at < offset]
    return max((*times, *(time_ms for end, time_ms in ticks if end <= offset)), default=NEVER_MS)


def _taken(history: TopicHistory, source: Source) -> dict[int, dict[int, int]]:
    """Event times by offset, by partition of the user's topic."""
    found: dict[int, dict[int, int]] = {}
    for read, event in history.events(INTAKE.of(source.name).name, IntakeRecord):
        found.setdefault(event.partition, {})[event.offset] = read.message.time_ms
    return found


def _ticks(history: TopicHistory, source: Source, partition: int) -> Ticks:
    return [
        (tick.ends.get(source.topic_name, {}).get(partition, 0), read.message.time_ms)
        for read, tick in history.decided(c.Tick)
        if source.name in tick.sources
    ]
