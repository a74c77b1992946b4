"""What is to be played: the request of one backtest of policies."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from services.monitoring.backtest.request import OfRecorded


class Setting(BaseModel):
    """What is said otherwise than in the definition's `retrain` or `rollout`; `says` None: no rollout at all.

    `name`: as people wrote it; empty for what is in force."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    says: dict[str, Any] | None = {}


class Request(OfRecorded):
    """Each of `retrains` is played with each of `rollouts`. `every`: rows of the periodic configuration; None: so that
    it retrains about as often as the first one proposed. `alone`: nothing stands beside them."""

    retrains: list[Setting] = Field(default=[Setting()], min_length=1)
    rollouts: list[Setting] = Field(default=[Setting()], min_length=1)
    every: int | None = None
    alone: bool = False
