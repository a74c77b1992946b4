"""Runs a backtest: a program beside the services whose decisions are replayed, in a process of its own.

No service imports another, so the command line asks the console for what was decided, hands it to that program with
where the archive lies, and shows what it answers.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from services.console.cli.common_options import connected
from services.console.cli.console_client import ConsoleClient
from services.console.cli.failure import CommandFailed
from services.console.cli.running import running_from

_AT_ONCE = 10_000
# Monitoring lets go of outcomes once they stand in a segment, and the console may tell of it a moment later.
_ATTEMPTS, _PAUSE_S = 10, 1.0
# What a model's story does not need: most of a long log is of these.
_LEFT_OUT = frozenset({"Tick", "ReplicaSeen", "RunProgressed"})
_OF_ALL = frozenset({"PlatformFounded", "DefinitionsApplied", "SegmentWritten"})


@dataclass(frozen=True, slots=True)
class Asked:
    """`more`: the options of the one backtest. `data`: the platform's folder, if it is named."""

    model: str
    console: str
    data: Path | None
    more: dict[str, Any]


def ran(program: str, asked: Asked) -> Any:
    """What the program answers. Raises CommandFailed with its reason, or the console's."""
    root, left = _root_of(program), _ATTEMPTS
    while "overtaken" in (answer := _answer(program, root, _request(asked) | {"anew": left > 0})):
        time.sleep(_PAUSE_S)
        left -= 1
    if "error" in answer:
        raise CommandFailed(answer["error"])
    return answer


def _answer(program: str, root: Path, request: dict[str, Any]) -> Any:
    child = subprocess.run(
        [sys.executable, "-m", program], input=json.dumps(request).encode(), stdout=subprocess.PIPE, check=False,
        cwd=root,
    )  # fmt: skip
    try:
        return json.loads(child.stdout)
    except ValueError:
        raise CommandFailed(
            f"the backtest ended with exit code {child.returncode} and no findings: what it said stands above"
        ) from None


def _root_of(program: str) -> Path:
    """The project's folder. Raises CommandFailed where the program is no part of what is installed."""
    try:
        found = find_spec(".".join(program.split(".")[:2]))
    except ModuleNotFoundError:
        found = None
    if found is None or found.origin is None:
        raise CommandFailed(
            "`headrace backtest` needs the whole project, and this is the console alone: clone the project, run it "
            "there after `make setup`, and name this console with --console and the object store with "
            "HEADRACE_OBJECT_STORE"
        )
    return Path(found.origin).parents[2]


def _request(asked: Asked) -> dict[str, Any]:
    from shared.runtime.settings import ServiceSettings, from_environment

    settings = from_environment(ServiceSettings)
    folder = (asked.data or settings.data).absolute()
    running = running_from(folder)
    folder = folder if running is None else Path(running.data)
    url = settings.object_store or str(folder / "objects")
    with connected(asked.console) as client:
        client.get(f"/v1/models/{asked.model}")  # says so if there is none
        entries = [entry for entry in _control(client) if _concerns(entry, asked.model)]
    if "://" not in url and not Path(url).is_dir():
        raise CommandFailed(f"there is no folder {url}: name the folder of data with --data, or HEADRACE_OBJECT_STORE")
    log_id = next(entry["event"]["log_id"] for entry in entries if entry["type"] == "PlatformFounded")
    where = {"log_id": log_id, "data": str(folder), "object_store": url}
    return {"model": asked.model, **where, "entries": entries, **asked.more}


def _control(client: ConsoleClient) -> Iterator[dict[str, Any]]:
    position, end = 0, 1
    while position < end:
        found = client.get("/v1/control", **{"from": position, "limit": _AT_ONCE})
        yield from found["events"]
        position, end = found["next"], found["control"]


def _concerns(entry: dict[str, Any], model: str) -> bool:
    event = entry["event"]
    if entry["type"] == "SegmentWritten":
        return event["kind"] == "outcomes" and event["subject"] == model
    return entry["type"] in _OF_ALL or (event.get("model") == model and entry["type"] not in _LEFT_OUT)
