"""Named places in the runtime at which a process can be made to die. The product knows nothing of them.

A point wraps one real method of the runtime. It only counts where the process has work in hand, which it says in
words: at the `nth` such moment it dies.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from shared.runtime.artifacts import ArtifactStore
from shared.runtime.copier import Copier
from shared.runtime.copies import Copies
from shared.runtime.open_files import OpenFiles
from shared.runtime.relay import Relay
from shared.runtime.task import Task
from shared.runtime.task_file import Changes, FileCopy, TaskFile
from shared.runtime.task_names import stored_as

Met = Callable[[str], None]  # told of each moment: what is in hand, empty if nothing is
Hook = Callable[..., str]
Undo = Callable[[], None]
Ends = Callable[[Collection[str]], Mapping[str, int]]  # of logs, as `topic/partition`, how far they reach now


class Point(StrEnum):
    """In the order in which work goes through a process."""

    BEFORE_COMMIT = "before the commit"
    IN_COMMIT = "within the transaction"
    AFTER_COMMIT = "after the commit"
    SENT = "sent and not acknowledged"
    PUBLISHED = "between publish and cursor"
    COPY_MADE = "a copy is made and not stored"
    COPY_STORED = "a copy is stored, older ones are still there"
    COPY_FOUND = "a copy is to be restored"
    COPY_WRITTEN = "a copy is written beside the file"
    COPY_RESTORED = "a copy has taken the file's place"
    HANDING_OVER = "a task is given away, its last copy not made"
    HANDED_OVER = "the last copy is stored, and nobody told"
    TAKEN_OVER = "a task is taken over, nothing done yet"


RESTORING = frozenset({Point.COPY_FOUND, Point.COPY_WRITTEN, Point.COPY_RESTORED})
GIVING = frozenset({Point.HANDING_OVER, Point.HANDED_OVER})
TAKING = frozenset({Point.TAKEN_OVER})
PUBLISHING = frozenset({Point.SENT, Point.PUBLISHED})


@dataclass(frozen=True, slots=True)
class Armed:
    """Die at the `nth` time that `point` is met with work in hand, and leave word of it in the file `ashes`."""

    point: Point
    nth: int
    ashes: Path

    def arm(self, ends: Ends | None = None) -> None:
        """From now on, in this process. `ends`: see `install`."""
        install(self.point, self.nth, self._die, ends)

    def _die(self, in_hand: str) -> None:
        self.ashes.write_text(in_hand)
        os.kill(os.getpid(), signal.SIGKILL)


def install(point: Point, nth: int, die: Met, ends: Ends | None = None) -> Undo:
    """Wrap the method of a point; the others stay as they are. What it returns takes the wrapping away.

    `ends`: a task that moves counts only if it has something to send, or entries before it that stand in its log by
    then. Without it each counts.
    """
    lock, left = threading.Lock(), [nth]  # copies are made on threads of their own

    def met(in_hand: str) -> None:
        if not in_hand:
            return
        with lock:
            left[0] -= 1
            if left[0] == 0:
                die(in_hand)

    return _MOVING[point](met, ends) if point in _MOVING else _INSTALL[point](met)


def _before(owner: type, name: str, hook: Hook) -> Callable[[Met], Undo]:
    """`hook` takes what the method is given."""

    def wrap(met: Met) -> Undo:
        method = getattr(owner, name)

        def wrapped(self: Any, *given: Any) -> Any:
            met(hook(self, *given))
            return method(self, *given)

        setattr(owner, name, wrapped)
        return lambda: setattr(owner, name, method)

    return wrap


def _after(owner: type, name: str, hook: Hook) -> Callable[[Met], Undo]:
    """`hook` takes what the method has returned, then what it was given."""

    def wrap(met: Met) -> Undo:
        method = getattr(owner, name)

        def wrapped(self: Any, *given: Any) -> Any:
            found = method(self, *given)
            met(hook(found, self, *given))
            return found

        setattr(owner, name, wrapped)
        return lambda: setattr(owner, name, method)

    return wrap


def _batch(file: TaskFile, changes: Changes) -> str:
    taken = changes.position - changes.expected_position
    return f"{file.task}: {taken} entries taken, {len(changes.outbox)} to be sent" if taken else ""


def _of_batch(_: None, file: TaskFile, changes: Changes) -> str:
    return _batch(file, changes)


def _sent(count: int, relay: Relay) -> str:
    return f"{relay.task.spec.id}: {relay.pending} not acknowledged, {count} just sent" if count else ""


def _published(_: None, task: Task, ordinal: int, *_where: Any) -> str:
    [count] = task.file.connection.execute("SELECT count(*) FROM outbox WHERE ordinal <= ?", (ordinal,)).fetchone()
    return f"{task.spec.id}: {count} acknowledged beyond the cursor in its file" if count else ""


def _copy_made(_: Copies, task: str, copy: FileCopy) -> str:
    return f"{task}: a copy of {len(copy.data)} bytes as of position {copy.position}"


def _copy_stored(_: None, store: ArtifactStore, uri: str, data: bytes) -> str:
    return f"{uri.split('/')[-2]}: a copy of {len(data)} bytes" if "/copies/" in uri else ""


def _to_restore(file: TaskFile, copy: FileCopy) -> str:
    return f"{file.task}: a copy as of position {copy.position}, a file as of {file.position}"


def _restored(_: None, file: TaskFile, copy: FileCopy) -> str:
    return f"{file.task}: a copy as of position {copy.position} in its file's place"


def _written(beside: Path, place: Path) -> str:
    return f"{place.stem}: {beside.stat().st_size} bytes in {beside.name}" if place.suffix == ".sqlite" else ""


def _undone(task_id: str, position: int, unsent: int, ends: Ends | None) -> str:
    """What is left to do of a task that moves; empty if nothing is."""
    _, _, topic, partition = task_id.split("/")
    log = f"{topic}/{partition}"
    behind = 0 if ends is None else max(0, ends([log])[log] - position)
    if ends is not None and not behind and not unsent:
        return ""
    return f"{task_id}: at position {position}, {behind} entries not applied, {unsent} to be sent"


def _handing_over(met: Met, ends: Ends | None) -> Undo:
    def giving(_: Copier, task: Task, membership: str) -> str:
        return _undone(task.spec.id, task.position, len(task.unsent), ends)

    return _before(Copier, "hand_over", giving)(met)


def _handed_over(met: Met, ends: Ends | None) -> Undo:
    """What a task had in hand when it was given away it has when its copy is stored: it does nothing in between."""
    left: dict[str, str] = {}

    def giving(_: Copier, task: Task, membership: str) -> str:
        left[stored_as(task.spec.id)] = _undone(task.spec.id, task.position, len(task.unsent), ends)
        return ""

    def given(_: ArtifactStore, uri: str, data: bytes) -> str:
        said = left.get(uri.split("/")[-2], "" if ends else uri) if "/handed_over/" in uri else ""
        return f"{said}; its last copy is stored" if said else ""

    undo = ExitStack()
    undo.callback(_before(Copier, "hand_over", giving)(met))
    undo.callback(_before(ArtifactStore, "write", given)(met))
    return undo.close


def _taken_over(met: Met, ends: Ends | None) -> Undo:
    def taken(file: TaskFile, _: OpenFiles, task: str, handed_over: str | None = None) -> str:
        return _undone(task, file.position, len(file.outbox()), ends) if handed_over else ""

    return _after(OpenFiles, "open", taken)(met)


_MOVING: Mapping[Point, Callable[[Met, Ends | None], Undo]] = {
    Point.HANDING_OVER: _handing_over,
    Point.HANDED_OVER: _handed_over,
    Point.TAKEN_OVER: _taken_over,
}
_INSTALL: Mapping[Point, Callable[[Met], Undo]] = {
    Point.BEFORE_COMMIT: _before(TaskFile, "commit", _batch),
    Point.IN_COMMIT: _after(TaskFile, "_write", _of_batch),
    Point.AFTER_COMMIT: _after(TaskFile, "commit", _of_batch),
    Point.SENT: _after(Relay, "send", _sent),
    Point.PUBLISHED: _after(Task, "acknowledged", _published),
    Point.COPY_MADE: _before(Copies, "keep", _copy_made),
    Point.COPY_STORED: _after(ArtifactStore, "write", _copy_stored),
    Point.COPY_FOUND: _before(TaskFile, "restore", _to_restore),
    Point.COPY_WRITTEN: _before(Path, "replace", _written),
    Point.COPY_RESTORED: _after(TaskFile, "restore", _restored),
}
