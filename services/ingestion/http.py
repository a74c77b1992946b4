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
from shared.runtime.http_access import asks_token
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

        The same id sent again is taken, and counts once.
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
        return await _published(process, definition, [x for x in judged if isinstance(x, Line)], answer_within_s)

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
        reason = "; ".join(process.waiting.values()) or "no definition has been applied yet"
        return _error(
            503, f"no source is known here: {reason}. Apply one with `headrace apply -f FILE`, then try again"
        )
    if source not in platform.definitions.sources:
        known = ", ".join(sorted(platform.definitions.sources))
        return _error(404, f"source {source!r} is not declared; declared are {known}")
    if not any(t.spec.step == "intake" and t.spec.subject == source for t in list(process.tasks.values())):
        return _error(503, f"the topic of source {source!r} is being made: try again in a second")
    return None


def _full(process: Process, refuses: Refuses) -> JSONResponse | None:
    reason = refuses()
    if reason is not None:
        return _error(507, reason)
    if process.outside.pending > LARGEST_QUEUE:
        return _error(503, f"{process.outside.pending} records wait for the broker: try again when it has taken them")
    return None


async def _published(process: Process, source: Source, lines: Sequence[Line], within_s: float) -> JSONResponse:
    tps = [TopicPartition(source.topic_name, partition_of(x.routed.key.encode(), source.partitions)) for x in lines]
    landed = [
        asyncio.wrap_future(process.outside.publish_raw(tp, line.routed.key.encode(), line.data))
        for tp, line in zip(tps, lines, strict=True)
    ]
    try:
        async with asyncio.timeout(within_s):
            offsets = await asyncio.gather(*landed)
    except TimeoutError:
        taken = sum(future.done() and not future.cancelled() for future in landed)
        return _error(
            503,
            f"the broker has taken {taken} of {len(lines)} records within {within_s:g} s: send the request again when "
            "/readyz answers 200; an id that it has already counts once",
        )
    except RecordTooLarge as refused:
        return _error(413, str(refused))
    records = [
        {"line": x.number, "id": x.routed.record_id, "topic": tp.topic, "partition": tp.partition, "offset": offset}
        for x, tp, offset in zip(lines, tps, offsets, strict=True)
    ]
    return JSONResponse({"source": source.name, "records": records}, 202)


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
