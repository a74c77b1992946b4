"""What a seed has models say that their workload does not: of missing labels, of shares, of what is fitted and when."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any

from shared.contracts.definitions import FeatureView, Model, Source
from tests.scenarios import entity_workload, workload

EVERY_ROWS = 90


class Twist(StrEnum):
    """One thing that is said."""

    ABSENT = "a missing label means 0"
    BY_ENTITY = "a candidate's share is one of entities"
    EVERY = f"a fit after every {EVERY_ROWS} outcomes, live at once"
    REGRESSION = "what a payment costs is learnt, not whether it is bad"
    ON_REQUEST = "one of the models that are never fitted answers requests only"


CHANCES: Mapping[Twist, float] = {
    Twist.ABSENT: 0.25, Twist.BY_ENTITY: 0.5, Twist.EVERY: 0.2, Twist.REGRESSION: 0.25, Twist.ON_REQUEST: 0.3,
}  # fmt: skip


def twists_of(seed: int) -> tuple[Twist, ...]:
    """Those that a seed stands for."""
    draw = random.Random(f"twists of {seed}")
    return tuple(twist for twist, chance in CHANCES.items() if draw.random() < chance)


def twisted(
    declared: Sequence[Source | FeatureView | Model], twists: Collection[Twist]
) -> tuple[Source | FeatureView | Model, ...]:
    """The definitions of a workload, with these in them."""
    return tuple(_twisted(one, twists) if isinstance(one, Model) else one for one in declared)


def _twisted(model: Model, twists: Collection[Twist]) -> Model:
    said: dict[str, Any] = model.model_dump(mode="json")
    if Twist.ABSENT in twists:
        said["label"]["absent"] = 0
    if Twist.ON_REQUEST in twists and model.name == entity_workload.OWN_LOG_MODEL:
        said["mode"] = "request"
    if model.name == workload.MODEL:
        if Twist.BY_ENTITY in twists:
            said["rollout"]["split"] = "entity"
        if Twist.EVERY in twists:
            said["retrain"] |= {"policy": "every", "rows": EVERY_ROWS}
        if Twist.REGRESSION in twists:
            said |= {"task": "regression", "label": {**said["label"], "field": "loss"}}
            said["monitor"] |= {"metric": "absolute_error", "scale": 4.0}
    return Model.written(said)
