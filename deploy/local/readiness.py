"""Whether a service is ready, and if not, whether it is at work all the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from deploy.local.supervisor import ProcessesFailed

READY_TIMEOUT_S = 90.0
AT_WORK_AFTER_S = 30.0
# Without these a process does nothing; for whatever else one waits, only that waits.
_NEEDED = {"start", "kafka", "control.v1"}
_LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class Unready:
    """Why a service is not ready. `at_work`: it does what it can, and something that it needs is to be mended."""

    why: str
    at_work: bool = False


def look(client: httpx.Client, url: str) -> Unready | None:
    """What `/readyz` at this URL says; None: it is ready."""
    try:
        answer = client.get(url)
    except httpx.HTTPError as error:
        return Unready(f"{url} does not answer: {error}")
    return None if answer.status_code == 200 else unready(url, answer)


def unready(url: str, answer: httpx.Response) -> Unready:
    """What an answer other than 200 says."""
    try:
        reasons: dict[str, str] = answer.json()["reasons"]
        why = "; ".join(f"{what}: {why}" for what, why in reasons.items())
    except (ValueError, KeyError, TypeError, AttributeError):
        return Unready(f"{url} answered {answer.text[:_LONGEST]}")
    return Unready(why[:_LONGEST], not _NEEDED & reasons.keys())


def begun_without(waits: Mapping[str, Unready], after_s: float, logs: Path) -> bool:
    """Whether a platform has begun, though some services are not ready: they are at work, and a person has to mend
    something. Raises ProcessesFailed where one never came to work."""
    if all(unready.at_work for unready in waits.values()):
        return after_s > AT_WORK_AFTER_S
    if after_s > READY_TIMEOUT_S:
        said = "; ".join(f"{name}: {unready.why}" for name, unready in waits.items())
        raise ProcessesFailed(f"not ready after {READY_TIMEOUT_S:.0f} s: {said}. Logs are in {logs}")
    return False
