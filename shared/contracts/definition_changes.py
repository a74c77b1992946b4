"""What a new definition changes, and whether that would alter the meaning of what is already stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from shared.contracts.definition_problem import Path, Problem, dotted
from shared.contracts.definitions import FeatureView, Model, Source
from shared.contracts.topology import Definitions

Declared = Source | FeatureView | Model
Flat = dict[Path, Any]

# What may not change, by kind; fields and features have rules of their own. The order of inputs counts as well.
FIXED: Mapping[type[Declared], tuple[Path, ...]] = {
    Source: (("topic_name",), ("key",), ("id",), ("partitions",), ("time", "field"), ("time", "clock")),
    FeatureView: (("source",), ("entity",), ("ttl",)),
    Model: (
        ("scores",),
        ("mode",),
        ("task",),
        ("inputs", "fields"),
        ("inputs", "derived"),
        ("inputs", "views"),
        ("label", "source"),
        ("label", "field"),
        ("label", "joins"),
        ("label", "matures_after"),
        ("label", "expires_after"),
        ("label", "absent"),
    ),
}


def changed_meaning(definitions: Definitions, new: Iterable[Declared]) -> list[Problem]:
    """Changes that are refused: what is stored was made under the old meaning."""
    return [problem for after in new for problem in _changed_meaning(definitions, after)]


def difference(definitions: Definitions, new: Iterable[Declared]) -> list[str]:
    """Lines that show what applying `new` changes: `+` added, `~` changed, `=` as it is."""
    return [line for after in new for line in _difference(in_force(definitions, after), after)]


def in_force(definitions: Definitions, definition: Declared) -> Declared | None:
    """What stands under the kind and name of `definition`."""
    match definition:
        case Source():
            return definitions.sources.get(definition.name)
        case FeatureView():
            return definitions.views.get(definition.name)
        case Model():
            return definitions.models.get(definition.name)


def _changed_meaning(definitions: Definitions, after: Declared) -> Iterator[Problem]:
    before = in_force(definitions, after)
    if before is None:
        return
    for path in FIXED[type(after)]:
        old, new = _value(before, path), _value(after, path)
        if _ordered(old) != _ordered(new):
            where = ("topic",) if path == ("topic_name",) else path
            yield _refused(after, where, f"changed from {_said(old)} to {_said(new)}")
    match before, after:
        case Source(), Source():
            yield from _changed_fields(before, after)
        case FeatureView(), FeatureView():
            yield from _changed_features(definitions, before, after)
        case _:
            pass


def _changed_fields(before: Source, after: Source) -> Iterator[Problem]:
    for name, old in before.fields.items():
        new = after.fields.get(name)
        path = ("fields", name)
        if new is None:
            yield _refused(after, path, "removed")
        elif new.type is not old.type:
            yield _refused(after, (*path, "type"), f"changed from {old.type} to {new.type}")
        elif old.optional and not new.optional:
            yield _refused(after, path, "optional until now, and required from here on")
    for name, new in after.fields.items():
        if name not in before.fields and not new.optional:
            message = f"a new field that every record needs: stored records of {after.name} lack it"
            yield Problem("Source", after.name, ("fields", name), f"{message}; declare it with `optional: true`")


def _changed_features(definitions: Definitions, before: FeatureView, after: FeatureView) -> Iterator[Problem]:
    users = sorted(model.name for model in definitions.models.values() if before.name in model.inputs.views)
    for name, old in before.features.items():
        new = after.features.get(name)
        if new is None:
            yield _refused(after, ("features", name), "removed")
        elif new != old:
            yield _refused(after, ("features", name), "changed")
    for name in after.features:
        if name not in before.features and users:
            found = f"added, which changes the inputs of model {', '.join(users)}"
            yield _refused(after, ("features", name), found)
    kept = [name for name in after.features if name in before.features]
    if users and kept != [name for name in before.features if name in after.features]:
        yield _refused(after, ("features",), f"reordered, which changes the inputs of model {', '.join(users)}")


def _refused(definition: Declared, path: Path, found: str) -> Problem:
    advice = f"what is stored was made under the old meaning; declare a {definition.kind} under a new name"
    return Problem(definition.kind, definition.name, path, f"{found}: {advice}")


def _value(definition: Declared, path: Path) -> Any:
    value: Any = definition
    for step in path:
        value = getattr(value, str(step))
    return value


def _ordered(value: Any) -> Any:
    return list(value.items()) if isinstance(value, dict) else value


def _difference(before: Declared | None, after: Declared) -> Iterator[str]:
    title = f"{after.kind} {after.name}"
    if before is None:
        yield f"+ {title}"
        return
    old, new = _flat(before), _flat(after)
    lines = [
        *(
            f"    {dotted(path)}: {_said(old[path])} -> {_said(new[path])}"
            for path in old
            if path in new and old[path] != new[path]
        ),
        *(f"  - {dotted(path)}: {_said(old[path])}" for path in old if path not in new),
        *(f"  + {dotted(path)}: {_said(new[path])}" for path in new if path not in old),
    ]
    if not lines and list(old) != list(new):
        lines = ["    the order of entries"]
    yield f"~ {title}" if lines else f"= {title}"
    yield from lines


def _flat(definition: Declared) -> Flat:
    def walk(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                yield from walk(inner, (*path, str(key)))
        else:
            yield path, value

    return dict(walk(definition.model_dump(mode="json"), ()))


def _said(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case list() | tuple():
            return f"[{', '.join(_said(item) for item in value)}]"
        case dict():
            return f"{{{', '.join(f'{key}: {_said(inner)}' for key, inner in value.items())}}}"
        case bool():
            return str(value).lower()
        case _:
            return str(value)
