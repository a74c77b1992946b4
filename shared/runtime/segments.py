"""Rows of a task's buffer become segments: fixed spans [kN, (k+1)N) of its own count, written once, by reference.

Which rows a segment holds follows from the task's log, and its bytes from the rows: whoever writes it, and however
often, gives the same object and the same event id, and the first event counts.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from shared.contracts.control import Reference, SegmentWritten
from shared.contracts.identity import derived_id
from shared.contracts.topics import CONTROL
from shared.runtime.artifacts import ArtifactMissing, ArtifactStore
from shared.runtime.task import Task

if TYPE_CHECKING:
    from shared.runtime.process import Process

TRY_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """A segment's bytes, and the event times of its rows."""

    data: bytes
    from_ms: int
    to_ms: int


Encode = Callable[[list[bytes]], EncodedRows]


@dataclass(slots=True)
class _Job:
    number: int
    first: int
    future: Future[tuple[Reference, EncodedRows]]
    published: bool = False


class SegmentWriter:
    """Writes the segments of one step's buffer, one at a time for each task, and drops rows that stand in one.

    `encode` takes the rows of one segment, in order; it runs in the executor and must be a function of them alone.
    """

    def __init__(
        self, process: Process, step: str, buffer: str, rows_per_segment: int, encode: Encode,
        kind: Literal["records", "outcomes"], suffix: str = ".parquet",
    ) -> None:  # fmt: skip
        self._process, self._step, self._buffer, self._rows = process, step, buffer, rows_per_segment
        self._encode, self._suffix = encode, suffix
        self._kind: Literal["records", "outcomes"] = kind
        self._jobs: dict[str, _Job] = {}
        self._dropped: dict[str, int] = {}
        self._failed: dict[str, tuple[float, str]] = {}  # when, by the process's clock, and why

    def turn(self) -> None:
        """Publish what is written, drop what stands in the history, start what is full."""
        for task in self._tasks():
            number, first = self._next(task)
            job = self._jobs.get(task.spec.id)
            if job is not None and job.number < number:
                del self._jobs[task.spec.id]
                job = None
            self._drop(task, first)
            if job is not None:
                self._collect(task, job)
            elif self._full(task, first) and not self._resting(task):
                self._start(task, number, first)

    @property
    def doing(self) -> list[str]:
        """Segments that are full and not yet in the history; with the reason, if the object store refused one."""
        return [
            f"{self._kind} segment {number} of {task.spec.subject}/{task.spec.partition}{self._why(task)}"
            for task in self._tasks()
            for number, first in (self._next(task),)
            if self._full(task, first)
        ]

    def close(self) -> None:
        """Writing again after a restart changes nothing: let go of what is in work."""
        for job in self._jobs.values():
            job.future.cancel()

    def _tasks(self) -> list[Task]:
        return [task for task in self._process.tasks.values() if task.spec.step == self._step]

    def _next(self, task: Task) -> tuple[int, int]:
        """Number and first row of the next segment."""
        written = self._process.history.newest.segments.get((self._kind, task.spec.subject), ())
        own = (segment for segment in written if segment.partition == task.spec.partition)
        newest = max(own, key=lambda segment: segment.number, default=None)
        # Not number * rows: the setting may have been another one before the last restart.
        return (0, 0) if newest is None else (newest.number + 1, newest.first + newest.rows)

    def _drop(self, task: Task, below: int) -> None:
        # Asked for once: each request costs the task a commit.
        if below > self._dropped.get(task.spec.id, 0):
            self._dropped[task.spec.id] = below
            task.drop_buffered(self._buffer, below)

    def _full(self, task: Task, first: int) -> bool:
        return task.buffer_ends.get(self._buffer, 0) >= first + self._rows

    def _resting(self, task: Task) -> bool:
        failed = self._failed.get(task.spec.id)
        return failed is not None and self._process.clock.now_s() < failed[0] + TRY_AGAIN_S

    def _why(self, task: Task) -> str:
        failed = self._failed.get(task.spec.id)
        return f" ({failed[1]})" if failed else ""

    def _start(self, task: Task, number: int, first: int) -> None:
        rows = task.file.buffered(self._buffer, first, self._rows)
        log_id = self._process.history.log_id
        if len(rows) < self._rows or log_id is None:
            return  # appended in a batch that is not committed yet
        artifacts, kind = self._process.artifacts, f"segments/{self._kind}"
        future = self._process.executor.submit(_written, artifacts, log_id, kind, rows, self._encode, self._suffix)
        self._jobs[task.spec.id] = _Job(number, first, future)

    def _collect(self, task: Task, job: _Job) -> None:
        if not job.future.done() or job.published:
            return
        try:
            reference, encoded = job.future.result()
        except ArtifactMissing as error:
            self._failed[task.spec.id] = (self._process.clock.now_s(), str(error))
            del self._jobs[task.spec.id]
            return
        self._failed.pop(task.spec.id, None)
        job.published = True
        event = SegmentWritten(
            kind=self._kind, subject=task.spec.subject, partition=task.spec.partition, number=job.number,
            first=job.first, rows=self._rows, segment=reference,
            from_ms=encoded.from_ms, to_ms=encoded.to_ms,
        )  # fmt: skip
        effect = derived_id(task.spec.id, f"segment:{self._buffer}", "", job.number)
        self._process.outside.publish(CONTROL, event, event_id=derived_id(effect, event.ce_type), time_ms=encoded.to_ms)


def _written(
    artifacts: ArtifactStore, log_id: str, kind: str, rows: list[bytes], encode: Encode, suffix: str
) -> tuple[Reference, EncodedRows]:
    encoded = encode(rows)
    return artifacts.put(log_id, kind, encoded.data, suffix), encoded
