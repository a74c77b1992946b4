"""What a frozen process has in hand: what its files say against what stands in the logs."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.evidence_of_run import path_id, task_paths

_LOCKED_MS = 200


@dataclass(frozen=True, slots=True)
class InHand:
    """What one victim had in hand, in words. `at_work`: it had begun with it; else it is input that waited for it."""

    text: str
    at_work: bool


def in_hand(data: Path, process: str, ends: Mapping[str, int]) -> InHand | None:
    """None if nothing is. `ends`: how far each log reached before the process was frozen; nothing beyond counts.

    The process does not move, so its files do not either. Those of tasks that have moved away are not locked.
    What it derived and does not know to be sent stands in its files: where it rests, there is none.
    """
    found = [one for path in _open_paths(data, process) if (one := _of_task(path, ends))]
    if not found:
        return None
    return InHand("; ".join(one.text for one in found), any(one.at_work for one in found))


def tasks_of(data: Path, process: str) -> set[str]:
    """The tasks that a process has open."""
    return {path_id(path) for path in _open_paths(data, process)}


def logs_of(data: Path, process: str) -> set[str]:
    """The logs, as `topic/partition`, that the tasks of a process read."""
    return {"/".join(task.split("/")[2:]) for task in tasks_of(data, process)}


def is_copied(data: Path, process: str) -> bool:
    """Whether each task of a frozen process has a copy in the object store, and there is one."""
    paths = _open_paths(data, process)
    return bool(paths) and all(any((data / "objects").glob(f"*/copies/{path.stem}/*")) for path in paths)


def _open_paths(data: Path, process: str) -> list[Path]:
    service, _, number = process.partition("-")
    return [path for path in task_paths(data, service, number or "0") if _is_open(path)]


def _is_open(path: Path) -> bool:
    with path.with_suffix(".lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _of_task(path: Path, ends: Mapping[str, int]) -> InHand | None:
    task = path_id(path)
    _, step, topic, partition = task.split("/")
    try:
        with closing(sqlite3.connect(path, timeout=_LOCKED_MS / 1000)) as file:
            row = file.execute("SELECT value FROM meta WHERE name = 'position'").fetchone()
            [unsent] = file.execute("SELECT count(*) FROM outbox").fetchone()
    except sqlite3.OperationalError:
        return None  # it was frozen with the file locked, or before it had tables
    behind = ends.get(f"{topic}/{partition}", 0) - (0 if row is None else int(row[0]))
    said = [f"{behind} entries not applied"] if behind > 0 else []
    said += [f"{unsent} sent or to be sent beyond its cursor"] if unsent else []
    return InHand(f"{step} {topic}/{partition}: {', '.join(said)}", unsent > 0) if said else None
