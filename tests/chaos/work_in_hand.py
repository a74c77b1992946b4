"""What a frozen process has in hand: what its files say against what stands in the logs."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from tests.e2e.evidence_of_run import path_id, task_paths

_LOCKED_MS = 200


def in_hand(data: Path, process: str, ends: Mapping[str, int]) -> str:
    """In words; empty if nothing is. `ends`: how far each log reaches at least.

    The process does not move, so its files do not either. Those of tasks that have moved away are not locked.
    """
    service, _, number = process.partition("-")
    found = (_of_task(path, ends) for path in task_paths(data, service, number or "0") if _is_open(path))
    return "; ".join(text for text in found if text)


def logs_of(data: Path, process: str) -> set[str]:
    """The logs, as `topic/partition`, that the tasks of a frozen process read."""
    service, _, number = process.partition("-")
    tasks = [path_id(path) for path in task_paths(data, service, number or "0") if _is_open(path)]
    return {"/".join(task.split("/")[2:]) for task in tasks}


def is_copied(data: Path, process: str) -> bool:
    """Whether each task of a frozen process has a copy in the object store, and there is one."""
    service, _, number = process.partition("-")
    tasks = [path for path in task_paths(data, service, number or "0") if _is_open(path)]
    return bool(tasks) and all(any((data / "objects").glob(f"*/copies/{path.stem}/*")) for path in tasks)


def _is_open(path: Path) -> bool:
    with path.with_suffix(".lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _of_task(path: Path, ends: Mapping[str, int]) -> str:
    task = path_id(path)
    _, step, topic, partition = task.split("/")
    try:
        with closing(sqlite3.connect(path, timeout=_LOCKED_MS / 1000)) as file:
            row = file.execute("SELECT value FROM meta WHERE name = 'position'").fetchone()
            [unsent] = file.execute("SELECT count(*) FROM outbox").fetchone()
    except sqlite3.OperationalError:
        return ""  # it was frozen with the file locked, or before it had tables
    behind = ends.get(f"{topic}/{partition}", 0) - (0 if row is None else int(row[0]))
    said = [f"{behind} entries not applied"] if behind > 0 else []
    said += [f"{unsent} sent or to be sent beyond its cursor"] if unsent else []
    return f"{step} {topic}/{partition}: {', '.join(said)}" if said else ""
