"""Which outcomes become a segment: every so many, as they were decided."""

from __future__ import annotations

from services.monitoring.judge import ARCHIVE
from shared.runtime.outcome_segments import encode_rows
from shared.runtime.process import Process
from shared.runtime.segments import SegmentWriter


def archive(process: Process, outcomes_per_segment: int) -> SegmentWriter:
    """The worker that archives what the judge has decided, model by model."""
    return SegmentWriter(process, "judge", ARCHIVE, outcomes_per_segment, encode_rows, "outcomes")
