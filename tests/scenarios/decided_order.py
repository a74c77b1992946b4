"""Of the judge: the order of its decisions, as the archive keeps it, against the outcomes in their topic."""

from __future__ import annotations

from collections.abc import Iterator

from shared.contracts.control import SegmentWritten
from shared.contracts.flow import OutcomeMatured
from shared.contracts.topics import OUTCOMES
from shared.runtime.outcome_segments import decode_rows
from tests.scenarios.evidence import Evidence


def decided_by_time_and_id(evidence: Evidence) -> Iterator[str]:
    """19: archived outcomes stand in the order of (event time, record id), each in its place among all."""
    history, artifacts = evidence.history, evidence.artifacts
    if artifacts is None:
        return
    for _, segment in history.decided(SegmentWritten):
        if segment.kind != "outcomes":
            continue
        matured = history.events(OUTCOMES.of(segment.subject).name, OutcomeMatured)
        order = sorted((read.message.time_ms, event.prediction.record_id or "") for read, event in matured)
        found = [(row["due_ms"], row["record_id"]) for row in decode_rows(artifacts.get(segment.segment))]
        expected = order[segment.first : segment.first + segment.rows]
        if found != expected:
            [place, *_] = [n for n, one in enumerate(found) if expected[n : n + 1] != [one]]
            yield (
                f"outcomes segment {segment.number} of {segment.subject}: row {segment.first + place} is "
                f"{found[place]}, and {expected[place : place + 1]} was to be decided there"
            )
