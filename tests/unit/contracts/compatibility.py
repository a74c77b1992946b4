"""Whether a message schema still reads what was written under an older one: backward compatibility.

An optional field may be added, and an enumeration or a set of kinds may grow. A field that is removed, retyped or newly
required fails, as does a limit that became tighter: publish a new version of the event instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_EQUAL = ("type", "pattern", "format", "const")


def incompatibilities(old: Schema, new: Schema) -> list[str]:
    """What `new` cannot read, or reads as something else, of what fits `old`. Both are whole JSON Schemas."""
    return list(_Comparison(old, new).run(old, new, "$"))


class _Comparison:
    def __init__(self, old: Schema, new: Schema) -> None:
        self._old, self._new = old, new
        self._open: set[tuple[str, str]] = set()

    def run(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        refs = (str(old.get("$ref")), str(new.get("$ref")))
        if "$ref" in old and "$ref" in new:
            if refs in self._open:
                return
            self._open.add(refs)
        old, new = _resolved(self._old, old), _resolved(self._new, new)
        yield from self._unions(old, new, path)
        yield from _values(old, new, path)
        yield from self._properties(old, new, path)
        for part in ("items", "additionalProperties"):
            if isinstance(old.get(part), Mapping) and isinstance(new.get(part), Mapping):
                yield from self.run(old[part], new[part], f"{path}[]")
            elif isinstance(new.get(part), Mapping) and part == "items":
                yield f"{path}: {part} restricted"
            elif isinstance(old.get(part), Mapping):
                yield f"{path}: {part} removed"
        old_patterns, new_patterns = old.get("patternProperties", {}), new.get("patternProperties", {})
        if set(old_patterns) != set(new_patterns):
            yield f"{path}: patterns of keys changed"
        else:
            for pattern, inner in old_patterns.items():
                yield from self.run(inner, new_patterns[pattern], f"{path}[]")
        self._open.discard(refs)

    def _properties(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        for name, inner in before.items():
            if name in after:
                yield from self.run(inner, after[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}: removed"
        for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
            yield f"{path}.{name}: newly required"

    def _unions(self, old: Schema, new: Schema, path: str) -> Iterator[str]:
        before, after = _members(old), _members(new)
        if not before and not after:
            return
        grows = "discriminator" in old and "discriminator" in new
        for member in before:
            if not any(self._same(member, other) for other in after):
                nearest = next((other for other in after if member.get("$ref") == other.get("$ref")), None)
                inner = list(self.run(member, nearest, path)) if nearest and "$ref" in member else []
                yield from inner or [f"{path}: a type it could have was removed or changed"]
        if len(after) > len(before) and not grows:
            yield f"{path}: a type was added"

    def _same(self, old: Schema, new: Schema) -> bool:
        return not list(_Comparison(self._old, self._new).run(old, new, ""))


def _members(schema: Schema) -> list[Schema]:
    return list(schema.get("anyOf", schema.get("oneOf", ())))


def _resolved(root: Schema, schema: Schema) -> Schema:
    reference = schema.get("$ref")
    return root["$defs"][str(reference).rsplit("/", 1)[1]] if reference else schema


def _values(old: Schema, new: Schema, path: str) -> Iterator[str]:
    for rule in _EQUAL:
        if old.get(rule) != new.get(rule):
            yield f"{path}: {rule} changed from {old.get(rule)} to {new.get(rule)}"
    if "enum" in new and not set(old.get("enum", ())) <= set(new["enum"]):
        yield f"{path}: {', '.join(sorted(set(old['enum']) - set(new['enum'])))} removed from its values"
    if ("enum" in old) != ("enum" in new):
        yield f"{path}: enumeration {'added' if 'enum' in new else 'removed'}"
    for rule in (*_LOWER, *_UPPER):
        tighter = rule in new and (
            rule not in old or (new[rule] > old[rule] if rule in _LOWER else new[rule] < old[rule])
        )
        if tighter:
            yield f"{path}: {rule} tightened to {new[rule]}"
