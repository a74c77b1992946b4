"""Copies the tables into the object store from time to time, so that nobody has to read their logs from the beginning.

The owner of a partition, who writes its log, copies it as it has read it itself. Two owners may do so at once: what a
copy holds follows from the log and the position up to which it goes, and the first one of a position counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import structlog

from shared.contracts.control import Reference, TableCopied
from shared.contracts.identity import derived_id
from shared.contracts.platform import TABLE_COPIES, TableCopy
from shared.contracts.topics import CONTROL, FEATURES
from shared.runtime.artifacts import ArtifactMissing
from shared.runtime.followed_logs import Standing
from shared.runtime.log import TopicPartition
from shared.runtime.process import Process
from shared.runtime.table_copies import Rows, TableCopies
from shared.runtime.tables import TableFollower, view_of

log = structlog.get_logger()
TRY_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class CopyPolicy:
    """When the next copy of a log is due: after so many entries, after so long, and never too soon after the last."""

    entries: int
    every_ms: float
    apart_ms: float

    def due(self, position: int, rows: int, copied: TableCopy | None, now_ms: int) -> bool:
        """Of a log that is read up to `position` and has given `rows` rows. The first copy is due with the first entry.

        After as many entries as there are rows, so that copying costs no more than a row for each entry. Not within
        `apart_ms`, so that what is told of copies in control.v1 does not grow with the traffic.
        """
        if copied is None or position <= copied.position:
            return copied is None and position > 0
        age_ms = now_ms - copied.copied_ms
        if 0 <= age_ms < self.apart_ms:  # one that is dated ahead of our clock holds up nothing
            return False
        return position - copied.position >= max(self.entries, rows) or age_ms >= self.every_ms


@dataclass(slots=True)
class _Job:
    """One copy on its way: it is stored, then told of, then older ones are removed."""

    tp: TopicPartition
    standing: Standing
    rows: int
    stored: Future[Reference]
    told: bool = False
    removed: Future[None] | None = None


class TableCopier:
    """One copy at a time. What the object store refuses is tried again."""

    def __init__(self, process: Process, policy: CopyPolicy) -> None:
        self._process, self._policy = process, policy
        self._tables = TableFollower.of(process)
        self._job: _Job | None = None
        self._failed: tuple[float, str] | None = None  # until when nothing is tried, and why

    def turn(self) -> None:
        """Take the copy in work one step further, or begin the next."""
        if self._job is not None:
            self._job = self._after(self._job)
        elif self._failed is None or self._process.clock.now_s() >= self._failed[0]:
            tp = next(self._due(), None)
            if tp is not None:
                self._job = self._begun(tp)

    @property
    def doing(self) -> Sequence[str]:
        """Tables that are to be copied; with the reason, if the object store refused."""
        due = dict.fromkeys((*((self._job.tp,) if self._job else ()), *self._due()))
        why = f" ({self._failed[1]})" if self._failed else ""
        return [f"copying the table {tp.topic}/{tp.partition}{why}" for tp in due]

    def close(self) -> None:
        """Another owner makes a copy of its own: let go of this one."""
        if self._job is not None:
            self._job.stored.cancel()

    def _due(self) -> Iterator[TopicPartition]:
        now_ms = self._process.clock.wall_ms()
        for tp in self._owned():
            standing = self._process.followed.standing(tp)
            if standing is None:
                continue
            copied = self._copies(tp)
            if self._policy.due(standing.position, self._tables.count(tp), copied[-1] if copied else None, now_ms):
                yield tp

    def _owned(self) -> Iterator[TopicPartition]:
        for task in self._process.tasks.values():
            for output in task.spec.outputs:
                if FEATURES.subject(output.topic) is not None:
                    yield from (TopicPartition(output.topic, p) for p in task.spec.targets(output))

    def _copies(self, tp: TopicPartition) -> Sequence[TableCopy]:
        return self._tables.copies(tp, self._process.history.newest)

    def _store(self) -> TableCopies:
        return TableCopies(self._process.artifacts, self._process.history.log_id or "")

    def _begun(self, tp: TopicPartition) -> _Job | None:
        standing = self._process.followed.standing(tp)
        if standing is None:
            return None
        # The rows themselves never change: only the dictionary is copied here, and all else is done in the executor.
        rows = self._tables.rows(tp)
        return _Job(tp, standing, len(rows), self._process.executor.submit(_stored, self._store(), tp, standing, rows))

    def _after(self, job: _Job) -> _Job | None:
        if job.removed is not None:
            return self._after_removing(job)
        copies = self._copies(job.tp)
        if copies and copies[-1].position >= job.standing.position:
            return self._removing(job, copies)
        if job.told or not job.stored.done():
            return job
        try:
            table = job.stored.result()
        except ArtifactMissing as error:
            return self._rest(error)
        self._failed = None
        self._tell(job, table)
        job.told = True
        return job

    def _removing(self, job: _Job, copies: Sequence[TableCopy]) -> _Job | None:
        if len(copies) < TABLE_COPIES:
            return None
        view, partition, oldest = view_of(job.tp), job.tp.partition, copies[0].position
        job.removed = self._process.executor.submit(self._store().remove_before, view, partition, oldest)
        return job

    def _after_removing(self, job: _Job) -> _Job | None:
        if job.removed is None or not job.removed.done():
            return job
        try:
            job.removed.result()
        except ArtifactMissing as error:
            return self._rest(error)  # the next copy removes them
        return None

    def _rest(self, error: ArtifactMissing) -> None:
        if self._failed is None:
            log.warning("no copy of a table could be made, or an old one removed", reason=str(error))
        self._failed = self._process.clock.now_s() + TRY_AGAIN_S, str(error)

    def _tell(self, job: _Job, table: Reference) -> None:
        position = job.standing.position
        copied = TableCopied(
            view=view_of(job.tp), partition=job.tp.partition, position=position, sequences=dict(job.standing.sequences),
            rows=job.rows, table=table, topic_id=job.standing.topic_id,
        )  # fmt: skip
        event_id = derived_id(f"{job.tp.topic}/{job.tp.partition}", copied.ce_type, "", position)
        self._process.outside.publish(CONTROL, copied, event_id=event_id, time_ms=self._process.clock.wall_ms())


def _stored(store: TableCopies, tp: TopicPartition, standing: Standing, rows: Rows) -> Reference:
    return store.keep(view_of(tp), tp.partition, standing.position, rows)
