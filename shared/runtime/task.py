"""A task: one step on one input partition, its progress through the log, and one transaction a batch.

A reader accepts the next sequence of a task and skips every other; marks count once the sequence that they name has
been accepted; timers fire when the watermark has passed them, before the next entry of the log.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from shared.contracts.envelope import NEVER_MS, Encoded, Mark, Message, decode, encode_mark, origin
from shared.contracts.errors import UnreadableEvent
from shared.contracts.flow import TimerReplayed
from shared.contracts.identity import derived_id
from shared.contracts.platform import Platform
from shared.contracts.topology import TaskSpec
from shared.runtime.dead_letters import DeadLetter, dead_letter, size_bytes
from shared.runtime.derived_events import Prepared, prepare
from shared.runtime.history import ControlHistory
from shared.runtime.log import LogRecord
from shared.runtime.replayed_events import as_of_now, fired_again
from shared.runtime.step import (
    Cause,
    ClearTimer,
    Context,
    Due,
    Failed,
    OtherRelease,
    Output,
    SetTimer,
    Step,
    Wait,
    call,
)
from shared.runtime.task_file import Changes, OutboxRow, Producer, Target, TaskFile

MARK_EVERY_S = 0.02
HEADERS_AT_MOST = 4_096  # of an event of ours: ids, names and numbers, all of them short
CACHED_STATES = 50_000


@dataclass(slots=True)
class Counts:
    """Facts for metrics and for whoever watches progress."""

    read: int = 0
    skipped: int = 0
    derived: int = 0
    dead: int = 0
    behind_watermark: int = 0
    damaged: int = 0


class Task:
    """Reads a log of events and marks. `begins_late`: the log's beginning has expired, so first numbers are baselines.

    `process` takes records in the log's order and commits; what it derived is then in `unsent` for the relay.
    """

    def __init__(
        self,
        spec: TaskSpec,
        step: Step,
        file: TaskFile,
        history: ControlHistory,
        *,
        begins_late: bool = False,
        largest_event_bytes: int = 1_000_000,
        release: int = 1,
    ) -> None:
        self.spec, self.step, self.file, self.history, self.release = spec, step, file, history, release
        self.rests: OtherRelease | None = None  # why the next entry is for other code
        # Kept with the file: a task heard from for the first time after a restart has a baseline as well.
        self.begins_late = begins_late or bool(file.meta("begins_late"))
        self.largest_event_bytes = largest_event_bytes
        self.counts = Counts()
        self._states: dict[str, Any] = {}
        self._codec = _codec(step.state)
        self.position = file.position
        self.producers = file.producers()
        self.targets = file.targets()
        self._due = {(key, name): due for due, key, name in file.timers()}
        self._heap = [(due, key, name) for (key, name), due in self._due.items()]
        heapq.heapify(self._heap)
        self.buffer_ends = file.buffer_ends()
        self.unsent: deque[OutboxRow] = deque(file.outbox())
        self.sent_up_to = -1
        self._ordinal = file.ordinal
        # Not stored: a mark that a crash kept from an output is said again by the next process.
        self.said = (NEVER_MS, 0)
        self._said_at_s = float("-inf")
        self._dropped: dict[str, int] = {}
        self._replays = file.replays()
        self._writers: tuple[int, frozenset[str]] = (-1, frozenset())
        self._acked_moved = False
        self._unwritten: Changes | None = None
        self.held: str | None = None  # why the next entry is not taken
        self.control = int(_or(file.meta("control"), 0))
        self.watermark_ms = int(_or(file.meta("watermark_ms"), NEVER_MS))
        self._changes = self._no_changes()

    @property
    def reached(self) -> tuple[int, int]:
        """(position, ordinal of the next outbox row), as the file has them."""
        return self.file.reached if self._unwritten else (self.position, self._ordinal)

    # --- what the input has shown

    @property
    def platform(self) -> Platform:
        """The platform as the input has shown it; entries of control.v1 beyond do not exist yet for this task."""
        return self.history.at(self.control)

    def _watermark_shown(self) -> int:
        writers = self._known_writers()
        if not writers:
            return NEVER_MS
        shown = self.producers
        return min((shown[w].watermark_ms if w in shown else NEVER_MS) for w in writers)

    def _known_writers(self) -> frozenset[str]:
        position, writers = self._writers
        if position != self.control:
            definitions = self.platform.definitions
            writers = definitions.writers.get((self.spec.topic, self.spec.partition), frozenset())
            self._writers = (self.control, writers)
        return writers

    def _needs(self, control: int) -> None:
        # After a restart the input may have shown more of control.v1 than this process has read.
        control = max(control, self.control)
        if control > self.history.position:
            raise Wait(f"{self.spec.id} needs control.v1 up to {control}, which is read up to {self.history.position}")

    def _run_by(self, control: int) -> None:
        """Raises OtherRelease where an entry that shows this control position is for code of another release, and Wait
        where the definitions in force there ask what this process cannot."""
        platform = self.history.at(max(self.control, control))
        shown = platform.release(self.spec.service)
        if shown != self.release:
            raise OtherRelease(self.spec.service, shown, self.release)
        lacks = None if self.step.lacks is None else self.step.lacks(platform, self.spec)
        if lacks is not None:
            raise lacks

    # --- a batch

    def process(self, records: Sequence[LogRecord], now_s: float) -> int:
        """Take records until one has to wait, commit, and return how many were taken.

        Raises DiskFull: then what was taken is kept, and written by the next call of any method that commits.
        """
        self._write()
        taken = 0
        self.held = None
        self._changes = self._no_changes()
        try:
            for record in records:
                if record.offset >= self.position:
                    self._take(record)
                    self.position = record.offset + 1
                    self._fire()
                taken += 1
        except OtherRelease as other:
            self.rests, self.held = other, str(other)
        except Wait as wait:
            self.held = str(wait)
        if self._say(now_s) or taken:
            self._commit()
        return taken

    def say(self, now_s: float) -> bool:
        """Publish what the input has shown meanwhile, without a record; whether there was something to say."""
        self._write()
        self._changes = self._no_changes()
        if not self._say(now_s):
            return False
        self._commit()
        return True

    def settle_cursor(self) -> None:
        """Store how far the outbox was acknowledged, when nothing else is to be committed."""
        self._write()
        if self._acked_moved or self._dropped:
            self._changes = self._no_changes()
            self._commit()

    def _no_changes(self) -> Changes:
        return Changes(self.position, self.position, expected_ordinal=self._ordinal)

    def _take(self, record: LogRecord) -> None:
        try:
            entry = decode(record.key, record.value, record.headers)
        except UnreadableEvent as error:
            self._take_unreadable(record, error)
            return
        if isinstance(entry, Mark):
            self._take_mark(entry)
        else:
            self._take_event(entry, record)

    def _take_mark(self, mark: Mark) -> None:
        self._needs(mark.control)
        producer = self.producers.get(mark.source)
        if producer is None:
            # Where the beginning has expired, the sequence that the first mark names is the baseline.
            producer = Producer(mark.sequence if self.begins_late else 0)
        if producer.last < mark.sequence:
            return
        self._run_by(mark.control)
        self._shown(mark.source, producer, mark.watermark_ms, mark.control)

    def _take_event(self, message: Message, record: LogRecord) -> None:
        if message.replay_for is not None:
            self._take_replay(message, record)
            return
        self._needs(message.control)
        if message.sequence is not None:
            producer = self._next_from(message.source, message.sequence)
            if producer is None:
                self.counts.read += 1
                return
            self._run_by(message.control)
            self._await(message)
            producer.last += 1
            self._shown(message.source, producer, producer.watermark_ms, message.control)
        else:
            self._run_by(self.control)
            self._await(message)
        self.counts.read += 1
        if message.time_ms < self.watermark_ms:
            self.counts.behind_watermark += 1
        self._call(message, record)

    def _take_replay(self, message: Message, record: LogRecord) -> None:
        """What this task could not take before. It has no sequence: it counts once, by its id."""
        if message.replay_for != self.spec.id or message.id in self._replays:
            self.counts.skipped += 1
            return
        self._needs(message.control)
        self._run_by(self.control)
        self._await(message)
        self._replays.add(message.id)
        self._changes.replays.append(message.id)
        self.counts.read += 1
        timer = message.event
        if not isinstance(timer, TimerReplayed):
            self._call(as_of_now(message, self.watermark_ms), record)
        elif (message.key, timer.name) not in self._due:  # else it was set anew, and will fire
            self._call(fired_again(message, timer, self.watermark_ms), None)

    def _take_unreadable(self, record: LogRecord, error: UnreadableEvent) -> None:
        """Its number counts all the same: otherwise everything behind it would look like a gap."""
        wrote = origin(record.headers)
        self._needs(0 if wrote is None else wrote.control)
        if wrote is None:
            self._run_by(self.control)
        else:
            producer = self._next_from(wrote.source, wrote.sequence)
            if producer is None:
                self.counts.read += 1
                return
            self._run_by(wrote.control)
            producer.last += 1
            self._shown(wrote.source, producer, producer.watermark_ms, wrote.control)
        self.counts.read += 1
        self._bury(record, error, "")

    def _next_from(self, source: str, sequence: int) -> Producer | None:
        """The producer whose next event this is; None for a repetition, and for one that comes again after a gap."""
        producer = self.producers.get(source)
        if producer is None:
            producer = Producer(sequence - 1 if self.begins_late else 0)
        if sequence == producer.last + 1:
            return producer
        self.counts.skipped += 1
        return None

    def _await(self, message: Message) -> None:
        """Raises Wait while the step lacks what the event needs, under the control position that it shows."""
        if self.step.ready is None:
            return
        control = max(self.control, message.control)
        wait = self.step.ready(message, Context(self.history.at(control), self.watermark_ms, self.spec))
        if wait is not None:
            raise wait

    def _shown(self, source: str, producer: Producer, watermark_ms: int, control: int) -> None:
        told = watermark_ms > producer.watermark_ms or control > self.control
        producer.watermark_ms = max(producer.watermark_ms, watermark_ms)
        producer.control = max(producer.control, control)
        self.producers[source] = self._changes.producers[source] = producer
        self.control = max(self.control, producer.control)
        if told:  # an event tells nothing new as a rule
            self.watermark_ms = max(self.watermark_ms, self._watermark_shown())

    # --- handlers

    def _fire(self) -> None:
        while self._heap and self._heap[0][0] < self.watermark_ms:
            due_ms, key, name = heapq.heappop(self._heap)
            if self._due.get((key, name)) != due_ms:
                continue  # moved or cleared since
            del self._due[key, name]
            self._changes.timers[key, name] = None
            step = f"{self.spec.service}/{self.spec.step}/{self.spec.subject}"
            self._call(Due(derived_id(step, f"timer:{name}", key, due_ms), key, name, due_ms), None)

    def _call(self, cause: Cause, record: LogRecord | None) -> None:
        handler = self.step.handler(cause)
        if handler is None:
            return
        key = self.step.key_of(cause)
        context = Context(self.platform, self.watermark_ms, self.spec)
        result = call(handler, self.state(key), cause, context, lambda outputs: self._prepared(cause, outputs))
        if isinstance(result, Failed):
            self._bury(record, result.error, result.trace, cause)
            return
        self._states[key] = result.state
        self._changes.state[key] = b""  # marks it as changed; encoded once, at the commit
        self._apply(key, result.prepared)

    def state(self, key: str) -> Any:
        """The state of a key as of the last entry taken; None if there is none."""
        if key not in self._states:
            stored = self.file.state(key)
            self._states[key] = None if stored is None else self._codec.validate_json(stored)
        return self._states[key]

    def _prepared(self, cause: Cause, outputs: Sequence[Output]) -> Prepared:
        return prepare(self.spec, cause, outputs, self.control, lambda where: self._target(where).sequence)

    def _target(self, where: tuple[str, int]) -> Target:
        target = self.targets.get(where)
        if target is None:
            target = self.targets[where] = Target()
        return target

    def _apply(self, key: str, prepared: Prepared) -> None:
        for topic, partition, encoded in prepared.rows:
            self._enqueue(topic, partition, encoded)
        for where, sequence in prepared.sequences.items():
            target = self._target(where)
            target.sequence = sequence
            self._changes.targets[where] = target
        for timer in prepared.timers:
            self._set_timer(key, timer)
        for append in prepared.buffers:
            ordinal = self.buffer_ends.get(append.buffer, 0)
            self._changes.buffers.append((append.buffer, ordinal, append.row))
            self.buffer_ends[append.buffer] = ordinal + 1
            self._changes.meta[f"buffer:{append.buffer}"] = ordinal + 1
        self.counts.derived += len(prepared.rows)

    def _set_timer(self, key: str, timer: SetTimer | ClearTimer) -> None:
        if isinstance(timer, ClearTimer):
            if self._due.pop((key, timer.name), None) is not None:
                self._changes.timers[key, timer.name] = None
            return
        self._due[key, timer.name] = timer.due_ms
        self._changes.timers[key, timer.name] = timer.due_ms
        heapq.heappush(self._heap, (timer.due_ms, key, timer.name))

    def _enqueue(self, topic: str, partition: int, encoded: Encoded) -> None:
        # Weighed exactly only where it may be too much: its headers would cost as much as encoding them.
        likely = len(encoded.key or b"") + len(encoded.value or b"") + HEADERS_AT_MOST
        if likely > self.largest_event_bytes and (size := size_bytes(encoded)) > self.largest_event_bytes:
            letter = DeadLetter.too_large(self.spec, encoded, topic, size, self.largest_event_bytes)
            self._enqueue_row(letter.topic, 0, letter.encoded)
            self.counts.dead += 1
            # The number was given to the event: a mark would wait for it for ever, so an empty one takes its place.
            encoded = letter.placeholder
        self._enqueue_row(topic, partition, encoded)

    def _enqueue_row(self, topic: str, partition: int, encoded: Encoded) -> None:
        self._changes.outbox.append(
            OutboxRow(self._ordinal, topic, partition, encoded.key, encoded.value, encoded.headers)
        )
        self._ordinal += 1

    def _bury(self, record: LogRecord | None, error: Exception, trace: str, cause: Cause | None = None) -> None:
        letter = dead_letter(self.spec, record, error, trace, cause, self.largest_event_bytes)
        self._enqueue_row(letter.topic, 0, letter.encoded)
        self.counts.dead += 1

    # --- marks and the commit

    def _to_say(self) -> tuple[int, int]:
        return max(self.watermark_ms, self.said[0]), max(self.control, self.said[1])

    @property
    def unsaid(self) -> bool:
        return self._to_say() != self.said and any(output.marked for output in self.spec.outputs)

    def _say(self, now_s: float) -> bool:
        """The mark: what the input has shown, behind what was derived before; coalesced."""
        if not self.unsaid or now_s - self._said_at_s < MARK_EVERY_S:
            return False
        watermark_ms, control = self.said = self._to_say()
        self._said_at_s = now_s
        for output in self.spec.outputs:
            for partition in self.spec.targets(output) if output.marked else ():
                sequence = self._target((output.topic, partition)).sequence
                self._enqueue_row(
                    output.topic, partition, encode_mark(Mark(self.spec.id, sequence, watermark_ms, control))
                )
        return True

    def forget_said(self) -> None:
        """After the outputs have changed: say everything again, for whoever has not heard it."""
        self.said = (NEVER_MS, 0)
        self._said_at_s = float("-inf")

    def drop_buffered(self, buffer: str, below: int) -> None:
        """Rows below this ordinal are archived: forget them with the next commit."""
        if below > self._dropped.get(buffer, 0):
            self._dropped[buffer] = below

    def acknowledged(self, ordinal: int, topic: str, partition: int, end: int) -> None:
        """The relay's news: everything up to `ordinal` stands in the log; `topic/partition` reaches at least `end`."""
        self.sent_up_to = max(self.sent_up_to, ordinal)
        target = self._target((topic, partition))
        target.acked = max(target.acked, end)
        self._acked_moved = True

    def _commit(self) -> None:
        changes = self._changes
        changes.position = self.position
        changes.state = {key: self._encoded(key) for key in changes.state}
        changes.meta |= {"ordinal": self._ordinal, "control": self.control, "watermark_ms": self.watermark_ms}
        if self.begins_late:
            changes.meta["begins_late"] = 1
        if self._acked_moved:
            changes.targets = self.targets
            changes.sent_up_to = self.sent_up_to
        changes.dropped = self._dropped
        self._acked_moved, self._dropped = False, {}
        self._unwritten = changes
        self._write()

    def _write(self) -> None:
        if self._unwritten is None:
            return
        self.file.commit(self._unwritten)
        # Only what the file holds may be sent: a crash must not forget what others have read.
        self.unsent.extend(self._unwritten.outbox)
        self._unwritten = None
        if len(self._states) > CACHED_STATES:
            self._states.clear()

    def _encoded(self, key: str) -> bytes | None:
        state = self._states[key]
        return None if state is None else self._codec.dump_json(state)

    def timers(self) -> Iterable[tuple[int, str, str]]:
        """Timers that are set, for whoever inspects the task."""
        return sorted((due, key, name) for (key, name), due in self._due.items())

    def close(self) -> None:
        self.file.close()


@cache
def _codec(state: Any) -> TypeAdapter[Any]:
    """Made once for each kind of state, however many tasks have it."""
    return TypeAdapter(state)


def _or(value: int | str | None, default: int) -> int | str:
    return default if value is None else value
