"""Whether a record's fields are what its source declares: one check for streams, HTTP records and HTTP requests."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.contracts.definition_problem import did_you_mean
from shared.contracts.definitions import FieldSpec, FieldType
from shared.contracts.flow import RejectReason
from shared.contracts.identity import canonical_text

LONGEST_NAME_CHARACTERS = 1_024
_EXACT_BELOW = 2.0**53
_LARGEST = sys.float_info.max
_SHOWN_CHARACTERS = 60
_EXPECTED = {
    FieldType.STRING: "a text",
    FieldType.NUMBER: "a number",
    FieldType.INTEGER: "a whole number",
    FieldType.BOOLEAN: "true or false",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a record does not fit, as a person reads it. `field` is None where the record as a whole is meant."""

    reason: RejectReason
    field: str | None
    expected: str
    found: str

    @property
    def detail(self) -> str:
        where = "the record" if self.field is None else f"field {self.field!r}"
        return f"{where}: expected {self.expected}, found {self.found}"


def shown(value: object) -> str:
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
            digits = repr(value)
            return f"the number {digits if len(digits) <= _SHOWN_CHARACTERS else f'{digits[:_SHOWN_CHARACTERS]}...'}"
        case list():
            return "a list"
        case _:
            return "an object"


def field_refusal(name: str, spec: FieldSpec, value: Mapping[str, Any]) -> Refusal | None:
    """Why a declared field of the record `value` does not fit; None: it does. An optional one may be absent or null."""
    found = value.get(name)
    if found is None:
        return None if spec.optional else missing(name, _expected(spec), value)
    if not _is_of_type(spec.type, found):
        return Refusal(RejectReason.WRONG_TYPE, name, _expected(spec), shown(found))
    if spec.enum is not None and found not in spec.enum:
        return Refusal(RejectReason.OUT_OF_RANGE, name, _expected(spec), shown(found))
    if isinstance(found, int | float) and not _within(spec, found):
        return Refusal(RejectReason.OUT_OF_RANGE, name, _expected(spec), shown(found))
    return None


def unknown_refusal(known: Iterable[str], value: Mapping[str, Any]) -> Refusal:
    """Of a record with a field that is not among those `known`: the first such field by name."""
    names = sorted(known)
    name = min(value.keys() - set(names))
    return Refusal(
        RejectReason.UNKNOWN_FIELD, name, f"only declared fields ({did_you_mean(name, names)})", shown(value[name])
    )


def name_of(field: str, value: Mapping[str, Any]) -> str | Refusal:
    """A record's key or id as canonical text: 5 and 5.0 alike. No whole record goes without."""
    found = value.get(field)
    if found is None:
        return missing(field, "a text or a number", value)
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        return Refusal(RejectReason.WRONG_TYPE, field, "a text or a number", shown(found))
    if isinstance(found, float) and not abs(found) < _EXACT_BELOW:
        expected = "a number that keeps all its digits (write it as a text)"
        return Refusal(RejectReason.WRONG_TYPE, field, expected, shown(found))
    name = found if isinstance(found, str) else canonical_text(found)
    if not name:
        return Refusal(RejectReason.MISSING_FIELD, field, "a text or a number", "an empty text")
    if len(name) > LONGEST_NAME_CHARACTERS:
        expected = f"at most {LONGEST_NAME_CHARACTERS} characters"
        return Refusal(RejectReason.OUT_OF_RANGE, field, expected, f"{len(name)} characters")
    return name


def missing(name: str, expected: str, value: Mapping[str, Any]) -> Refusal:
    """Of a field that is null or not there."""
    return Refusal(RejectReason.MISSING_FIELD, name, expected, "null" if name in value else "no such field")


def _is_of_type(declared: FieldType, found: object) -> bool:
    kind = type(found)
    match declared:
        case FieldType.STRING:
            return kind is str
        case FieldType.BOOLEAN:
            return kind is bool
        case FieldType.NUMBER:
            return kind is float or kind is int
        case FieldType.INTEGER:
            return kind is int or (isinstance(found, float) and found.is_integer())


def _within(spec: FieldSpec, number: float) -> bool:
    low, high = spec.minimum, spec.maximum
    return abs(number) <= _LARGEST and (low is None or number >= low) and (high is None or number <= high)


def _expected(spec: FieldSpec) -> str:
    said = _EXPECTED[spec.type]
    if spec.enum is not None:
        return f"one of {', '.join(spec.enum)}"
    limits = [
        f"{word} {limit:.15g}"
        for word, limit in (("at least", spec.minimum), ("at most", spec.maximum))
        if limit is not None
    ]
    return f"{said} of {' and '.join(limits)}" if limits else said
