"""`POST /v1/records/{source}`: records over HTTP, answered once the broker has them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from services.ingestion.http_body import BadLine, Line, lines_of
from services.ingestion.memory_guard import Refuses
from services.ingestion.settings import IngestionSettings
from shared.contracts.definitions import Source
from shared.contracts.flow import RejectReason
from shared.contracts.trace_context import TRACEPARENT
from shared.runtime.http_access import asks_token
from shared.runtime.http_trace import request_trace
from shared.runtime.log import RecordTooLarge, TopicPartition
from shared.runtime.partitioning import partition_of
from shared.runtime.process import Process

LARGEST_BODY_BYTES = 32 << 20
LARGEST_QUEUE = 50_000
SHOWN_PROBLEMS = 100
ANSWER_WITHIN_S = 10.0


def router(
    process: Process, settings: IngestionSettings, refuses: Refuses, answer_within_s: float = ANSWER_WITHIN_S
) -> APIRouter:
    """`refuses` says why nothing is taken at the moment, or None."""
    routes = APIRouter(dependencies=[Depends(asks_token(settings))])

    @routes.post("/v1/records/{source}", status_code=202)
    async def publish(source: str, request: Request) -> JSONResponse:
        """One JSON record, or newline-delimited JSON: all of it, or nothing if a line does not fit.

        The same id sent again is taken, and counts once. A broker that takes less than we do (413) and one that does
        not answer in time (503) may have taken some: the first is told record by record, the second by their number.
        A W3C `traceparent` becomes that of every record; an invalid one is ignored.
        """
        unready = _unready(process, source) or _full(process, refuses)
        if unready is not None:
            return unready
        body = await _body(request)
        if body is None:
            return _error(413, f"a request holds at most {LARGEST_BODY_BYTES} bytes: send it in parts")
        definition = process.history.newest.definitions.sources[source]
        judged = lines_of(definition, body, process.clock.wall_ms(), settings.largest_record_bytes)
        bad = [line for line in judged if isinstance(line, BadLine)]
        if bad or not judged:
            return _unfit(bad, len(judged))
        lines, trace = [x for x in judged if isinstance(x, Line)], request_trace(request)
        return await _published(process, definition, lines, trace, answer_within_s)

    return routes


async def _body(request: Request) -> bytes | None:
    """The body, or None as soon as it is too large."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > LARGEST_BODY_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)


def _unready(process: Process, source: str) -> JSONResponse | None:
    platform = process.history.newest
    if not platform.definitions.sources:
        reason = "; ".join(process.awaited.values()) or "no definition has been applied yet"
        return _error(
            503, f"no source is known here: {reason}. Apply one with `headrace apply -f FILE`, then try again"
        )
    if source not in platform.definitions.sources:
        known = ", ".join(sorted(platform.definitions.sources))
        return _error(404, f"source {source!r} is not declared; declared are {known}")
    topic = platform.definitions.sources[source].topic_name
    if topic not in process.topics.there:
        wrong = process.topics.wrong.get(topic)
        return _error(503, wrong or f"the topic of source {source!r} is being made: try again in a second")
    return None


def _full(process: Process, refuses: Refuses) -> JSONResponse | None:
    reason = refuses()
    if reason is not None:
        return _error(507, reason)
    if process.outside.pending > LARGEST_QUEUE:
        return _error(503, f"{process.outside.pending} records wait for the broker: try again when it has taken them")
    return None


async def _published(
    process: Process, source: Source, lines: Sequence[Line], trace: str | None, within_s: float
) -> JSONResponse:
    headers = [(TRACEPARENT, trace.encode())] if trace else ()
    tps = [TopicPartition(source.topic_name, partition_of(x.routed.key.encode(), source.partitions)) for x in lines]
    landed = [
        asyncio.wrap_future(process.outside.publish_raw(tp, line.routed.key.encode(), line.data, headers))
        for tp, line in zip(tps, lines, strict=True)
    ]
    _, waiting = await asyncio.wait(landed, timeout=within_s)
    for future in waiting:
        future.cancel()
    records: list[dict[str, Any]] = []
    problems: list[dict[str, Any]] = []
    for x, tp, future in zip(lines, tps, landed, strict=True):
        if future in waiting:
            continue
        refused = future.exception()
        if isinstance(refused, RecordTooLarge):
            problems.append({"line": x.number, "reason": RejectReason.TOO_LARGE, "detail": str(refused)})
            continue
        place = {"topic": tp.topic, "partition": tp.partition, "offset": future.result()}
        records.append({"line": x.number, "id": x.routed.record_id, **place})
    if waiting:
        return _error(
            503,
            f"the broker has taken {len(records)} of {len(lines)} records within {within_s:g} s: send the request "
            "again when /readyz answers 200; an id that it has already counts once",
        )
    if problems:
        return _partly(records, problems, len(lines))
    return JSONResponse({"source": source.name, "records": records}, 202)


def _partly(records: list[dict[str, Any]], problems: list[dict[str, Any]], lines: int) -> JSONResponse:
    """The broker takes less than we do, which only it can know: every record's fate is told."""
    said = (
        f"the broker took {len(records)} of {lines} records and refused {len(problems)} as too large for its topic: "
        "make these smaller and send them alone, or raise the topic's max.message.bytes"
    )
    return JSONResponse({"error": said, "problems": problems, "records": records}, 413)


def _unfit(bad: Sequence[BadLine], lines: int) -> JSONResponse:
    problems: list[dict[str, Any]] = [
        {
            "line": x.number,
            "reason": x.refusal.reason,
            "field": x.refusal.field,
            "expected": x.refusal.expected,
            "found": x.refusal.found,
            "detail": x.refusal.detail,
        }
        for x in bad[:SHOWN_PROBLEMS]
    ]
    said = f"{len(bad)} of {lines} lines do not fit" if lines else "the request is empty: send JSON, a record a line"
    return JSONResponse({"error": f"{said}; nothing was published", "problems": problems}, 422)


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status)
