"""`headrace apply`: definitions are checked, their difference is shown, and the registry puts them in force."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli.common_options import DEFAULT_CONSOLE, AsJson, By, ConsoleUrl, ask, connected, person
from services.console.cli.failure import CommandFailed
from services.console.cli.output import print_json, print_text, say

if TYPE_CHECKING:
    from shared.contracts.definitions import FeatureView, Model, Source
    from shared.contracts.topology import Definitions

NOTHING_CHANGES = "nothing changes: what these files declare is in force already"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(apply)


def apply(
    file: Annotated[list[Path], typer.Option("--file", "-f", help="a YAML file; may be given several times")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
    by: By = None,
    as_json: AsJson = False,
    console: ConsoleUrl = DEFAULT_CONSOLE,
) -> None:
    """Put definitions in force: sources, feature views, models."""
    from shared.contracts.definition_checks import difference
    from shared.contracts.definition_notes import notes

    answer = ask(console, "/v1/definitions")
    in_force = _definitions(answer["definitions"])
    declared = _load(file, in_force)
    lines = difference(in_force, declared)
    if all(line.startswith("=") for line in lines):
        _report({"applied": False, "control": None, "difference": lines}, NOTHING_CHANGES, as_json)
        return
    if not as_json:
        print_text("\n".join(lines))
    for note in notes(declared):
        say(f"note: {note}")
    _confirm(yes, file)
    body = {
        "definitions": [definition.model_dump(mode="json") for definition in declared],
        "based_on": answer["position"],
        "by": person(by),
    }
    with connected(console) as client:
        applied = client.post("/v1/definitions", body)
    _report(applied, f"in force from control position {applied['control']} on", as_json)


def _definitions(documents: list[dict[str, Any]]) -> Definitions:
    from pydantic import TypeAdapter

    from shared.contracts.definitions import Published
    from shared.contracts.topology import NO_DEFINITIONS

    return NO_DEFINITIONS.with_applied(TypeAdapter(list[Published]).validate_python(documents))


def _load(files: list[Path], in_force: Definitions) -> list[Source | FeatureView | Model]:
    """What all files declare; a later file may refer to an earlier one. Raises DefinitionsInvalid."""
    from shared.runtime.definition_files import load

    declared: list[Source | FeatureView | Model] = []
    for path in files:
        declared += load(path, in_force.with_applied(declared)).published
    return declared


def _confirm(yes: bool, files: list[Path]) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        named = " ".join(f"-f {path}" for path in files)
        raise CommandFailed(f"nobody is here to confirm this: look at it, then run `headrace apply {named} --yes`")
    typer.confirm("Apply?", abort=True, err=True)


def _report(document: dict[str, Any], text: str, as_json: bool) -> None:
    if as_json:
        print_json(document)
    else:
        say(text)
