"""Whether definitions come into force: only what was validated against the newest state, and fits together."""

from __future__ import annotations

from shared.contracts import control as c
from shared.contracts.definition_checks import refusals
from shared.contracts.platform import Platform


def decide(command: c.ApplyDefinitions, platform: Platform, applying: str | None) -> c.DefinitionsApplied | str:
    """What comes into force, or why nothing does. `applying`: a request that was granted and is on its way."""
    if applying is not None or command.based_on < platform.definitions_at:
        return (
            f"definitions were applied meanwhile: these were validated at control position {command.based_on}, and "
            f"others came into force after it; look at them, and apply again: headrace apply"
        )
    found = refusals(platform.definitions, command.definitions)
    if found:
        return "\n".join(str(problem) for problem in found)
    return c.DefinitionsApplied(request_id=command.request_id, definitions=command.definitions, by=command.by)
