"""What tests of a running platform do: declare a small source, publish to it, count, and ask for readiness."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import httpx
import orjson

from deploy.local.definitions_in_force import put_in_force
from shared.contracts.definitions import Source

SOURCE = Source.model_validate(
    {
        "kind": "Source",
        "name": "visits",
        "key": "page",
        "id": "visit",
        "time": {"field": "at", "clock": "wall"},
        "fields": {"page": "string", "visit": "string", "seconds": {"type": "number", "minimum": 0}},
    }
)


def visit(visit_id: str, **other: Any) -> dict[str, Any]:
    """A record that fits, with some of its fields replaced."""
    return {"page": "home", "visit": visit_id, "at": time.time_ns() // 1_000_000, "seconds": 1.5, **other}


def apply(console: str) -> None:
    """Declare the source."""
    put_in_force(console, [SOURCE], by="test")


def publish(ingestion: str, ids: Sequence[str]) -> None:
    """Publish a record of each id. Ingestion may not know the source yet: it says so, and is asked again."""
    body = b"\n".join(orjson.dumps(visit(one)) for one in ids)
    until_s = time.monotonic() + 30
    while True:
        answer = httpx.post(f"{ingestion}/v1/records/{SOURCE.name}", content=body, timeout=20.0)
        if answer.status_code == 202:
            return
        assert answer.status_code in (404, 503), answer.text
        assert time.monotonic() < until_s, answer.text
        time.sleep(0.1)


def counts(console: str) -> dict[str, Any]:
    """Of the source: published, accepted, rejected and late."""
    return httpx.get(f"{console}/v1/counts", timeout=10.0).json()["sources"][SOURCE.name]


def accepted(console: str) -> int:
    return int(counts(console)["accepted"])


def readiness(url: str) -> tuple[int, dict[str, str]]:
    """Status of /readyz, 0 while nothing answers, and the reasons that it gives."""
    try:
        answer = httpx.get(f"{url}/readyz", timeout=5.0)
    except httpx.TransportError:
        return 0, {}
    return answer.status_code, answer.json()["reasons"]
