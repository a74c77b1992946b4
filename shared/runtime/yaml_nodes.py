"""YAML as values with line numbers, by the core schema of YAML 1.2.

PyYAML follows YAML 1.1, where `on` and `no` are booleans, `1:30` is ninety and `2026-11-21` a date. Here only `true`,
`false`, `null` and plain numbers mean something else than their text, and a key is always the text that was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from shared.contracts.definition_problem import Path

DEEPEST = 40
MOST_NODES = 100_000
_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?[0-9]{1,300}|0o[0-7]{1,300}|0x[0-9a-fA-F]{1,300}")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


class _CoreLoader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}  # noqa: RUF012  (the name and form that PyYAML looks for)


for _name, _pattern, _first in (
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), "tTfF"),
    ("null", re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""]),
    ("int", re.compile(rf"(?:{_INTEGER.pattern})\Z"), "-+0123456789"),
    ("float", re.compile(rf"(?:{_FLOAT.pattern})\Z"), "-+.0123456789"),
):
    _CoreLoader.add_implicit_resolver(f"{_TAG}{_name}", re.compile(rf"(?:{_pattern.pattern})\Z"), list(_first))


class YamlProblem(Exception):
    """What cannot be read, and its line (None: unknown)."""

    def __init__(self, line: int | None, message: str) -> None:
        self.line = line
        self.message = message
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document: its value, of which all keys are texts, and the nodes that know their lines."""

    value: Any
    node: yaml.Node

    @property
    def line(self) -> int:
        return _line(self.node)

    def line_at(self, path: Path) -> int:
        """The line, from 1, of the value at `path`, or of the nearest thing around it that is there."""
        node, line = self.node, self.line
        for step in path:
            found = _entry(node, step)
            if found is None:
                break
            line, node = found
        return line


def documents(text: str) -> Iterator[Document]:
    """Every document that is not empty. Raises YamlProblem at the first that cannot be read."""
    try:
        for node in yaml.compose_all(text, _CoreLoader):
            value = _Reader().read(node, 0)
            if value is not None:
                yield Document(value, node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise YamlProblem(None if mark is None else mark.line + 1, f"no YAML: {said}") from error
    except yaml.YAMLError as error:
        raise YamlProblem(None, f"no YAML: {str(error).splitlines()[0]}") from error
    except RecursionError as error:
        raise YamlProblem(None, f"nested more than {DEEPEST} deep") from error


class _Reader:
    def __init__(self) -> None:
        self._nodes = 0

    def read(self, node: yaml.Node, depth: int) -> Any:
        self._nodes += 1
        # Aliases are written out, so these also end one that contains itself.
        if depth > DEEPEST:
            raise YamlProblem(_line(node), f"nested more than {DEEPEST} deep, or an alias within itself")
        if self._nodes > MOST_NODES:
            raise YamlProblem(_line(node), f"more than {MOST_NODES} values in one document, aliases written out")
        match node:
            case yaml.MappingNode(tag="tag:yaml.org,2002:map"):
                return self._mapping(node, depth)
            case yaml.SequenceNode(tag="tag:yaml.org,2002:seq"):
                return [self.read(item, depth + 1) for item in node.value]
            case yaml.ScalarNode():
                return _scalar(node)
            case _:
                raise YamlProblem(_line(node), f"the tag {node.tag} is not understood: write plain values")

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise YamlProblem(_line(key), "a list or a mapping as a key: a key is a plain text")
            name = str(key.value)
            if name in found:
                raise YamlProblem(_line(key), f"{name} stands here a second time, first in line {lines[name]}")
            found[name], lines[name] = self.read(value, depth + 1), _line(key)
        return found


def _scalar(node: yaml.ScalarNode) -> Any:
    text = str(node.value)
    match node.tag.removeprefix(_TAG):
        case "str":
            return text
        case "null":
            return None
        case "bool" if text.lower() in ("true", "false"):
            return text.lower() == "true"
        case "int" if _INTEGER.fullmatch(text):
            return int(text, 0 if text.startswith(("0o", "0x")) else 10)
        case "float" if _FLOAT.fullmatch(text):
            return float(text.replace(".inf", "inf").replace(".nan", "nan") if "." in text else text)
        case _:
            raise YamlProblem(_line(node), f"{text!r} does not fit the tag {node.tag}: write plain values")


def _entry(node: yaml.Node, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((_line(key), value) for key, value in node.value if key.value == str(step)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return _line(node.value[step]), node.value[step]
    return None


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1
