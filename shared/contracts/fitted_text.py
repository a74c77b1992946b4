"""A fitted model in words: of an average each member, as people read it in `headrace why` and `headrace runs`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

AVERAGE: Final = "average"


def family_text(family: str, parameters: Mapping[str, Any] | None) -> str:
    """`linear`, or `average of 3`."""
    members = (parameters or {}).get("members") if family == AVERAGE else None
    return f"average of {len(members)}" if members else family


def fitted_text(family: str, parameters: Mapping[str, Any]) -> str:
    """`linear {'C': 1.0}`, or of an average its members, the best first, each with its window, bounded loss and
    weight."""
    members = parameters.get("members") if family == AVERAGE else None
    if not members:
        return f"{family} {dict(parameters)}"
    told = (
        f"{member['family']} {member['parameters']} on window {member['window']!r} (loss {member['loss']:.4g}"
        f"{_weight(member)})"
        for member in members
    )
    return f"{family_text(family, parameters)}: {'; '.join(told)}"


def _weight(member: Mapping[str, Any]) -> str:
    """Averages that were told before members had weights were plain means."""
    return f", weight {member['weight']:.2f}" if "weight" in member else ""
