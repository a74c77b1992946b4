"""Accepted rows that fill no segment yet: they stand in the files of ingestion, and in the copies of these files.

Of each accept task the furthest counts, wherever it is: a file on this machine, or a copy in the object store.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.contracts.topics import INTAKE, RECORDS
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.copies import Copies
from shared.runtime.sqlite_files import checked
from shared.runtime.task_file import reached_in
from shared.runtime.task_folder import log_of_folder
from shared.runtime.task_names import task_of

_ROWS = "SELECT row FROM buffers WHERE name = 'archive' ORDER BY ordinal"
_ACCEPT = "ingestion/accept/"
Reached = tuple[int, int]  # position, outbox ordinal


@dataclass(slots=True)
class UnarchivedRows:
    """`rows`: of all sources, as ingestion archives them. `warnings`: what is not among them, or may not be."""

    rows: list[list[Any]] = field(default_factory=list[list[Any]])
    warnings: list[str] = field(default_factory=list[str])


@dataclass(frozen=True, slots=True)
class _Held:
    """What one file holds, and how far it got."""

    log_id: str | None
    reached: Reached
    rows: list[list[Any]]


def unarchived_rows(store: ArtifactStore, log_id: str, data: Path, topic: str) -> UnarchivedRows:
    """Those of a log. `topic`: of whose accept tasks it is said what was not found. Raises ArtifactMissing."""
    found, copies = UnarchivedRows(), Copies(store, log_id)
    files, stored = _files(data, log_id, found.warnings), copies.reached()
    wanted = _accept_tasks([*files, *stored], topic)
    for task in sorted({*files, *(task for task in stored if task.startswith(_ACCEPT)), *wanted}):
        held, warning = _furthest(task, files.get(task), stored.get(task), copies)
        found.rows += held.rows if held is not None else []
        if warning is not None and task in wanted:
            found.warnings.append(warning)
    if not wanted:
        found.warnings.append(
            f"of no task that accepts {topic} there is a file below {data / 'state'} or a copy in the object store: "
            "records that fill no segment yet are missing"
        )
    return found


def _furthest(task: str, file: _Held | None, stored: Reached | None, copies: Copies) -> tuple[_Held | None, str | None]:
    """What holds most of a task, and what has to be said of it."""
    reached = (0, 0) if file is None else file.reached
    if stored is None or stored <= reached:
        missing = file is None and stored is None
        return file, _nowhere(task) if missing else None
    copy = copies.beyond(task, reached)
    held = file if copy is None else _of_copy(copy.data)
    if held is None:
        return None, _nowhere(task)
    if held.reached < stored:
        return held, (
            f"{task}: its furthest copy in the object store is damaged, and the one before it is read: records that it "
            "accepted since are missing, unless they stand in a segment"
            if copy is not None else
            f"{task}: its copies in the object store are further than its file here, but damaged: records that it "
            "accepted since are missing, unless they stand in a segment"
        )  # fmt: skip
    return held, (
        f"{task}: its newest rows come from its copy in the object store; what it accepted since that was made, "
        "HEADRACE_COPY_EVERY_S seconds at the most, stands only in its file, where that still is"
    )


def _nowhere(task: str) -> str:
    return (
        f"{task}: neither a file of it nor a copy in the object store can be read: its records that fill no segment "
        "yet are missing"
    )


def _files(data: Path, log_id: str, warnings: list[str]) -> Mapping[str, _Held]:
    """The furthest readable file of each accept task that belongs to the log."""
    found: dict[str, _Held] = {}
    for path in sorted(data.absolute().glob("state/ingestion/*/ingestion~accept~*.sqlite")):
        task, log = task_of(path.stem), log_of_folder(path.parent)
        if log not in (None, log_id):
            continue
        try:
            held = _held(f"{path.as_uri()}?mode=ro")
        except (sqlite3.Error, ValueError) as error:
            warnings.append(f"{path} cannot be read ({error}): the task's copies in the object store are looked into")
            continue
        if (log or held.log_id) == log_id and (task not in found or found[task].reached < held.reached):
            found[task] = held
    return found


def _of_copy(data: bytes) -> _Held:
    # In a folder: in memory SQLite does not open what was written ahead of its log.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "copy.sqlite"
        path.write_bytes(data)
        return _held(f"{path.as_uri()}?immutable=1")


def _held(uri: str) -> _Held:
    """Raises sqlite3.Error and ValueError for a file that is damaged."""
    with closing(checked(sqlite3.connect(uri, uri=True))) as connection, connection:
        connection.execute("BEGIN")  # one snapshot: the task may go on meanwhile
        reached = reached_in(connection)
        [log_id] = connection.execute("SELECT value FROM meta WHERE name = 'log_id'").fetchone() or [None]
        rows = [json.loads(row) for (row,) in connection.execute(_ROWS)]
    return _Held(log_id, reached, rows)


def _accept_tasks(known: Iterable[str], topic: str) -> set[str]:
    """The accept tasks of a source, by the tasks of the log that are known: as many as its logs have partitions.

    Of all sources, if no task is named after `topic`: then it is a user's topic of another name.
    """
    partitions: dict[str, int] = {}
    for source, partition in _partitions(known):
        partitions[source] = max(partitions.get(source, 0), partition + 1)
    sources = [topic] if topic in partitions else [*partitions]
    return {f"{_ACCEPT}{INTAKE.of(source).name}/{p}" for source in sources for p in range(partitions[source])}


def _partitions(tasks: Iterable[str]) -> Iterator[tuple[str, int]]:
    for task in tasks:
        _, _, log, partition = task.split("/")
        source = INTAKE.subject(log) or RECORDS.subject(log)
        if source is not None:
            yield source, int(partition)
