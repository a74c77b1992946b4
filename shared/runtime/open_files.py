"""Opens the files of tasks: as they are, or from a copy in the object store that got further through the log."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

import structlog

from shared.runtime.artifacts import ArtifactMissing
from shared.runtime.copies import Copies
from shared.runtime.service import Executor
from shared.runtime.step import Wait
from shared.runtime.task_file import FileCopy, TaskFile

log = structlog.get_logger()
HAND_OVER_S = 5.0


class Files(Protocol):
    """Where the files of tasks are. All of them belong to one log."""

    @property
    def bound_to(self) -> str | None: ...

    def bind(self, log_id: str) -> None: ...

    def open(self, task: str) -> TaskFile: ...


@dataclass(slots=True)
class _Opening:
    file: TaskFile
    until_s: float
    looked: Future[_Found] | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """What the store holds: whether the former owner has handed the task over, and the furthest copy beyond the file.

    `lost`: there are copies beyond it, and none of them is whole. `stood_at`: the file's position.
    """

    stood_at: int
    handed_over: bool
    copy: FileCopy | None
    lost: bool


class OpenFiles:
    """`copies` is asked for once the log is known, and its answers are fetched in the executor."""

    def __init__(
        self, files: Files, copies: Callable[[], Copies], executor: Executor, now_s: Callable[[], float]
    ) -> None:
        self._files, self._copies, self._executor, self._now_s = files, copies, executor, now_s
        self._openings: dict[str, _Opening] = {}

    def open(self, task: str, handed_over: str | None = None) -> TaskFile:
        """The file, locked. Raises Wait while the store is looked into.

        Raises DiskFull where there is no room for a new file, or for the copy that was found, which the next call tries
        again; FileInUse, and what a restored file raises.

        `handed_over`: the membership under which a former owner, who is still there, lets go of the task. Its last copy
        is waited for, but not for long: without it there is only more to replay.
        """
        opening = self._openings.get(task) or self._begin(task)
        if opening.looked is None:
            opening.looked = self._executor.submit(_look, self._copies(), task, opening.file.reached, handed_over)
        if not opening.looked.done():
            raise Wait("its newest copy is looked for in the object store")
        try:
            found = opening.looked.result()
        except ArtifactMissing as error:
            del self._openings[task]
            if opening.file.reached == (0, 0):
                opening.file.close()
                raise Wait(f"it has no file here, and whether there is a copy of it is not known: {error}") from error
            log.warning("going on from the file at hand, without a look at its copies", task=task, reason=str(error))
            return opening.file
        if not found.handed_over and self._now_s() < opening.until_s:
            opening.looked = None
            raise Wait("its former owner hands it over")
        if found.copy is not None:
            opening.file.restore(found.copy)
            log.info("going on from a copy", task=task, position=found.copy.position, file_stood_at=found.stood_at)
        if found.lost:
            opening.file.lost_its_copies()
        del self._openings[task]
        return opening.file

    def forget(self, task: str) -> None:
        """The task is opened elsewhere."""
        opening = self._openings.pop(task, None)
        if opening is not None:
            if opening.looked is not None:
                opening.looked.cancel()
            opening.file.close()

    def close(self) -> None:
        """Forget all that is being opened."""
        for task in list(self._openings):
            self.forget(task)

    def _begin(self, task: str) -> _Opening:
        file = self._files.open(task)
        if file.set_aside is not None:
            log.error(
                "a damaged file of state was set aside; its newest copy is restored and the log replayed from there",
                task=task, file=str(file.set_aside),
            )  # fmt: skip
        self._openings[task] = opening = _Opening(file, self._now_s() + HAND_OVER_S)
        return opening


def _look(copies: Copies, task: str, reached: tuple[int, int], handed_over: str | None) -> _Found:
    there = handed_over is None or copies.handed_over(task, handed_over)
    copy = copies.beyond(task, reached)
    return _Found(reached[0], there, copy, copy is None and copies.named_beyond(task, reached))
