"""Of the judge: the order of its decisions, as the archive keeps it, against the outcomes in their topic."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from shared.contracts.control import SegmentWritten
from shared.contracts.flow import OutcomeMatured
from shared.contracts.topics import OUTCOMES
from shared.runtime.outcome_segments import decode_rows
from tests.scenarios.evidence import Evidence

Place = tuple[int, str]  # event time, record id


def decided_by_time_and_id(evidence: Evidence) -> Iterator[str]:
    """19: archived outcomes stand in the order of (event time, record id), each in its place among all of the topic."""
    history, artifacts = evidence.history, evidence.artifacts
    if artifacts is None:
        return
    archived: dict[str, dict[int, Place]] = defaultdict(dict)
    for _, segment in history.decided(SegmentWritten):
        if segment.kind == "outcomes":
            rows = decode_rows(artifacts.get(segment.segment))
            archived[segment.subject] |= {segment.first + n: (r["due_ms"], r["record_id"]) for n, r in enumerate(rows)}
    for model, rows in archived.items():
        matured = history.events(OUTCOMES.of(model).name, OutcomeMatured)
        all_of_them = {(read.message.time_ms, event.prediction.record_id or "") for read, event in matured}
        found = [(n, rows[n]) for n in sorted(rows) if rows[n] in all_of_them]
        for (n, one), wanted in zip(found, sorted(all_of_them), strict=False):
            if one != wanted:
                yield f"outcomes of {model}: row {n} is {one}, and {wanted} was to be decided there"
                break
