"""The trace that a request belongs to."""

from __future__ import annotations

from fastapi import Request

from shared.contracts.trace_context import TRACEPARENT, read_traceparent


def request_trace(request: Request) -> str | None:
    """The `traceparent` of a request; None if there is none, more than one, or no valid one."""
    return read_traceparent(request.headers.getlist(TRACEPARENT))
