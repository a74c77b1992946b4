"""What a request about one record must bring, and what it becomes: entity, record id, time and fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.serving.refused import Refused
from shared.contracts.definition_problem import did_you_mean
from shared.contracts.definitions import FieldSpec, FieldType, Model, Source
from shared.contracts.expressions import parse
from shared.contracts.identity import canonical_text
from shared.contracts.instants import parse_instant_ms
from shared.contracts.source_fields import known_fields
from shared.contracts.topology import Definitions, clock_of
from shared.inputs.vector import InputPlan

AT = "at"
_EXPECTED = {
    FieldType.STRING: "a text",
    FieldType.NUMBER: "a number",
    FieldType.INTEGER: "a whole number",
    FieldType.BOOLEAN: "true or false",
}


@dataclass(frozen=True, slots=True)
class AskedRecord:
    """`record_id` and `at_ms` None: the request does not say."""

    entity: str
    record_id: str | None
    at_ms: int | None
    value: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """Of one model. `needed`: the fields that its inputs are made of, with their declared types."""

    inputs: InputPlan
    source: Source
    clock: str
    needed: Mapping[str, FieldSpec]
    known: frozenset[str]

    @classmethod
    def of(cls, model: Model, definitions: Definitions) -> RequestPlan:
        source = definitions.sources[model.scores]
        in_expressions = {name for text in model.inputs.derived.values() for name in parse(text).names}
        names = {*model.inputs.fields, *in_expressions}
        needed = {name: spec for name, spec in source.fields.items() if name in names and name != source.time.field}
        clock = clock_of(definitions, source.name)
        return cls(InputPlan.of(model, definitions), source, clock, needed, frozenset((*known_fields(source), AT)))

    def read(self, body: object, at: str | None) -> AskedRecord:
        """The record of a request. `at` is what the address says of its time. Raises Refused (422), naming the field.

        Needed are the entity and whatever the model's inputs are made of; id and time may be missing.
        """
        if not isinstance(body, dict):
            raise Refused(422, f"expected one record as a JSON object, found {_shown(body)}")
        value: dict[str, Any] = body
        for name in value.keys() - self.known:
            raise _misfit(name, f"only fields of source {self.source.name} ({did_you_mean(name, sorted(self.known))})")
        entity = self._name(self.source.key, value)
        if entity is None:
            raise Refused(422, f"field {self.source.key!r} is missing: it names the entity", field=self.source.key)
        for name, spec in self.needed.items():
            _check(name, spec, value.get(name), name in value)
        return AskedRecord(entity, self._name(self.source.id, value), self._at_ms(value, at), value)

    def _name(self, field: str, value: Mapping[str, Any]) -> str | None:
        found = value.get(field)
        if found is None or found == "":
            return None
        spec = self.source.fields.get(field)
        if spec is not None:
            _check(field, spec, found, True)
        if isinstance(found, bool) or not isinstance(found, str | int | float):
            raise _misfit(field, f"a text or a number, found {_shown(found)}")
        return canonical_text(found)

    def _at_ms(self, value: Mapping[str, Any], at: str | None) -> int | None:
        field = self.source.time.field
        found = value.get(field, value.get(AT, at))
        if found is None:
            return None
        time_ms = None
        if isinstance(found, str | int | float) and not isinstance(found, bool):
            time_ms = parse_instant_ms(found)
        if time_ms is None:
            raise _misfit(field if field in value else AT, f"RFC 3339 or epoch milliseconds, found {_shown(found)}")
        return time_ms


def _check(name: str, spec: FieldSpec, found: object, given: bool) -> None:
    if found is None:
        if spec.optional:
            return
        missing = "is null" if given else "is missing"
        raise Refused(422, f"field {name!r} {missing}: the model needs {_EXPECTED[spec.type]}", field=name)
    if not _is_of_type(spec.type, found):
        raise _misfit(name, f"{_EXPECTED[spec.type]}, found {_shown(found)}")
    if spec.enum is not None and found not in spec.enum:
        raise _misfit(name, f"one of {', '.join(spec.enum)}, found {_shown(found)}")
    if isinstance(found, int | float):
        if spec.minimum is not None and found < spec.minimum:
            raise _misfit(name, f"at least {spec.minimum:g}, found {_shown(found)}")
        if spec.maximum is not None and found > spec.maximum:
            raise _misfit(name, f"at most {spec.maximum:g}, found {_shown(found)}")


def _is_of_type(declared: FieldType, found: object) -> bool:
    match declared:
        case FieldType.STRING:
            return isinstance(found, str)
        case FieldType.BOOLEAN:
            return isinstance(found, bool)
        case FieldType.NUMBER:
            return isinstance(found, int | float) and not isinstance(found, bool)
        case FieldType.INTEGER:
            whole = isinstance(found, int) or (isinstance(found, float) and found.is_integer())
            return whole and not isinstance(found, bool)


def _misfit(name: str, expected: str) -> Refused:
    return Refused(422, f"field {name!r}: expected {expected}", field=name)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
