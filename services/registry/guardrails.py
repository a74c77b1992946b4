"""Live requests of a candidate beyond the limits of its definition."""

from __future__ import annotations

from services.registry.line import Rollout
from shared.contracts.control import RequestFigures
from shared.contracts.definitions import Guardrails

ENOUGH_REQUESTS = 100


def counted(rollout: Rollout, figures: RequestFigures) -> Rollout:
    """The rollout with a replica's requests since its last sign of life."""
    update = {"requests": rollout.requests + figures.requests, "errors": rollout.errors + figures.errors}
    return rollout.model_copy(update=update)


def judged(rollout: Rollout) -> Rollout:
    """Once enough requests were judged together, the count begins anew, so that old ones never hide new errors."""
    if rollout.requests < ENOUGH_REQUESTS:
        return rollout
    return rollout.model_copy(update={"requests": 0, "errors": 0})


def broken(rollout: Rollout, figures: RequestFigures, limits: Guardrails) -> str | None:
    """Which limit the candidate broke, in words. `rollout` has counted `figures` already."""
    if limits.error_rate is not None and rollout.requests >= ENOUGH_REQUESTS:
        rate = rollout.errors / rollout.requests
        if rate > limits.error_rate:
            return f"guardrail: {rate:.2%} of {rollout.requests} requests failed, {limits.error_rate:.2%} are allowed"
    p99_ms, allowed_ms = figures.latency_p99_ms, limits.latency_p99
    enough = figures.requests >= ENOUGH_REQUESTS
    if enough and p99_ms is not None and allowed_ms is not None and p99_ms > allowed_ms:
        return f"guardrail: 99th percentile of latency {p99_ms:.0f} ms, {allowed_ms} ms are allowed"
    return None
