"""The definitions of a running platform: what is in force, and putting more of them in force, through the console."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import httpx
from pydantic import TypeAdapter

from shared.contracts.definitions import FeatureView, Model, Published, Source
from shared.contracts.errors import HeadraceError
from shared.contracts.topology import NO_DEFINITIONS, Definitions

_TIMEOUT_S = 60.0
_PUBLISHED: TypeAdapter[tuple[Source | FeatureView | Model, ...]] = TypeAdapter(tuple[Published, ...])


class ConsoleRefused(HeadraceError):
    """The console does not answer, or not what was asked for."""


def ask_console(console: str, path: str) -> dict[str, Any]:
    """`GET` of the console's HTTP interface. Raises ConsoleRefused."""
    return _answer(console, "GET", path, None)


def definitions_in_force(console: str) -> Definitions:
    """Raises ConsoleRefused."""
    return _definitions(ask_console(console, "/v1/definitions"))


def put_in_force(console: str, declared: Sequence[Source | FeatureView | Model], *, by: str) -> bool:
    """Put in force what is not yet; whether there was anything. Raises ConsoleRefused with the registry's reason.

    A token is taken from HEADRACE_TOKEN, as by the command.
    """
    found = ask_console(console, "/v1/definitions")
    in_force = _definitions(found)
    missing = [one for one in declared if not _holds(in_force, one)]
    if missing:
        body = {
            "definitions": [one.model_dump(mode="json") for one in missing],
            "based_on": found["position"],
            "by": by,
        }
        _answer(console, "POST", "/v1/definitions", body)
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


def _answer(console: str, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
    token = os.environ.get("HEADRACE_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with httpx.Client(timeout=_TIMEOUT_S, headers=headers, trust_env=False) as client:
            answer = client.request(method, f"{console}{path}", json=body)
    except httpx.HTTPError as error:
        raise ConsoleRefused(
            f"no console answers at {console}: {error}. Start the platform with `headrace up`, or say --console where "
            "it listens"
        ) from error
    if answer.is_success:
        return answer.json()
    raise ConsoleRefused(f"{method} {console}{path} was answered {answer.status_code}: {_reason(answer)}")


def _reason(answer: httpx.Response) -> str:
    try:
        said = answer.json()
    except ValueError:
        return answer.text[:2_000]
    return str(said.get("error") or said.get("detail") or said) if isinstance(said, dict) else str(said)
