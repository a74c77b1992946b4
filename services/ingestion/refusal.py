"""Why a record does not fit, as a person reads it: which field, what was expected, what was found."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue

from shared.contracts.flow import RejectReason

_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Refusal:
    """`field` is None where the record as a whole is meant."""

    reason: RejectReason
    field: str | None
    expected: str
    found: str

    @property
    def detail(self) -> str:
        where = "the record" if self.field is None else f"field {self.field!r}"
        return f"{where}: expected {self.expected}, found {self.found}"


def shown(value: JsonValue) -> str:
    """A JSON value in words, long texts cut."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            cut = value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}..."
            return f"the text {cut!r}"
        case int() | float():
            return f"the number {value!r}"
        case list():
            return "a list"
        case _:
            return "an object"
