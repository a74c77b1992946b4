"""Calls of ingestion's handlers as the runtime makes them: a raw record or an event in, state and outputs out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from services.ingestion.accept import on_intake
from services.ingestion.intake import intake_step
from shared.contracts.definitions import Source
from shared.contracts.envelope import NEVER_MS, Message
from shared.contracts.flow import IntakeRecord, RecordRejected
from shared.contracts.platform import Platform
from shared.contracts.topology import Definitions
from shared.runtime.log import LogRecord
from shared.runtime.step import Context, Output, Publish, Raw
from tests import builders as b


def value(**over: Any) -> dict[str, Any]:
    return {"transaction_id": "t1", "card_id": "c1", "at": b.T0_MS, "amount": 12.5, "category": "food", **over}


def context(step: str, source: Source | None = None, watermark_ms: int = NEVER_MS) -> Context:
    definitions: Definitions = b.definitions(*([source] if source else []))
    task = next(t for t in definitions.tasks if t.step == step and t.subject == b.SOURCE)
    return Context(Platform(position=2, definitions=definitions), watermark_ms, task)


def log_record(data: bytes | dict[str, Any] | None, **over: Any) -> LogRecord:
    made = LogRecord(b.SOURCE, 0, 7, b.T0_MS, b"any key", orjson.dumps(data) if isinstance(data, dict) else data, ())
    return made._replace(**over)


def take_in(
    data: bytes | dict[str, Any] | None, newest_ms: int | None = None, source: Source | None = None, **over: Any
) -> tuple[int | None, Output]:
    """One record through `intake`: the newest event time after it, and its one output."""
    handler = intake_step().raw
    assert handler is not None
    state, [output] = handler(newest_ms, Raw(log_record(data, **over)), context("intake", source))
    return state, output


def accept(
    seen: int | None, record: IntakeRecord, time_ms: int = b.T0_MS, source: Source | None = None, **over: Any
) -> tuple[int | None, Sequence[Output]]:
    message = Message("id", "test", time_ms, "c1", record, 1, 2)
    return on_intake(seen, message, context("accept", source, **over))


def rejection(output: Output) -> RecordRejected:
    assert isinstance(output, Publish)
    assert isinstance(output.event, RecordRejected)
    return output.event


def published(output: Output) -> Publish:
    assert isinstance(output, Publish)
    return output
