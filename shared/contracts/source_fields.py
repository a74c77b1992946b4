"""Which fields a source's records have: those declared, and those that key, id and time name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.contracts.definition_problem import did_you_mean
from shared.contracts.definitions import FieldSpec, FieldType, Source
from shared.contracts.expressions import Kind


def known_fields(source: Source) -> dict[str, FieldSpec | None]:
    """Every field that a record may carry, with its declared type; None where only key, id or time name it."""
    named = dict.fromkeys((source.key, source.id, source.time.field))
    return {**source.fields, **{name: source.fields.get(name) for name in named}}


def required_fields(source: Source) -> frozenset[str]:
    """The fields that no record may lack."""
    declared = (name for name, spec in source.fields.items() if not spec.optional)
    return frozenset((source.key, source.id, source.time.field, *declared))


def field_kinds(source: Source) -> dict[str, Kind]:
    """The kinds of a record's fields in expressions. Times are text or milliseconds, so their kind is open."""
    kinds = {name: Kind.ANY if spec is None else _kind(spec.type) for name, spec in known_fields(source).items()}
    return {**kinds, source.time.field: Kind.ANY}


def _kind(declared: FieldType) -> Kind:
    return Kind.TEXT if declared is FieldType.STRING else Kind.NUMBER


@dataclass(frozen=True, slots=True)
class SourceLookup:
    """Sources by name. `unread`: names of definitions that could not be read, which are nobody else's problem."""

    sources: Mapping[str, Source]
    unread: frozenset[str] = frozenset()

    def get(self, name: str) -> Source | None:
        return self.sources.get(name)

    def unknown(self, name: str) -> str | None:
        """What to say of a name that is no source; None if its definition could not be read."""
        if name in self.sources or name in self.unread:
            return None
        return f"source {name!r} is not declared; {did_you_mean(name, self.sources)}"
