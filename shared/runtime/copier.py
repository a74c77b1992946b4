"""Copies the files of a process's tasks into the object store: from time to time, and when a task moves away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass

import structlog

from shared.runtime.artifacts import ArtifactMissing
from shared.runtime.copies import Copies
from shared.runtime.service import Executor
from shared.runtime.task import Task
from shared.runtime.task_file import FileCopy

log = structlog.get_logger()
_EMPTY, _NOTHING = (0, 0), (-1, -1)


@dataclass(slots=True)
class _Known:
    """Of one task: how far its newest copy got, when one was last tried, and when the task was last no further."""

    reached: tuple[int, int]
    at_s: float
    even_s: float


@dataclass(slots=True)
class _Job:
    task: str
    reached: tuple[int, int]
    began_s: float
    done: Future[None]


class Copier:
    """One copy at a time. What fails is said, and tried again after `every_s`.

    A file that is found damaged ends the process (sqlite3.DatabaseError out of `turn`): the next one sets it aside.
    """

    def __init__(
        self, copies: Callable[[], Copies], executor: Executor, now_s: Callable[[], float], every_s: float
    ) -> None:
        self._copies, self._executor, self._now_s, self._every_s = copies, executor, now_s, every_s
        self._known: dict[str, _Known] = {}
        self._job: _Job | None = None

    def turn(self, tasks: Mapping[str, Task]) -> None:
        """Collect the copy that is made, and begin that of the task which has waited longest."""
        now_s = self._now_s()
        if self._job is not None:
            if not self._job.done.done():
                return
            self._collect(self._job)
            self._job = None
        for task_id in self._known.keys() - tasks.keys():
            del self._known[task_id]
        for task_id, task in tasks.items():
            known = self._known.setdefault(task_id, _Known(_NOTHING, now_s, now_s))
            if task.reached in (known.reached, _EMPTY):
                known.even_s = now_s
        for task_id, task in tasks.items():
            known = self._known[task_id]
            if now_s >= known.at_s + self._every_s and task.reached not in (known.reached, _EMPTY):
                copier, copies = task.file.copier(), self._copies()
                done = self._executor.submit(_kept, copies, task_id, copier)
                self._job = _Job(task_id, task.reached, now_s, done)
                return

    def hand_over(self, task: Task, membership: str) -> Future[None]:
        """The last copy of a task that moves to another instance; its file may be closed at once."""
        copier, copies, task_id = task.file.copier(), self._copies(), task.spec.id
        self._known.pop(task_id, None)
        done = self._executor.submit(_handed_over, copies, task_id, membership, copier)
        done.add_done_callback(lambda future: _say_failed(task_id, future))
        return done

    def age_s(self, task_id: str, reached: tuple[int, int]) -> float:
        """For how long a task has been further than its newest copy; 0 if it is not."""
        known = self._known.get(task_id)
        return 0.0 if known is None or reached in (known.reached, _EMPTY) else self._now_s() - known.even_s

    def _collect(self, job: _Job) -> None:
        failed = _say_failed(job.task, job.done)
        known = self._known.get(job.task)
        if known is None:
            return
        known.at_s = job.began_s
        if not failed:
            known.reached, known.even_s = job.reached, job.began_s


def _kept(copies: Copies, task_id: str, copier: Callable[[], FileCopy]) -> None:
    copies.keep(task_id, copier())


def _handed_over(copies: Copies, task_id: str, membership: str, copier: Callable[[], FileCopy]) -> None:
    copies.hand_over(task_id, membership, copier())


def _say_failed(task_id: str, done: Future[None]) -> bool:
    try:
        done.result()
    except ArtifactMissing as error:
        log.warning("no copy of a task's file could be made", task=task_id, reason=str(error))
        return True
    return False
