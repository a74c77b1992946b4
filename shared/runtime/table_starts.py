"""Where whoever follows a table begins in its log: at the furthest copy that can be read, else at the beginning.

At the beginning only if that still holds everything. A table that cannot be had whole is not begun at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import structlog

from shared.contracts.platform import TableCopy
from shared.runtime.artifacts import ArtifactDamaged, ArtifactMissing
from shared.runtime.log import TopicPartition
from shared.runtime.service import Executor
from shared.runtime.step import Wait
from shared.runtime.table_copies import Rows, TableCopies, TableRow

log = structlog.get_logger()
TRY_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Start:
    """Rows, the offset of the next entry, and the last accepted sequence of each task."""

    position: int = 0
    sequences: Mapping[str, int] = field(default_factory=dict[str, int])
    rows: Rows = field(default_factory=dict[str, TableRow])


@dataclass(frozen=True, slots=True)
class _Read:
    copy: TableCopy | None
    rows: Rows
    failures: list[str]


@dataclass(slots=True)
class _Resting:
    until_s: float
    why: str


class TableStarts:
    """Copies are fetched in the executor. `copies` is asked for once the log is known."""

    def __init__(self, copies: Callable[[], TableCopies], executor: Executor, now_s: Callable[[], float]) -> None:
        self._copies, self._executor, self._now_s = copies, executor, now_s
        self._reading: dict[TopicPartition, Future[_Read]] = {}
        self._resting: dict[TopicPartition, _Resting] = {}

    def start(self, tp: TopicPartition, known: Sequence[TableCopy], beginning: Callable[[], int]) -> Start:
        """Where to begin. `known`: the copies told of, in the order of position; `beginning`: that of the log, now.

        Raises Wait while a copy is fetched, and as long as there is no way to have the whole table.
        """
        resting = self._resting.get(tp)
        if resting is not None and self._now_s() < resting.until_s:
            raise Wait(resting.why)
        reading = self._reading.get(tp)
        if reading is None:
            begins = beginning()
            usable = [copy for copy in reversed(known) if copy.position >= begins]
            if not usable:
                return self._from_beginning(tp, begins, known, [])
            reading = self._reading[tp] = self._executor.submit(_read, self._copies(), usable)
        if not reading.done():
            raise Wait("its copy is fetched from the object store")
        del self._reading[tp]
        return self._of(tp, reading.result(), known, beginning())

    def close(self) -> None:
        """Let go of what is being fetched."""
        for reading in self._reading.values():
            reading.cancel()

    def _of(self, tp: TopicPartition, read: _Read, known: Sequence[TableCopy], begins: int) -> Start:
        for failure in read.failures:
            log.warning("a copy of a table is passed over", topic=tp.topic, partition=tp.partition, reason=failure)
        copy = read.copy
        if copy is None or copy.position < begins:  # the log may have lost more meanwhile
            return self._from_beginning(tp, begins, known, read.failures)
        self._resting.pop(tp, None)
        log.info(
            "a table begins with its copy", topic=tp.topic, partition=tp.partition, position=copy.position,
            rows=copy.rows,
        )  # fmt: skip
        return Start(copy.position, copy.sequences, read.rows)

    def _from_beginning(
        self, tp: TopicPartition, begins: int, known: Sequence[TableCopy], failures: Sequence[str]
    ) -> Start:
        if begins == 0:
            self._resting.pop(tp, None)
            return Start()
        why = _missing(begins, known, failures)
        if tp not in self._resting:
            log.error("a table cannot be had whole", topic=tp.topic, partition=tp.partition, reason=why)
        self._resting[tp] = _Resting(self._now_s() + TRY_AGAIN_S, why)
        raise Wait(why)


def _missing(begins: int, known: Sequence[TableCopy], failures: Sequence[str]) -> str:
    last = known[-1].position if known else 0
    if failures:
        return (
            f"its log begins at {begins}, and no copy that holds what stood before can be read: {'; '.join(failures)}. "
            "It goes on by itself as soon as one can"
        )
    return (
        f"its log begins at {begins}, and the furthest copy ends at {last}: entries {last} to {begins - 1} are gone, "
        "and nothing is answered without them. It goes on with the next copy that an instance of features makes which "
        "has read them"
    )


def _read(copies: TableCopies, usable: Sequence[TableCopy]) -> _Read:
    failures: list[str] = []
    for copy in usable:
        try:
            return _Read(copy, copies.read(copy), failures)
        except (ArtifactMissing, ArtifactDamaged) as error:
            failures.append(str(error))
    return _Read(None, {}, failures)
