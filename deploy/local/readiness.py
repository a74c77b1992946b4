"""Whether a service is ready, and if not, whether it is at work all the same."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

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
