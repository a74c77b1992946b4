"""What is kept of an entity: its windows in each view of its source, and when to look whether they are of use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import PlainSerializer, PlainValidator

from shared.inputs.windows import WindowState


class EntityState(NamedTuple):
    """`look_ms`: the timer that is set."""

    windows: Mapping[str, WindowState]
    look_ms: int


def _as_json(state: EntityState) -> dict[str, Any]:
    return {"look": state.look_ms, "views": {name: windows.as_json() for name, windows in state.windows.items()}}


def _from_json(json: dict[str, Any]) -> EntityState:
    return EntityState({name: WindowState.from_json(w) for name, w in json["views"].items()}, json["look"])


STATE = Annotated[EntityState, PlainValidator(_from_json), PlainSerializer(_as_json)]
