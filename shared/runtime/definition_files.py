"""Definitions as people write them: a YAML file of several documents, taken whole or refused whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from shared.contracts.definition_checks import Problem, refusals
from shared.contracts.definition_problem import did_you_mean
from shared.contracts.definitions import FeatureView, Model, Replay, Source
from shared.contracts.errors import DefinitionsInvalid
from shared.contracts.replay_checks import replay_problems
from shared.contracts.topology import NO_DEFINITIONS, Definitions
from shared.runtime.validation_messages import validation_problems
from shared.runtime.yaml_nodes import Document, YamlProblem, documents

KINDS: dict[str, type[Source | FeatureView | Model | Replay]] = {
    "Source": Source,
    "FeatureView": FeatureView,
    "Model": Model,
    "Replay": Replay,
}


@dataclass(frozen=True, slots=True)
class LoadedDefinitions:
    """What a file declares, in its order. Replays are not published: they stay with the file."""

    published: tuple[Source | FeatureView | Model, ...]
    replays: tuple[Replay, ...]


def load(path: FilePath, in_force: Definitions = NO_DEFINITIONS) -> LoadedDefinitions:
    """The definitions of a file, which may refer to each other and to those in force.

    Raises DefinitionsInvalid with every problem as `file:line: kind name: path: what was found, what was expected`.
    """
    return _File(path, in_force).load()


class _File:
    def __init__(self, path: FilePath, in_force: Definitions) -> None:
        self._path = path
        self._in_force = in_force
        self._lines: list[tuple[int, str]] = []
        self._read: dict[tuple[str, str], Document] = {}
        self._unread: set[str] = set()
        # What stands behind a syntax error is not known, so that references are not judged.
        self._stopped = False

    def load(self) -> LoadedDefinitions:
        declared = [d for document in self._documents() if (d := self._declared(document)) is not None]
        replays = tuple(d for d in declared if isinstance(d, Replay))
        published = tuple(d for d in declared if not isinstance(d, Replay))
        unread = frozenset(self._unread)
        merged = self._in_force.with_applied(published)
        found = [] if self._stopped else refusals(self._in_force, published, unread)
        for replay in replays if not self._stopped else ():
            found += replay_problems(replay, merged, unread)
        for problem in found:
            document = self._read.get((problem.kind, problem.name))
            self._say(document.line_at(problem.path) if document else None, problem)
        if not declared and not self._lines:
            self._say(None, f"no definitions: expected documents of kind {', '.join(KINDS)}")
        if self._lines:
            raise DefinitionsInvalid([line for _, line in sorted(self._lines, key=lambda numbered: numbered[0])])
        return LoadedDefinitions(published, replays)

    def _say(self, line: int | None, what: Problem | str) -> None:
        where = str(self._path) if line is None else f"{self._path}:{line}"
        self._lines.append((line or 0, f"{where}: {what}"))

    def _documents(self) -> list[Document]:
        found: list[Document] = []
        try:
            found.extend(documents(self._path.read_text(encoding="utf-8")))
        except OSError as error:
            self._say(None, f"cannot be read: {error.strerror}")
        except UnicodeDecodeError as error:
            self._say(None, f"no UTF-8 text: byte {error.start} ({error.reason})")
        except YamlProblem as problem:
            self._say(problem.line, problem.message)
            self._stopped = True
        return found

    def _declared(self, document: Document) -> Source | FeatureView | Model | Replay | None:
        value: Any = document.value
        if not isinstance(value, dict):
            self._say(
                document.line, f"found {value!r:.60}, expected a mapping that begins with kind: {'|'.join(KINDS)}"
            )
            return None
        kind, name = str(value.get("kind", "")), str(value.get("name", "(no name)"))
        self._unread.add(name)
        if kind not in KINDS:
            found = f"found kind {kind!r}" if "kind" in value else "kind is missing"
            expected = f"expected {', '.join(KINDS)}; {did_you_mean(kind, KINDS)}"
            self._say(document.line_at(("kind",)), f"{name}: {found}, {expected}")
            return None
        try:
            definition = KINDS[kind].written(value)
        except ValidationError as error:
            for problem in validation_problems(kind, name, KINDS[kind], value, error):
                self._say(document.line_at(problem.path), problem)
            return None
        self._unread.discard(name)
        if (kind, name) in self._read and kind == "Replay":
            self._say(document.line, Problem(kind, name, ("name",), "declared twice: give one another name"))
        self._read[kind, name] = document
        return definition
