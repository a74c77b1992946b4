"""Every HTTP prediction is a fact: on disk before it is answered, in `predictions.<model>` once Kafka takes it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import structlog

from services.serving.request_file import Fact, RequestFile
from shared.contracts.errors import HeadraceError
from shared.contracts.flow import PredictionMade
from shared.contracts.identity import derived_id, record_cause
from shared.contracts.topics import PREDICTIONS
from shared.contracts.trace_context import begun, carried_on
from shared.runtime.full_disks import room_for
from shared.runtime.partitioning import partition_of
from shared.runtime.process import Process
from shared.runtime.service import WakingExecutor

log = structlog.get_logger()
WHAT = "the log of requests"
LARGEST_FACT_BYTES = 900_000
MOST_IN_FLIGHT = 1_000
MOST_FORGOTTEN = 500
FORGET_EVERY_S = 1.0
# What requests log goes out in groups: each acknowledgement wakes the driver, which would send every one by itself.
SEND_EVERY_S = 0.05


class FactTooLarge(HeadraceError):
    """A request whose fact no log would take."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(
            f"the request's inputs take {size_bytes} bytes in the log, and {LARGEST_FACT_BYTES} are the most: "
            "send shorter texts"
        )


class LogUnwritable(HeadraceError):
    """A request that could not be logged, and so is not answered."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"requests cannot be logged, and none is answered without that: {reason}")


class RequestLog:
    """The file is written in groups, beside the event loop; the driver's thread sends what stands in it.

    On a thread of its own, for those that all share may be busy for minutes with an object store that is away. A fact
    is removed once the log has it. After a crash the rest is sent again under the same ids. Where the disk has no room
    for the file, nothing is taken, and it is tried again every second.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self._path = None if process.folder is None else process.folder / "requests.sqlite"
        self._file: RequestFile | None = None
        self._closed_for = ""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="request-log")
        self._writer = WakingExecutor(self._thread, process.reader.wake)
        self._lock = threading.Lock()
        self._group: tuple[list[Fact], Future[None]] = ([], Future())
        self._writing = False
        self._bound = self._closed = False
        self._taken_to = 0  # facts up to this number were handed over
        self._in_flight = 0
        self._landed: list[int] = []
        self._kept = False  # whether the disk refused to let go of what had landed
        self._more = True  # whether the file may hold facts beyond `_taken_to`
        self._forgotten_s = self._sent_s = float("-inf")
        self._open()

    @classmethod
    def of(cls, process: Process) -> RequestLog:
        """The one among the workers of a process."""
        return next(worker for worker in process.workers if isinstance(worker, cls))

    # --- on any thread

    def append(
        self, predictions: Sequence[PredictionMade], time_ms: int, partitions: int, trace: str | None = None
    ) -> Future[None]:
        """Done once all of them are on disk. `partitions` of the topic; `trace`: the request's `traceparent`.
        Raises FactTooLarge or LogUnwritable."""
        facts = [_fact(made, time_ms, partitions, trace) for made in predictions]
        with self._lock:
            if self._closed or self._file is None:
                raise LogUnwritable(self._closed_for)
            waiting, done = self._group
            waiting += facts
            file, starts = self._file, not self._writing
            self._writing = True
        if starts:
            try:
                self._writer.submit(self._write, file)
            except RuntimeError:
                if not self._closed:
                    raise
                # It was closed in between, and `close` writes what waits.
        return done

    def _write(self, file: RequestFile) -> None:
        """Group after group, until none waits: while one is being written, the next gathers."""
        while True:
            with self._lock:
                facts, done = self._group
                if not facts:
                    self._writing = False
                    return
                self._group = ([], Future())
            refused = _refused(file, facts, ())
            if refused is None:
                self._more = True  # before anybody hears of it
            _tell(done, refused)

    # --- on the driver's thread

    def turn(self) -> None:
        log_id = self._process.history.log_id
        file = self._file or self._open()
        if log_id is None or file is None:
            return
        if not self._bound and not self._process.full_disks.attempt(WHAT, lambda: self._bind(file, log_id)):
            return
        self._send(file)
        self._forget(file)

    @property
    def closed_for(self) -> str | None:
        """Why it takes nothing; None: it does."""
        return None if self._file is not None and not self._closed else self._closed_for

    @property
    def doing(self) -> Sequence[str]:
        """What is not yet known to stand in Kafka."""
        if WHAT in self._process.full_disks.said:
            return ()
        return ("sending logged requests",) if self._more or self._in_flight else ()

    def close(self) -> None:
        """Keep what waits, let go of what was sent."""
        with self._lock:
            self._closed, self._closed_for = True, "the service is stopping"
        self._thread.shutdown()
        with self._lock:
            (facts, done), self._group = self._group, ([], Future())
        if self._file is not None:
            _tell(done, _refused(self._file, facts, self._landed))
            self._file.close()

    def _open(self) -> RequestFile | None:
        self._file = self._process.full_disks.attempt(WHAT, self._opened)
        if self._file is None:
            self._closed_for = "there is no room for their log; ask again later"
        elif self._file.set_aside is not None:
            log.error(
                "the log of requests was damaged and is set aside; what was answered over HTTP and not yet sent to "
                "Kafka stands nowhere else",
                file=str(self._file.set_aside),
            )  # fmt: skip
        return self._file

    def _opened(self) -> RequestFile:
        with room_for(WHAT, self._path):
            return RequestFile(self._path)

    def _bind(self, file: RequestFile, log_id: str) -> bool:
        with room_for(WHAT, self._path):
            file.bind(log_id)
        self._bound = True
        return True

    def _send(self, file: RequestFile) -> None:
        now_s = self._process.clock.now_s()
        if not self._more or self._in_flight >= MOST_IN_FLIGHT or now_s < self._sent_s + SEND_EVERY_S:
            return
        self._sent_s = now_s
        self._more = False  # before the look: whatever is written behind it sets it again
        room = MOST_IN_FLIGHT - self._in_flight
        found = file.after(self._taken_to, room)
        known = self._process.history.newest.definitions.models
        for number, fact in found:
            if fact.model not in known:
                self._more = True  # written before a restart, and the history is not read that far
                return
            self._publish(file, number, fact, known[fact.model].scores)
            self._taken_to = number
        self._more = self._more or len(found) == room

    def _publish(self, file: RequestFile, number: int, fact: Fact, source: str) -> None:
        event = PredictionMade.model_validate_json(fact.event)
        event_id = derived_id(file.identity, "request", "", number)
        self._in_flight += 1
        self._process.outside.publish(
            PREDICTIONS.of(fact.model), event, event_id=event_id, time_ms=fact.time_ms, key=event.entity,
            partition=fact.partition, control=event.control, trace=_trace(fact, event, source, event_id),
            landed=lambda offset: self._has_landed(number),
        )  # fmt: skip

    def _has_landed(self, number: int) -> None:
        self._in_flight -= 1
        with self._lock:
            self._landed.append(number)

    def _forget(self, file: RequestFile) -> None:
        """Remove what was sent, rarely: each time costs a write to the disk."""
        now_s = self._process.clock.now_s()
        many = len(self._landed) >= MOST_FORGOTTEN and not self._kept
        if not self._landed or (not many and now_s < self._forgotten_s + FORGET_EVERY_S):
            return
        self._forgotten_s = now_s
        with self._lock:
            landed, self._landed = self._landed, []
        self._writer.submit(self._remove, file, landed)

    def _remove(self, file: RequestFile, landed: Sequence[int]) -> None:
        """On the file's own thread. What the disk refuses is tried again a second later."""
        kept = _refused(file, (), landed) is not None
        with self._lock:
            self._kept = kept
            if kept:
                self._landed += landed


def _refused(file: RequestFile, facts: Sequence[Fact], sent: Sequence[int]) -> LogUnwritable | None:
    """Why the disk did not take them; None: it did."""
    try:
        file.add(facts, sent)
    except sqlite3.Error as error:
        return LogUnwritable(f"{error}: see to the disk under HEADRACE_DATA, then ask again")
    return None


def _tell(done: Future[None], refused: LogUnwritable | None) -> None:
    if refused is None:
        done.set_result(None)
    else:
        done.set_exception(refused)


def _trace(fact: Fact, event: PredictionMade, source: str, event_id: str) -> str:
    """The request's own trace carried on; else that of the record which it is about."""
    if fact.trace is not None:
        return carried_on(fact.trace, event_id)
    return begun(event_id if event.record_id is None else record_cause(source, event.record_id), event_id)


def _fact(made: PredictionMade, time_ms: int, partitions: int, trace: str | None) -> Fact:
    event = made.model_dump_json().encode()
    if len(event) > LARGEST_FACT_BYTES:
        raise FactTooLarge(len(event))
    return Fact(made.model, partition_of(made.entity.encode(), partitions), time_ms, event, trace)
