"""Looks at the processes of a platform over HTTP, all at once."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from pydantic import ValidationError

from services.console.doctor.facts import ServiceLook, TaskLook
from shared.runtime.about import About

_TAIL_BYTES = 64 * 1024


def look_at_services(
    urls: Mapping[str, str], logs: Path | None = None, timeout_s: float = 3.0
) -> dict[str, ServiceLook]:
    """A look at each process by name. `logs`: the folder of their logs, where they run on this machine."""
    if not urls:
        return {}
    with httpx.Client(timeout=timeout_s, trust_env=False) as client, ThreadPoolExecutor(len(urls)) as threads:
        looks = [threads.submit(_look, client, name, url, logs) for name, url in urls.items()]
        return {look.name: look for look in (one.result() for one in looks)}


def _look(client: httpx.Client, name: str, url: str, logs: Path | None) -> ServiceLook:
    try:
        livez = client.get(f"{url}/livez").json()
        reasons = client.get(f"{url}/readyz").json()["reasons"]
        progress = client.get(f"{url}/progress")
        tasks = client.get(f"{url}/tasks").json()["tasks"]
        about, ahead_s = _about(client, url)
        return ServiceLook(
            name, url, silent_s=livez["silent_seconds"], live=livez["live"], reasons=reasons,
            progress=progress.json() if progress.is_success else None, tasks=[_task(task) for task in tasks],
            about=about, ahead_s=ahead_s,
        )  # fmt: skip
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return ServiceLook(name, url, away=f"nothing answers at {url}: {error}", log_line=_last_error(name, logs))
    except (ValueError, KeyError, TypeError, ValidationError):
        return ServiceLook(name, url, away=f"what answers at {url} is no service of this version of Headrace")


def _about(client: httpx.Client, url: str) -> tuple[About, float]:
    asked_s = time.time()
    about = About.model_validate(client.get(f"{url}/about").json())
    said_s, answered_s = about.now_ms / 1000, time.time()
    return about, said_s - min(max(said_s, asked_s), answered_s)


def _task(said: Mapping[str, Any]) -> TaskLook:
    return TaskLook(said["id"], said["position"], said["lag"], said["held"], said["copy_age_s"])


def _last_error(name: str, logs: Path | None) -> str | None:
    """The newest error in the log of a process, if that is its last word but for what others say of its end."""
    file = None if logs is None else logs / f"{name}.log"
    if file is None or not file.exists():
        return None
    with file.open("rb") as log:
        log.seek(max(0, file.stat().st_size - _TAIL_BYTES))
        lines = log.read().decode(errors="replace").splitlines()
    for line in reversed(lines):
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if isinstance(said, dict):
            return str(said.get("event")) if said.get("level") == "error" else None
    return None
