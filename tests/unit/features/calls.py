"""Calls of the step `compute` as the runtime makes them: accepted records in, inputs and windows out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.features.compute import on_accepted
from services.features.entity_state import EntityState
from shared.contracts.definitions import FeatureView, Model, Source
from shared.contracts.envelope import NEVER_MS, Message
from shared.contracts.flow import InputsComputed, WindowsChanged
from shared.contracts.platform import Platform
from shared.contracts.topology import Definitions
from shared.runtime.step import Context, Output, Publish
from tests import builders as b

HOUR_MS = 3_600_000


def context(*over: Source | FeatureView | Model) -> Context:
    definitions: Definitions = b.definitions(*over)
    task = next(t for t in definitions.tasks if t.step == "compute" and t.subject == b.SOURCE)
    return Context(Platform(position=2, definitions=definitions), NEVER_MS, task)


CONTEXT = context()


def record(record_id: str, time_ms: int, amount: float = 10.0, key: str = "c1", **over: Any) -> Message:
    data = {"transaction_id": record_id, "card_id": key, "at": time_ms, "amount": amount, "category": "food"}
    event = b.accepted(record_id=record_id, value=data, **over)
    return Message(record_id, "test", time_ms, key, event, 1, 2)


def compute(
    state: EntityState | None, message: Message, context: Context = CONTEXT
) -> tuple[EntityState | None, Sequence[Output]]:
    return on_accepted(state, message, context)


def inputs_of(outputs: Sequence[Output]) -> list[InputsComputed]:
    return [o.event for o in outputs if isinstance(o, Publish) and isinstance(o.event, InputsComputed)]


def windows_of(outputs: Sequence[Output]) -> list[WindowsChanged]:
    return [o.event for o in outputs if isinstance(o, Publish) and isinstance(o.event, WindowsChanged)]
