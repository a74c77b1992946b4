"""Tables as their logs give them, worked out once more from the rule; against it copies, and replicas, are held."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deploy.simulation.platform import SimulatedPlatform
from shared.contracts.control import TableCopied
from shared.contracts.errors import HeadraceError
from shared.contracts.flow import WindowsChanged
from shared.contracts.topics import FEATURES
from shared.runtime.followed_logs import Standing
from shared.runtime.log import TopicPartition
from shared.runtime.process import Process
from shared.runtime.table_copies import decoded
from shared.runtime.tables import TableFollower
from tests.scenarios.evidence import Evidence
from tests.scenarios.topic_history import TopicHistory


@dataclass(frozen=True)
class Table:
    """One partition of a table: by entity its newest state, with the newest event time; by task the last sequence."""

    rows: Mapping[str, tuple[dict[str, Any], int]]
    sequences: Mapping[str, int]


def table_of(history: TopicHistory, tp: TopicPartition, position: int | None = None) -> Table:
    """What the log up to `position` says, or all of it."""
    rows: dict[str, tuple[dict[str, Any], int]] = {}
    sequences: dict[str, int] = {}
    for read in history.accepted(tp):
        if position is not None and read.offset >= position:
            break
        event, message = read.message.event, read.message
        if message.sequence is not None:
            sequences[message.source] = message.sequence
        if isinstance(event, WindowsChanged) and not event.state:
            rows.pop(event.entity, None)
        elif isinstance(event, WindowsChanged):
            _, before_ms = rows.get(event.entity, ({}, message.time_ms))
            rows[event.entity] = (event.state, max(before_ms, message.time_ms))
    return Table(rows, sequences)


def tables(history: TopicHistory) -> list[TopicPartition]:
    """The logs of all tables."""
    return sorted(tp for view in history.definitions.views for tp in history.partitions(FEATURES.of(view).name))


def copies_hold_their_log(evidence: Evidence) -> Iterator[str]:
    """9: a copy says of its position what the log says; its rows, while it is one of the two that are kept, as well."""
    if evidence.steps is None:
        return
    history = evidence.history
    kept = {copy.table.uri for copies in history.newest.tables.values() for copy in copies}
    for _, copied in history.decided(TableCopied):
        tp = TopicPartition(FEATURES.of(copied.view).name, copied.partition)
        table = table_of(history, tp, copied.position)
        where = f"the copy of {tp.topic}/{tp.partition} at {copied.position}"
        if (copied.rows, copied.sequences) != (len(table.rows), table.sequences):
            yield f"{where} says {copied.rows} rows, {copied.sequences}; the log {len(table.rows)}, {table.sequences}"
        if evidence.artifacts is not None and copied.table.uri in kept:
            yield from _other_rows(where, evidence, copied, table)


def _other_rows(where: str, evidence: Evidence, copied: TableCopied, table: Table) -> Iterator[str]:
    assert evidence.artifacts is not None
    try:
        found = decoded(evidence.artifacts.get(copied.table))
    except HeadraceError as error:
        yield f"{where} cannot be read: {error}"
        return
    if found != table.rows:
        yield f"{where} holds other rows than the log"


def replica_of(process: Process) -> dict[TopicPartition, tuple[Mapping[str, tuple[dict[str, Any], int]], Standing]]:
    """All that a process knows of tables: rows, how far it has read, and what it accepts next."""
    follower, known = TableFollower.of(process), process.followed
    found = {tp: (follower.rows(tp), known.standing(tp)) for tp in known.positions if follower.reads(tp)}
    return {tp: (rows, standing) for tp, (rows, standing) in found.items() if standing is not None}


def replicas_hold_their_logs(platform: SimulatedPlatform, history: TopicHistory) -> Iterator[str]:
    """Of a settled platform: whoever follows tables knows what the logs say, wherever it began."""
    expected = {tp: table_of(history, tp) for tp in tables(history)}
    for name, process in platform.world.processes.items():
        if not any(isinstance(follower, TableFollower) for follower in process.followers):
            continue
        known = replica_of(process)
        if sorted(known) != list(expected):
            yield f"{name} follows {sorted(known)}, and there are {list(expected)}"
        for tp, (rows, standing) in known.items():
            table = expected.get(tp) or table_of(history, tp)
            if (rows, standing.sequences) != (table.rows, table.sequences):
                yield f"{name} has another {tp.topic}/{tp.partition} than the log"
