"""Every field of the definitions as the document has to tell it: where it stands, its type and its default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from shared.contracts.contract import Contract
from shared.contracts.definitions import FeatureView, Model, Replay, Source
from shared.contracts.durations import format_duration

KINDS: tuple[type[Contract], ...] = (Source, FeatureView, Model, Replay)
PLAIN = {"string": "text", "integer": "integer", "number": "number", "boolean": "true or false"}


class Field(NamedTuple):
    """`section`: the kind, and below it the path of the mapping that the field stands in."""

    section: str
    name: str
    type: str
    default: str


def documented_fields() -> Iterator[Field]:
    """All fields of all kinds."""
    for kind in KINDS:
        schema = kind.model_json_schema()
        yield from _of(schema, schema.get("$defs", {}), kind.__name__, "")


def _of(schema: Mapping[str, Any], named: Mapping[str, Any], kind: str, path: str) -> Iterator[Field]:
    required = schema.get("required", [])
    for name, found in schema["properties"].items():
        inner, inner_path = _mapping_in(found, named), f"{path}{name}"
        if _entries(found):
            inner_path += ".<name>"
        default = "required" if name in required or name == "kind" else said(found.get("default"), _type(found, named))
        section = f"{kind}: {path.rstrip('.')}" if path else kind
        shown = default if inner is None or default in ("required", "none") else "below"
        yield Field(section, name, _type(found, named), shown)
        if inner is not None:
            yield from _of(inner, named, kind, f"{inner_path}.")


def _mapping_in(schema: Mapping[str, Any], named: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The mapping with fields of its own that a field holds, or that each entry of it holds."""
    for one in (schema, _entries(schema) or {}):
        for option in (one, *one.get("anyOf", ())):
            found = named.get(option.get("$ref", "").rpartition("/")[2], {})
            if "properties" in found:
                return found
    return None


def _entries(schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Of a mapping with names that a user chooses: what stands under each of them."""
    if found := schema.get("additionalProperties"):
        return found
    return next(iter(schema.get("patternProperties", {}).values()), None)


def _type(schema: Mapping[str, Any], named: Mapping[str, Any]) -> str:
    options = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    return " or ".join(_one_type(one, named) for one in options)


def _one_type(schema: Mapping[str, Any], named: Mapping[str, Any]) -> str:
    schema = named.get(schema.get("$ref", "").rpartition("/")[2], schema)
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("format") == "duration":
        return "duration"
    if schema.get("type") == "array":
        return f"list: {_type(schema['items'], named)}"
    if entries := _entries(schema):
        return f"mapping: {_type(entries, named)}"
    if "properties" in schema:
        return "mapping"
    return PLAIN[schema["type"]]


def said(default: Any, kind: str) -> str:
    """A default as one writes it in YAML."""
    if kind == "duration" and isinstance(default, int):
        return f"`{format_duration(default)}`"
    match default or None if isinstance(default, dict) else default:
        case None | []:
            return "none"
        case bool():
            return str(default).lower()
        case list():
            return f"`[{', '.join(map(str, default))}]`"
        case _:
            return f"`{default}`"
