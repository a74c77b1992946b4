"""Pydantic's errors as problems that a person can act on: the path as written, what was found, what was expected."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from shared.contracts.contract import Contract
from shared.contracts.definition_problem import Path, Problem, did_you_mean

Schema = Mapping[str, Any]

_NAME_PATTERN = "^[a-z][a-z0-9_]{0,62}$"
_NAME = "a name of a-z, 0-9 and _ that begins with a letter"
_TYPES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
    "object": "a mapping",
    "array": "a list",
}
_LIMITS = (
    ("minimum", "at least"),
    ("exclusiveMinimum", "above"),
    ("maximum", "at most"),
    ("exclusiveMaximum", "below"),
)


def validation_problems(
    kind: str, name: str, contract: type[Contract], value: Mapping[str, Any], error: ValidationError
) -> list[Problem]:
    """One problem for each place in `value` that does not fit `contract`."""
    schema = contract.model_json_schema()
    found: dict[Path, Problem] = {}
    for entry in error.errors(include_url=False):
        path, place, is_key = _written_path(value, entry["loc"], entry["type"])
        message = _message(schema, path, place, is_key, entry)
        # A union gives an error for each of its members: `expected` already names them all.
        found.setdefault(path, Problem(kind, name, path, message))
    return list(found.values())


def _written_path(value: Any, loc: tuple[int | str, ...], error_type: str) -> tuple[Path, Any, bool]:
    """The steps of `loc` that stand in the file, what stands there, and whether its key is meant."""
    path: list[str | int] = []
    for step in loc:
        if step in _steps(value):
            value = value[step]
        elif step == "[key]":
            return tuple(path), value, True
        elif error_type == "missing" and step == loc[-1]:
            pass
        else:
            continue  # a member of a union, which is no part of the file
        path.append(step)
    return tuple(path), value, False


def _steps(value: Any) -> Container[int | str]:
    if isinstance(value, list):
        return range(len(value))
    return value if isinstance(value, dict) else ()


def _message(schema: Schema, path: Path, found: Any, is_key: bool, entry: Any) -> str:
    if is_key:
        return f"found the key {path[-1]!r}, expected {_NAME}"
    match entry["type"]:
        case "missing":
            return f"missing; expected {_expected(schema, path)}"
        case "extra_forbidden":
            known = {name for place in _at(schema, path[:-1]) for name in place.get("properties", {})}
            return f"not a field here; {did_you_mean(str(path[-1]), known)}"
        case "value_error":
            return str(entry["ctx"]["error"])
        case "finite_number":
            return f"found {found!r}, expected a finite number"
        case _:
            quote = (
                "; put it in quotes" if entry["type"] == "string_type" and not isinstance(found, dict | list) else ""
            )
            return f"found {_shown(found)}, expected {_expected(schema, path)}{quote}"


def _shown(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case str() if len(value) > 60:
            return repr(f"{value[:57]}...")
        case _:
            return repr(value)


def _expected(schema: Schema, path: Path) -> str:
    said = [_said(place) for place in _at(schema, path)]
    return " or ".join(dict.fromkeys(part for part in said if part != "null")) or "nothing"


def _at(schema: Schema, path: Path) -> list[Schema]:
    """The alternatives that the schema has for the value at `path`."""
    places = list(_alternatives(schema, schema))
    for step in path:
        places = [
            inner for place in places for child in _children(place, step) for inner in _alternatives(schema, child)
        ]
    return places


def _alternatives(root: Schema, place: Schema) -> Iterator[Schema]:
    if "$ref" in place:
        yield from _alternatives(root, root["$defs"][place["$ref"].rsplit("/", 1)[1]])
    elif alternatives := place.get("anyOf") or place.get("oneOf"):
        for alternative in alternatives:
            yield from _alternatives(root, alternative)
    else:
        yield place


def _children(place: Schema, step: str | int) -> Iterator[Schema]:
    if isinstance(step, int):
        candidates = [place.get("items")]
    elif step in place.get("properties", {}):
        candidates = [place["properties"][step]]
    else:
        candidates = [place.get("additionalProperties"), *place.get("patternProperties", {}).values()]
    yield from (candidate for candidate in candidates if isinstance(candidate, Mapping))


def _said(place: Schema) -> str:
    if place.get("format") == "duration":
        return "a duration such as 10m or 7d"
    if "const" in place:
        return str(place["const"])
    if "enum" in place:
        return ", ".join(str(value) for value in place["enum"])
    if place.get("pattern") == _NAME_PATTERN:
        return _NAME
    text = _TYPES.get(str(place.get("type")), "something else")
    limits = " and ".join(f"{word} {place[limit]:g}" for limit, word in _LIMITS if limit in place)
    if place.get("minProperties") or place.get("minItems"):
        limits = "with at least one entry"
    if "pattern" in place:
        limits = f"that matches {place['pattern']}"
    return f"{text} {limits}".strip()
