"""Whether a record has the fields that its source declares: the same code for streams and for HTTP."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue

from shared.contracts.definitions import FieldSpec, Source
from shared.contracts.record_fields import Refusal, field_refusal, unknown_refusal
from shared.contracts.source_fields import known_fields


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """What a record of a source is held against. `known`: every field that it may carry."""

    declared: tuple[tuple[str, FieldSpec], ...]
    known: frozenset[str]


def validate(source: Source, value: dict[str, JsonValue]) -> Refusal | None:
    """The first thing about a routed record that does not fit its source; None: it fits."""
    plan = plan_of(source)
    for name, spec in plan.declared:
        refusal = field_refusal(name, spec, value)
        if refusal is not None:
            return refusal
    return None if plan.known.issuperset(value) else unknown_refusal(plan.known, value)


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
