"""What a request about one record must bring, and what it becomes: entity, record id, time and fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from services.serving.refused import Refused
from shared.contracts.definitions import FeatureView, Model, Source
from shared.contracts.envelope import rfc3339
from shared.contracts.expressions import parse
from shared.contracts.flow import RejectReason
from shared.contracts.identity import canonical_text
from shared.contracts.instants import parse_instant_ms
from shared.contracts.record_fields import Refusal, field_refusal, name_of, shown, unknown_refusal
from shared.contracts.source_fields import known_fields
from shared.contracts.topology import Definitions, clock_of
from shared.inputs.vector import InputPlan

AT = "at"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class AskedRecord:
    """`record_id` and `at_ms` None: the request does not say."""

    entity: str
    record_id: str | None
    at_ms: int | None
    value: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """Of one model. `needed`: the fields that its inputs are made of, and that its views look up."""

    inputs: InputPlan
    source: Source
    clock: str
    needed: frozenset[str]
    known: frozenset[str]

    @classmethod
    def of(cls, model: Model, definitions: Definitions) -> RequestPlan:
        source = definitions.sources[model.scores]
        in_expressions = {name for text in model.inputs.derived.values() for name in parse(text).names}
        inputs, clock = InputPlan.of(model, definitions), clock_of(definitions, source.name)
        names = {*model.inputs.fields, *in_expressions, *(view.entity for view in inputs.views.values())}
        needed = frozenset(source.fields.keys() & names - {source.time.field})
        return cls(inputs, source, clock, needed, frozenset((*known_fields(source), AT)))

    def entity_of(self, view: FeatureView, asked: AskedRecord) -> str:
        """Whose windows of a view a request asks for; empty where it names nobody, whom no view knows."""
        return asked.entity if view.entity == self.source.key else canonical_text(asked.value.get(view.entity))

    def read(self, body: object, at: str | None, now_ms: int) -> AskedRecord:
        """The record of a request. `at` is what the address says of its time, `now_ms` what the source's clock shows.
        Raises Refused (422), naming the field.

        Needed are the entity and whatever the model's inputs are made of; the rest may be missing, but what is there
        is held against the source as on the stream.
        """
        if not isinstance(body, dict):
            raise Refused(422, f"expected one record as a JSON object, found {shown(body)}")
        value: dict[str, Any] = body
        if not self.known.issuperset(value):
            _fits(unknown_refusal(self.known, value))
        entity = _fits(name_of(self.source.key, value))
        record_id = None if value.get(self.source.id) is None else _fits(name_of(self.source.id, value))
        for name, spec in self.source.fields.items():
            if name in self.needed or value.get(name) is not None:
                _fits(field_refusal(name, spec, value))
        return AskedRecord(entity, record_id, self._at_ms(value, at, now_ms), value)

    def _at_ms(self, value: Mapping[str, Any], at: str | None, now_ms: int) -> int | None:
        field = self.source.time.field
        named = field if field in value else AT
        found = value.get(field, value.get(AT, at))
        if found is None:
            return None
        time_ms = None
        if isinstance(found, str | int | float) and not isinstance(found, bool):
            time_ms = parse_instant_ms(found)
        if time_ms is None:
            return _fits(Refusal(RejectReason.WRONG_TYPE, named, "RFC 3339 or epoch milliseconds", shown(found)))
        ahead_ms, max_ahead = time_ms - now_ms, self.source.time.max_ahead
        if ahead_ms > max_ahead:
            # Its outcome would fall due when nobody waits for it any more, and take the place of its record's.
            clock = f"the clock of source {self.source.name}, {rfc3339(now_ms)}"
            expected, ahead = f"a time at most {max_ahead} ms ahead of {clock}", f"which is {ahead_ms} ms ahead"
            return _fits(Refusal(RejectReason.IN_THE_FUTURE, named, expected, f"{shown(found)}, {ahead}"))
        return time_ms


def _fits(found: _T | Refusal) -> _T:
    if isinstance(found, Refusal):
        raise Refused(422, found.detail, field=found.field)
    return found
