"""The worker beside a store that is away: the run is not to blame, and polling goes on."""

from __future__ import annotations

import pytest

from shared.contracts.control import Reference, RunFailed, RunFinished
from shared.runtime.artifacts import ArtifactMissing, ArtifactStore
from tests.scenarios.simulated import lockstep


class Away(ArtifactStore):
    """Refuses the first so many writes."""

    refusals = 0

    def put(self, log_id: str, kind: str, data: bytes, suffix: str = "") -> Reference:
        if kind == "models" and Away.refusals:
            Away.refusals -= 1
            raise ArtifactMissing(kind, "the store is away")
        return super().put(log_id, kind, data, suffix)


def test_a_run_outlasts_a_store_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.simulation.world.ArtifactStore", Away)
    Away.refusals = 3
    platform = lockstep(1, 1)
    kinds = [type(message.event) for message in platform.decided()]
    assert Away.refusals == 0
    assert RunFinished in kinds
    assert RunFailed not in kinds
