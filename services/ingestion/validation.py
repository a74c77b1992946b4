"""Whether a record has the fields that its source declares: the same code for streams and for HTTP."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from pydantic import JsonValue

from services.ingestion.refusal import Refusal, shown
from shared.contracts.definition_problem import did_you_mean
from shared.contracts.definitions import FieldSpec, FieldType, Source
from shared.contracts.flow import RejectReason
from shared.contracts.source_fields import known_fields

_LARGEST = sys.float_info.max
_EXPECTED = {
    FieldType.STRING: "a text",
    FieldType.NUMBER: "a number",
    FieldType.INTEGER: "a whole number",
    FieldType.BOOLEAN: "true or false",
}


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """What a record of a source is held against. `known`: every field that it may carry."""

    declared: tuple[tuple[str, FieldSpec], ...]
    known: frozenset[str]


def validate(source: Source, value: dict[str, JsonValue]) -> Refusal | None:
    """The first thing about a routed record that does not fit its source; None: it fits."""
    plan = plan_of(source)
    for name, spec in plan.declared:
        found = value.get(name)
        if found is None:
            if not spec.optional:
                return _missing(name, spec, value)
            continue
        refusal = _misfit(name, spec, found)
        if refusal is not None:
            return refusal
    return None if plan.known.issuperset(value) else _unknown(plan, value)


def _misfit(name: str, spec: FieldSpec, found: JsonValue) -> Refusal | None:
    if not _is_of_type(spec.type, found):
        return Refusal(RejectReason.WRONG_TYPE, name, _expected(spec), shown(found))
    if spec.enum is not None and str(found) not in spec.enum:
        return Refusal(RejectReason.OUT_OF_RANGE, name, _expected(spec), shown(found))
    if isinstance(found, int | float) and not isinstance(found, bool) and not _within(spec, found):
        return Refusal(RejectReason.OUT_OF_RANGE, name, _expected(spec), shown(found))
    return None


def _is_of_type(declared: FieldType, found: JsonValue) -> bool:
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


def _missing(name: str, spec: FieldSpec, value: dict[str, JsonValue]) -> Refusal:
    return Refusal(RejectReason.MISSING_FIELD, name, _expected(spec), "null" if name in value else "no such field")


def _unknown(plan: SourcePlan, value: dict[str, JsonValue]) -> Refusal:
    name = min(value.keys() - plan.known)
    return Refusal(
        RejectReason.UNKNOWN_FIELD,
        name,
        f"only declared fields ({did_you_mean(name, sorted(plan.known))})",
        shown(value[name]),
    )


_PLANS: dict[int, tuple[Source, SourcePlan]] = {}


def plan_of(source: Source) -> SourcePlan:
    """The plan of a source, kept by identity: to work it out for every record would cost too much."""
    found = _PLANS.get(id(source))
    # The source is kept beside its plan, so that its identity cannot pass to another.
    if found is None or found[0] is not source:
        if len(_PLANS) >= 1_000:
            _PLANS.clear()
        found = _PLANS[id(source)] = (source, SourcePlan(tuple(source.fields.items()), frozenset(known_fields(source))))
    return found[1]
