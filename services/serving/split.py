"""Who answers: the candidate exactly when the split hash lies below the share in force, otherwise the champion."""

from __future__ import annotations

from dataclasses import dataclass

from shared.contracts.control import Phase
from shared.contracts.definitions import Model
from shared.contracts.identity import split_hash
from shared.contracts.platform import ModelState


@dataclass(frozen=True, slots=True)
class Split:
    """Who answers, and why; before the first version nobody. `drawn`: the split hash, in [0, 1)."""

    answered_by: int | None
    champion: int | None
    rollout_id: str | None = None
    candidate: int | None = None
    step: int | None = None
    share: float = 0.0
    drawn: float | None = None


def split_of(state: ModelState, subject: str) -> Split:
    """The split for one subject. A rollout whose candidate is still being loaded is not in force."""
    rollout = state.rollout
    if rollout is None or rollout.phase not in (Phase.SHADOW, Phase.STEP):
        return Split(state.champion, state.champion)
    drawn = split_hash(rollout.rollout_id, subject)
    answered_by = rollout.candidate if drawn < rollout.share else state.champion
    return Split(answered_by, state.champion, rollout.rollout_id, rollout.candidate, rollout.step, rollout.share, drawn)


def subject_of(model: Model, entity: str, record_id: str | None, request_id: str | None = None) -> str:
    """What the hash is drawn for: the entity, or the record; a request about no record is one of its own."""
    if model.rollout.split == "entity":
        return entity
    return record_id or request_id or entity
