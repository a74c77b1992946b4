"""Ingestion in the simulation, under the default definitions."""

from __future__ import annotations

from typing import Any

import orjson

from deploy.simulation.world import NO_FAULTS, Faults, World
from services.ingestion.app import build
from services.ingestion.settings import IngestionSettings
from shared.contracts.control import SegmentWritten
from shared.contracts.definitions import Source
from shared.contracts.envelope import Encoded, Event, Message, decode, encode
from shared.contracts.identity import derived_id
from shared.contracts.topics import CONTROL
from shared.runtime.acceptance import Acceptance
from shared.runtime.log import TopicPartition
from tests import builders as b
from tests.unit.ingestion.calls import value

SETTINGS = IngestionSettings(rows_per_segment=10)


def world(seed: int = 1, faults: Faults = NO_FAULTS, source: Source | None = None) -> World:
    made = World(seed, [lambda: build(SETTINGS)], faults)
    made.broker.admin().create(CONTROL.name, 1, {})
    made.broker.admin().create(b.SOURCE, (source or b.source()).partitions, {})
    declared = (*b.declared(), *([source] if source else []))
    for event in (b.founded(), b.applied(*declared)):
        made.publish(CONTROL.name, 0, encode(b.message(event, id=derived_id("control", event.ce_type))))
    return made


def publish(made: World, record: dict[str, Any] | bytes, partition: int = 0) -> int:
    data = record if isinstance(record, bytes) else orjson.dumps(record)
    return made.publish(b.SOURCE, partition, Encoded(None, data, ()))


def publish_many(made: World, first: int, following: int) -> None:
    for n in range(first, following):
        publish(made, value(transaction_id=f"t{n}", at=b.T0_MS + n))


def events(made: World, topic: str, partition: int = 0) -> list[Event]:
    """What readers accept of a log: the next of each task, what comes from outside once."""
    found: list[Event] = []
    acceptance, outside = Acceptance(), set[str]()
    for record in made.broker.history(TopicPartition(topic, partition)):
        entry = decode(record.key, record.value, record.headers)
        if isinstance(entry, Message) and acceptance.accepts(entry):
            if entry.sequence is None and entry.id in outside:
                continue
            outside.add(entry.id)
            found.append(entry.event)
    return found


def segments(made: World) -> list[SegmentWritten]:
    return [event for event in events(made, CONTROL.name) if isinstance(event, SegmentWritten)]
