"""Of head steps of sources by the clock of events: which control positions they bring in, from the topics alone."""

from __future__ import annotations

from collections.abc import Iterator

from shared.contracts import control as c
from shared.contracts.definitions import Clock, Source
from shared.contracts.topics import INTAKE
from tests.scenarios.evidence import Evidence
from tests.scenarios.topic_history import TopicHistory


def only_what_ticks_name_is_adopted(evidence: Evidence) -> Iterator[str]:
    """7: a position that a tick of the source names, or one at which definitions came into force; and no other."""
    history = evidence.history
    for source in history.definitions.sources.values():
        if source.time.clock is Clock.EVENTS:
            yield from _others(history, source)


def _others(history: TopicHistory, source: Source) -> Iterator[str]:
    heads = {f"ingestion/intake/{source.topic_name}/{partition}" for partition in range(source.partitions)}
    named = {tick.adopt or 0 for _, tick in history.decided(c.Tick) if source.name in tick.sources}
    named |= {0, *(read.position for read, _ in history.decided(c.DefinitionsApplied))}
    for tp in history.partitions(INTAKE.of(source.name).name):
        for record, entry in history.entries(tp):
            if entry.source in heads and entry.control not in named:
                where = f"{tp.topic}/{tp.partition} offset {record.offset}"
                yield f"{where}: {entry.source} brings in control position {entry.control}, which no tick names"
