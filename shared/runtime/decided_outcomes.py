"""A model's outcomes in the order of decision, from the archive and, what is newer, from the topic.

Decided are outcomes in the order of (event time, record id), and no outcome comes behind one that was decided. So the
row at a position is final as soon as it is the one that whoever decided names with that position.

A revised label takes the place of the one that was decided on, in rows [.., n), if the revision is no later than row
n - 1: then everybody who reads these rows finds the same ones. All such revisions have come once the watermark has
passed that row. What was decided, shown and archived stays as it was. Revisions are read from the topic: what it has
let go of is no longer applied.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from threading import Lock
from typing import TYPE_CHECKING

import orjson

from shared.contracts.control import SegmentWritten
from shared.contracts.envelope import NEVER_MS, Mark, Message
from shared.contracts.flow import LabelStatus, OutcomeMatured, OutcomeRevised
from shared.contracts.platform import Platform
from shared.contracts.topics import OUTCOMES
from shared.runtime.label_revisions import LabelRevisions, RevisedLabel
from shared.runtime.log import TopicPartition
from shared.runtime.outcome_segments import Row, decode_rows, row_of

if TYPE_CHECKING:
    from shared.runtime.process import Process

_Held = tuple[int, str, bytes]  # event time, record id, row
_DROP_EVERY = 500


class DecidedOutcomes:
    """Follows `outcomes.<model>` and answers spans of decided outcomes. `rows` may be called from any thread."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._lock = Lock()
        self._newest: dict[str, list[_Held]] = {}
        self._revised: dict[str, LabelRevisions] = {}
        self._watermarks: dict[TopicPartition, dict[str, int]] = {}

    def topics(self, platform: Platform) -> Iterable[str]:
        """The outcomes of every model."""
        return [OUTCOMES.of(name).name for name in platform.definitions.models]

    def on_message(self, tp: TopicPartition, message: Message) -> None:
        """Keep a matured outcome in its place, and let go of what is archived; keep what revises one."""
        event = message.event
        if isinstance(event, OutcomeRevised):
            with self._lock:
                self._revised.setdefault(event.model, LabelRevisions()).add(message.time_ms, event)
        if not isinstance(event, OutcomeMatured):
            return
        model, row = event.prediction.model, row_of(event, message.time_ms)
        with self._lock:
            held = self._newest.setdefault(model, [])
            insort(held, (message.time_ms, row["record_id"], orjson.dumps(row)))
            if len(held) % _DROP_EVERY == 0 and (segments := self._segments(model)):
                # Earlier than the last archived row: archived as well. Of its own time not all need be.
                del held[: bisect_right(held, (segments[-1].to_ms,))]

    def on_mark(self, tp: TopicPartition, mark: Mark) -> None:
        """How far each writer has come: until when all revisions are known."""
        with self._lock:
            known = self._watermarks.setdefault(tp, {})
            known[mark.source] = max(mark.watermark_ms, known.get(mark.source, NEVER_MS))

    def rows(self, model: str, first: int, last: int, last_record_id: str) -> list[Row] | None:
        """Rows [first, last), of which number `last` - 1 is of `last_record_id`, as revised by then.

        None: not all of them, or not all of their revisions, are read yet.
        Reads segments from the object store: raises ArtifactMissing or ArtifactDamaged.
        """
        segments = self._segments(model)
        archived = segments[-1].first + segments[-1].rows if segments else 0
        # The newest segment is read in any case: where it ends, the topic's rows begin.
        wanted = [s for s in segments if (s.first < last and s.first + s.rows > first) or s is segments[-1]]
        read = [row for segment in wanted for row in decode_rows(self._process.artifacts.get(segment.segment))]
        recent = self._after(model, (read[-1]["due_ms"], read[-1]["record_id"]) if read else None)
        rows = [*read, *({"ordinal": archived + n, **row} for n, row in enumerate(recent))]
        span = [row for row in rows if first <= row["ordinal"] < last]
        if len(span) != last - first or (span and span[-1]["record_id"] != last_record_id):
            return None
        return self._as_revised(model, span) if span else []

    def _as_revised(self, model: str, span: list[Row]) -> list[Row] | None:
        by_ms: int = span[-1]["due_ms"]
        tp = TopicPartition(OUTCOMES.of(model).name, 0)
        with self._lock:
            marked = self._watermarks.get(tp, {})
            writers = self._process.history.newest.definitions.writers.get(tp, frozenset())
            if any(marked.get(writer, NEVER_MS) <= by_ms for writer in writers):
                return None
            revisions = self._revised.get(model, LabelRevisions())
            revised = revisions.as_of((row["record_id"] for row in span), by_ms)
        return [_with(row, revised[row["record_id"]]) if row["record_id"] in revised else row for row in span]

    def _after(self, model: str, archived: tuple[int, str] | None) -> list[Row]:
        with self._lock:
            held = self._newest.get(model, [])
            if archived is not None:
                time_ms, record_id = archived
                # Above every row of this time and record: no JSON begins with 0xff.
                del held[: bisect_right(held, (time_ms, record_id, b"\xff"))]
            kept = list(held)
        return [orjson.loads(row) for _, _, row in kept]

    def _segments(self, model: str) -> list[SegmentWritten]:
        """The segments that follow each other from row 0 on."""
        found: list[SegmentWritten] = []
        written = self._process.history.newest.segments.get(("outcomes", model), ())
        for segment in sorted(written, key=lambda segment: segment.number):
            if segment.first != (found[-1].first + found[-1].rows if found else 0):
                break
            found.append(segment)
        return found


def _with(row: Row, revision: RevisedLabel) -> Row:
    status = LabelStatus.UNLABELLED if revision.label is None else LabelStatus.LABELLED
    return {**row, "label": revision.label, "label_id": revision.label_id, "status": status.value}
