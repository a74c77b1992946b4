"""The definitions of a running platform: what is in force, and putting more of them in force, through the console."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from services.console.cli.common_options import ask, connected
from shared.contracts.definitions import FeatureView, Model, Published, Source
from shared.contracts.topology import NO_DEFINITIONS, Definitions

_PUBLISHED: TypeAdapter[tuple[Source | FeatureView | Model, ...]] = TypeAdapter(tuple[Published, ...])


def definitions_in_force(console: str) -> Definitions:
    """Raises CommandFailed."""
    return _definitions(ask(console, "/v1/definitions"))


def put_in_force(console: str, declared: Sequence[Source | FeatureView | Model], *, by: str) -> bool:
    """Put in force what is not yet; whether there was anything. Raises CommandFailed with the registry's reason."""
    found = ask(console, "/v1/definitions")
    in_force = _definitions(found)
    missing = [one for one in declared if not _holds(in_force, one)]
    if missing:
        body = {
            "definitions": [one.model_dump(mode="json") for one in missing],
            "based_on": found["position"],
            "by": by,
        }
        with connected(console) as client:
            client.post("/v1/definitions", body)
    return bool(missing)


def _definitions(found: dict[str, Any]) -> Definitions:
    return NO_DEFINITIONS.with_applied(_PUBLISHED.validate_python(found["definitions"]))


def _holds(definitions: Definitions, one: Source | FeatureView | Model) -> bool:
    match one:
        case Source():
            return definitions.sources.get(one.name) == one
        case FeatureView():
            return definitions.views.get(one.name) == one
        case Model():
            return definitions.models.get(one.name) == one
