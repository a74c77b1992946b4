"""The configurations that are played: those proposed, and the two that stand beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from deploy.backtest.request import Request, Setting
from shared.contracts.definitions import Approval, Model, Policy, Retrain, Rollout


class Kind(StrEnum):
    PROPOSED = "proposed"
    STATIC = "static"
    PERIODIC = "periodic"


@dataclass(frozen=True, slots=True)
class Configuration:
    """`model`: the definition as it is played. `at_once`: what passes the gate answers at once."""

    kind: Kind
    name: str
    model: Model
    at_once: bool


def proposed(model: Model, request: Request) -> list[Configuration]:
    """Every `retrain` that was asked for with every `rollout`, on top of what is in force.

    Raises pydantic's ValidationError for what a definition may not say either.
    """
    return [_proposed(model, retrain, rollout) for retrain in request.retrains for rollout in request.rollouts]


def static(model: Model) -> Configuration:
    """The first version answers for ever."""
    return Configuration(Kind.STATIC, "static", _with(model, retrain={"policy": Policy.NEVER}), at_once=False)


def periodic(model: Model, rows: int) -> Configuration:
    """A new version after so many outcomes, live at once. Raises pydantic's ValidationError for too few rows."""
    every = _with(model, retrain={"policy": Policy.EVERY, "rows": rows})
    return Configuration(Kind.PERIODIC, f"every {rows:,} rows", every, at_once=False)


def _proposed(model: Model, retrain: Setting, rollout: Setting) -> Configuration:
    at_once = rollout.says is None
    names = (retrain.name, rollout.name and f"rollout {rollout.name}")
    made = _with(model, retrain=retrain.says or {}, rollout=rollout.says or {})
    return Configuration(Kind.PROPOSED, "; ".join(filter(None, names)) or "in force", made, at_once)


def _with(model: Model, *, retrain: Mapping[str, Any] | None = None, rollout: Mapping[str, Any] | None = None) -> Model:
    """Nobody is asked in a backtest: what waits for a person's approval has it."""
    settings = {
        "retrain": Retrain.written({**model.retrain.model_dump(), **(retrain or {})}),
        "rollout": Rollout.written({**model.rollout.model_dump(), **(rollout or {}), "approval": Approval.AUTO}),
    }
    return model.model_copy(update=settings)
