"""A source's accepted records as the archive holds them, checked on the way: what a second computation reads.

Row i of a partition is its i-th accepted record: the archive's segments hold the first ones, `records.<source>` all.
"""

from __future__ import annotations

import io
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson
import polars as pl
from pydantic import JsonValue

from shared.contracts.control import SegmentWritten
from shared.contracts.flow import RecordAccepted
from shared.contracts.topics import RECORDS
from shared.runtime.artifacts import ArtifactDamaged, ArtifactMissing
from shared.runtime.cloud_events import MalformedRecord, read_record
from shared.runtime.log import TopicPartition
from tests.scenarios.evidence import Evidence
from tests.scenarios.set_aside import letters, replays
from tests.scenarios.topic_history import TopicHistory


@dataclass(frozen=True, slots=True)
class RecordRow:
    """An accepted record. `position`: of all rows of the source, in the order of each partition's log."""

    record_id: str
    time_ms: int
    key: str
    position: int
    value: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Records:
    """The rows of a source, how many of them come from the archive, and what is wrong with it."""

    rows: list[RecordRow] = field(default_factory=list[RecordRow])
    archived: int = 0
    wrong: list[str] = field(default_factory=list[str])


def accepted_records(evidence: Evidence, source: str) -> Records:
    """From the segments, and from the topic what no segment holds yet; without an object store, from the topic alone.

    A partition of which a segment cannot be read has no rows.
    """
    history = evidence.history
    written = history.newest.segments.get(("records", source), ()) if evidence.artifacts is not None else ()
    rows, archived, wrong, taken = list[RecordRow](), 0, list[str](), set[tuple[str, int, int]]()
    for tp in history.partitions(RECORDS.of(source).name):
        own = sorted((s for s in written if s.partition == tp.partition), key=lambda segment: segment.number)
        tables, unreadable = _read(evidence, own)
        wrong += unreadable
        if unreadable:
            continue
        of_archive = [row for table in tables for row in table.iter_rows(named=True)]
        found = [_archived(row, tp.partition, ordinal) for ordinal, row in enumerate(of_archive)]
        for row, record in zip(of_archive, found, strict=True):
            wrong += _not_as_sent(history, row, record.value, taken)
        archived += len(found)
        rows += found + list(_newer(history, tp, len(found)))
    return Records(rows, archived, wrong)


def _read(evidence: Evidence, segments: Sequence[SegmentWritten]) -> tuple[list[pl.DataFrame], list[str]]:
    """The tables of one partition's segments, and what keeps them from being read as one."""
    tables, wrong, first = list[pl.DataFrame](), list[str](), 0
    for number, segment in enumerate(segments):
        name = f"records segment {segment.number} of {segment.subject}/{segment.partition}"
        if (segment.number, segment.first) != (number, first):
            wrong.append(f"{name} begins at row {segment.first}, expected segment {number} at row {first}")
        try:
            assert evidence.artifacts is not None
            table = pl.read_parquet(io.BytesIO(evidence.artifacts.get(segment.segment)))
        except (ArtifactDamaged, ArtifactMissing) as error:
            wrong.append(f"{name}: {error}")
            continue
        spans = (table.height, table["time_ms"].min(), table["time_ms"].max())
        if spans != (segment.rows, segment.from_ms, segment.to_ms):
            wrong.append(f"{name} has (rows, from_ms, to_ms) {spans}, its event says otherwise")
        tables.append(table)
        first += segment.rows
    return tables, wrong


def _archived(row: Mapping[str, object], partition: int, ordinal: int) -> RecordRow:
    time_ms, value = row["time_ms"], orjson.loads(str(row["value"]))
    assert isinstance(time_ms, int)
    return RecordRow(str(row["record_id"]), time_ms, str(row["key"]), _position(partition, ordinal), value)


def _newer(history: TopicHistory, tp: TopicPartition, archived: int) -> Iterator[RecordRow]:
    """What a reader of the topic accepts behind the rows that are archived."""
    reads = [read for read in history.accepted(tp) if isinstance(read.message.event, RecordAccepted)]
    for ordinal, read in enumerate(reads[archived:], archived):
        event = read.message.event
        assert isinstance(event, RecordAccepted)
        position = _position(tp.partition, ordinal)
        yield RecordRow(event.record_id, read.message.time_ms, read.message.key or "", position, event.value)


def seen_by_features(history: TopicHistory, source: str) -> dict[int, int]:
    """The order in which features took the rows of a source, by their position: one that died there when it was
    replayed, or never."""
    found: dict[int, int] = {}
    for tp in history.partitions(RECORDS.of(source).name):
        dead = {letter.offset for letter in letters(history, "features") if letter.tp == tp}
        again = {
            getattr(read.message.event, "record_id", None): read.offset
            for read in replays(history, "features/")
            if read.tp == tp and read.offset not in dead
        }
        reads = [read for read in history.accepted(tp) if isinstance(read.message.event, RecordAccepted)]
        for ordinal, read in enumerate(reads):
            name = getattr(read.message.event, "record_id", None)
            offset = again.get(name) if read.offset in dead else read.offset
            if offset is not None:
                found[_position(tp.partition, ordinal)] = _position(tp.partition, offset)
    return found


def _position(partition: int, ordinal: int) -> int:
    return (partition << 40) + ordinal


def _not_as_sent(
    history: TopicHistory, row: Mapping[str, object], value: Mapping[str, JsonValue], taken: set[tuple[str, int, int]]
) -> Iterator[str]:
    """The position of a row is its own, and the user's topic has there what was archived, if it has it still."""
    topic, partition, offset = str(row["topic"]), row["topic_partition"], row["topic_offset"]
    assert isinstance(partition, int)
    assert isinstance(offset, int)
    name = f"record {row['record_id']}, archived as of {topic}/{partition} offset {offset},"
    if (topic, partition, offset) in taken:
        yield f"{name} stands where another one does"
    taken.add((topic, partition, offset))
    log = history.logs.get(TopicPartition(topic, partition), [])
    if log and offset < log[0].offset:
        return
    index = bisect_left(log, offset, key=lambda record: record.offset)
    if index == len(log) or log[index].offset != offset:
        yield f"{name} is not there"
        return
    try:
        sent = read_record(log[index].key, log[index].value, log[index].headers)
    except MalformedRecord as malformed:
        yield f"{name} cannot have been accepted: {malformed}"
        return
    if sent.data != value:
        yield f"{name} is another one there: {sent.text}"
