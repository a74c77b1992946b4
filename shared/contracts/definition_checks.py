"""Whether definitions fit together: every name that one uses of another, and what cannot be served yet.

A definition by itself is checked when it is read (`Contract.written`); here stands what needs the others.
`refusals` is what decides whether definitions may be put in force.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from shared.contracts.definition_changes import changed_meaning, difference
from shared.contracts.definition_problem import Problem, did_you_mean
from shared.contracts.definitions import Aggregate, FeatureView, FieldSpec, FieldType, Model, Source
from shared.contracts.model_checks import model_problems
from shared.contracts.services import WITH_CONSOLE
from shared.contracts.source_fields import SourceLookup, known_fields
from shared.contracts.stages import entity_subject
from shared.contracts.topics import CONTROL, FEATURES, RECORDS, REJECTED, dead_letters
from shared.contracts.topology import Definitions

__all__ = ["Problem", "changed_meaning", "difference", "problems", "refusals"]

Declared = Source | FeatureView | Model

_PLATFORM_TOPICS = frozenset({CONTROL.name, REJECTED.name, *(dead_letters(service) for service in WITH_CONSOLE)})
_INTERNAL = ("intake.", "records.", "scoring.", "features.", "predictions.", "joins.", "outcomes.", "entity.")
_NUMERIC = (FieldType.NUMBER, FieldType.INTEGER, FieldType.BOOLEAN)
_ANY_TYPE = (Aggregate.LAST, Aggregate.DISTINCT_COUNT)
_WHOLE_NAMES = (FieldType.STRING, FieldType.INTEGER)
_LONGEST_SUBJECT = 200  # a topic's name has 249 characters at most, the prefix of a cluster included


def refusals(definitions: Definitions, new: Iterable[Declared], unread: frozenset[str] = frozenset()) -> list[Problem]:
    """Every reason not to put `new` in force over `definitions`: changed meanings, then what does not fit."""
    declared = tuple(new)
    return [*changed_meaning(definitions, declared), *problems(definitions, declared, unread)]


def problems(definitions: Definitions, new: Iterable[Declared], unread: frozenset[str] = frozenset()) -> list[Problem]:
    """What does not fit together once `new` stands over `definitions`.

    `unread`: names that are declared but could not be read; what refers to them is left unchecked.
    """
    declared = tuple(new)
    merged = definitions.with_applied(declared)
    lookup = SourceLookup(merged.sources, unread)
    found = list(_repeated(declared))
    for source in merged.sources.values():
        found += _source_problems(source)
    found += _shared_topics(merged)
    for view in merged.views.values():
        found += _view_problems(view, lookup)
    for model in merged.models.values():
        found += model_problems(model, merged.views, lookup)
    return found


def _repeated(declared: tuple[Declared, ...]) -> Iterator[Problem]:
    for (kind, name), times in Counter((d.kind, d.name) for d in declared).items():
        if times > 1:
            yield Problem(kind, name, ("name",), f"declared {times} times: declare it once, or give it another name")


def _source_problems(source: Source) -> Iterator[Problem]:
    def problem(message: str, *path: str | int) -> Problem:
        return Problem("Source", source.name, path, message)

    if source.name == "wall":
        yield problem("'wall' names the wall clock: take another name", "name")
    if RECORDS.of(source.name).name in _PLATFORM_TOPICS:
        yield problem(f"the platform has a topic {RECORDS.of(source.name).name} of its own: take another name", "name")
    topic = source.topic_name
    if topic in _PLATFORM_TOPICS or topic.startswith(_INTERNAL) or topic.endswith(".dead.v1"):
        yield problem(f"topic {topic} is one of the platform's own: take another name", "topic")
    roles: dict[str, list[str]] = {}
    for role, name in (("key", source.key), ("id", source.id), ("time", source.time.field)):
        path = ("time", "field") if role == "time" else (role,)
        if not name:
            yield problem("empty: name the field of the record", *path)
        roles.setdefault(name, []).append(role)
        spec = source.fields.get(name)
        if spec is not None and spec.optional:
            yield problem(f"field {name} is optional, but every record needs its {role}: drop `optional`", *path)
        allowed = (*_WHOLE_NAMES, FieldType.NUMBER) if role == "time" else _WHOLE_NAMES
        if spec is not None and spec.type not in allowed:
            yield problem(f"field {name} is a {spec.type}; {_one_of(allowed)} is expected here", *path)
    for name, shared in roles.items():
        if name and "time" in shared and len(shared) > 1:
            yield problem(f"field {name} cannot be both {' and '.join(shared)}", "time", "field")
    for name, spec in source.fields.items():
        yield from _limit_problems(source, name, spec)


def _limit_problems(source: Source, name: str, spec: FieldSpec) -> Iterator[Problem]:
    def problem(message: str, *path: str) -> Problem:
        return Problem("Source", source.name, ("fields", name, *path), message)

    if not name or "." in name:
        yield problem("a field's name is not empty and has no dot, which stands between a view and its feature")
    if spec.enum is not None and spec.type is not FieldType.STRING:
        yield problem(f"enum belongs to a string, and {name} is a {spec.type}", "enum")
    if spec.enum is not None and len(set(spec.enum)) != len(spec.enum):
        yield problem("a value stands twice", "enum")
    for limit in ("minimum", "maximum"):
        if getattr(spec, limit) is not None and spec.type not in (FieldType.NUMBER, FieldType.INTEGER):
            yield problem(f"{limit} belongs to a number or an integer, and {name} is a {spec.type}", limit)
    if spec.minimum is not None and spec.maximum is not None and spec.minimum > spec.maximum:
        yield problem(f"minimum {spec.minimum:g} is above maximum {spec.maximum:g}", "minimum")


def _shared_topics(merged: Definitions) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for source in merged.sources.values():
        other = first.setdefault(source.topic_name, source.name)
        if other != source.name:
            yield Problem(
                "Source",
                source.name,
                ("topic",),
                f"topic {source.topic_name} is already that of source {other}: one topic has one source",
            )


def _view_problems(view: FeatureView, lookup: SourceLookup) -> Iterator[Problem]:
    def problem(message: str, *path: str | int) -> Problem:
        return Problem("FeatureView", view.name, path, message)

    if FEATURES.of(view.name).name in _PLATFORM_TOPICS:
        yield problem(f"the platform has a topic {FEATURES.of(view.name).name} of its own: take another name", "name")
    source = lookup.get(view.source)
    if source is None:
        if message := lookup.unknown(view.source):
            yield problem(message, "source")
        return
    if view.entity not in known_fields(source):
        yield problem(_no_field(view.entity, source), "entity")
    elif message := _entity_problem(view.entity, source):
        yield problem(message, "entity")
    for name, feature in view.features.items():
        if feature.over is not None and feature.over > view.ttl:
            yield problem(
                "the window is longer than the view's ttl, so it would never be whole", "features", name, "over"
            )
        if feature.of is None:
            continue
        spec = source.fields.get(feature.of)
        if feature.of not in known_fields(source):
            yield problem(_no_field(feature.of, source), "features", name, "of")
        elif spec is None:
            yield problem(
                f"{feature.of} has no declared type: add it to `fields` of source {source.name}", "features", name, "of"
            )
        elif feature.aggregate not in _ANY_TYPE and spec.type not in _NUMERIC:
            yield problem(
                f"{feature.aggregate} needs a number, and {feature.of} is a {spec.type}; "
                "count, last and distinct_count take any type",
                "features",
                name,
                "of",
            )


def _entity_problem(name: str, source: Source) -> str | None:
    spec = source.fields.get(name)
    if name == source.time.field:
        return f"{name} is the event time: take the field that tells one entity from another"
    if spec is not None and spec.type not in _WHOLE_NAMES:
        return f"field {name} is a {spec.type}; {_one_of(_WHOLE_NAMES)} is expected here"
    if len(entity_subject(source.name, name)) > _LONGEST_SUBJECT:
        return f"{name} is too long to name a topic after: give the field a shorter name"
    return None


def _no_field(name: str, source: Source) -> str:
    return f"source {source.name} has no field {name!r}; {did_you_mean(name, known_fields(source))}"


def _one_of(types: tuple[FieldType, ...]) -> str:
    return f"{', '.join(types[:-1])} or {types[-1]}"
