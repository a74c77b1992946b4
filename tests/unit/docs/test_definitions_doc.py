"""docs/definitions.md tells every field of every kind as the contracts have it, and its examples are accepted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from shared.contracts.definition_changes import FIXED
from shared.runtime.definition_files import KINDS, load
from tests.unit.docs.definition_fields import Field, documented_fields
from tests.unit.docs.markdown import DOCS, blocks, rows

DOCUMENT = (DOCS / "definitions.md").read_text()
EXAMPLES = "---\n".join(blocks(DOCUMENT, "yaml"))
ROOT = DOCS.parent


def test_every_field_is_told_with_its_type_and_default_and_no_other_is() -> None:
    told = [Field(row.heading, row.cells[0].strip("`"), *row.cells[1:3]) for row in rows(DOCUMENT)]
    assert sorted(told) == sorted(documented_fields())


def test_every_field_has_a_meaning() -> None:
    assert [
        row.cells[0] for row in rows(DOCUMENT) if row.cells[0] not in ("`kind`", "`name`") and not row.cells[3]
    ] == []


def test_the_examples_are_accepted_together(tmp_path: Path) -> None:
    file = tmp_path / "definitions.yaml"
    file.write_text(EXAMPLES)
    loaded = load(file)
    assert {one.kind for one in (*loaded.published, *loaded.replays)} == KINDS.keys()


def test_the_examples_use_every_field() -> None:
    used = {one for document in yaml.safe_load_all(EXAMPLES) for one in _used(document, document["kind"], "")}
    named = {(field.section.replace(".<name>", ""), field.name) for field in documented_fields()}
    assert named - used == {("Model: monitor", "scale")}
    assert "monitor: {scale: 400}" in DOCUMENT


def test_what_is_told_to_have_no_effect_is_read_by_no_service() -> None:
    without = {row.cells[0].strip("`") for row in rows(DOCUMENT) if "No effect yet" in row.cells[3]}
    assert without == {"archive"}
    reads = re.compile(r"retention\.archive\b")
    assert [
        str(p) for d in ("services", "shared") for p in (ROOT / d).rglob("*.py") if reads.search(p.read_text())
    ] == []


def test_what_may_not_change_is_told() -> None:
    told = DOCUMENT.partition("## What a change may change")[2]
    for kind, paths in FIXED.items():
        [line] = [line for line in told.splitlines() if line.startswith(f"- {kind.__name__}:")]
        for path in paths:
            first, *_ = steps = [str(step) for step in path]
            name = "topic" if first == "topic_name" else first
            assert f"`{name}`" in line or f"`{'.'.join(steps)}`" in line, (kind.__name__, path)


def _used(value: Any, kind: str, path: str) -> Iterator[tuple[str, str]]:
    """Of a written definition: (section, field) as `documented_fields` names them, without `<name>`."""
    for name, inner in value.items():
        yield (f"{kind}: {path}" if path else kind), name
        below = f"{path}.{name}".strip(".")
        if isinstance(inner, dict):
            yield from _used(inner, kind, below)
            for entry in inner.values():
                if isinstance(entry, dict):
                    yield from _used(entry, kind, below)
