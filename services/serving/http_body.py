"""The body of a request, up to a limit."""

from __future__ import annotations

from fastapi import Request

from services.serving.refused import Refused


async def read_body(request: Request, largest_bytes: int) -> bytes:
    """All of it, whatever content type is named. Raises Refused: 413 as soon as it is too large, 415 if compressed."""
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise Refused(415, f"content-encoding {encoding} is not supported: send the body as it is")
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > largest_bytes:
            raise Refused(413, f"a request holds at most {largest_bytes} bytes")
        parts.append(part)
    return b"".join(parts)
