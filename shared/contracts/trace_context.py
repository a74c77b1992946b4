"""Which trace an event belongs to: W3C Trace Context, as the text of a `traceparent`.

A trace goes from a record's publication to its outcome: every event on the way has the same trace id, and a span id of
its own. Nothing is random, so that a replay gives the same bytes: span ids are those of the events, and where a client
gave no trace, its id is that of the first cause. Such a trace is not marked as sampled, for nobody records it.
Source: https://www.w3.org/TR/trace-context-2/, which reads what level 1 writes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

TRACEPARENT = "traceparent"
_FIELDS = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_HEX_ID = re.compile(r"[0-9a-f]{32}")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_SAMPLED, _RANDOM = 0x01, 0x02


def read_traceparent(given: Sequence[str]) -> str | None:
    """What the `traceparent` headers of a message say, as version 00; None if there is not one, or it is invalid.

    Of a later version the fields that version 00 has are read, and of its flags only `sampled`.
    """
    if len(given) != 1:
        return None
    found = _FIELDS.fullmatch(given[0])
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None) or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    known = _SAMPLED | _RANDOM if version == "00" else _SAMPLED
    return f"00-{trace_id}-{span_id}-{int(flags, 16) & known:02x}"


def carried_on(parent: str, event_id: str) -> str:
    """The trace of `parent`, at an event whose id `derived_id` gave."""
    return f"{parent[:36]}{_span_of(event_id)}{parent[52:]}"


def begun(first_cause: str, event_id: str) -> str:
    """A trace that begins with `first_cause`, at an event whose id `derived_id` gave."""
    trace_id = first_cause.replace("-", "")
    if _HEX_ID.fullmatch(trace_id) is None:
        trace_id = hashlib.sha256(first_cause.encode(), usedforsecurity=False).hexdigest()[:32]
    return f"00-{trace_id}-{_span_of(event_id)}-00"


def trace_id_of(traceparent: str | None) -> str | None:
    """The id of the trace, by which logs and tools find it."""
    return None if traceparent is None else traceparent[3:35]


def _span_of(event_id: str) -> str:
    # The digits of a derived id that are hash alone, without those of its UUID version and variant.
    return event_id[24:] + event_id[:4]
