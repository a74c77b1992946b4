"""How a decision's state becomes a JSON-able dict and comes back equal, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from dataclasses import Field


class JsonState:
    """Base of a frozen dataclass whose fields are numbers, strings, None, or tuples of these.

    A class with nested states overrides `from_json`. Floats keep their value: Python's JSON writes the shortest text
    that reads back as the same double. Unknown keys are ignored, so that an older reader accepts a newer state.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def to_json(self) -> dict[str, Any]:
        """The state as a plain dict of JSON values; tuples become lists, nested states become dicts."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The state that `to_json` wrote. Raises TypeError when a field without a default is absent."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: _frozen(value) for name, value in data.items() if name in known})


def _plain(value: Any) -> Any:
    if isinstance(value, JsonState):
        return value.to_json()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
