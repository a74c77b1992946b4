"""What is gathered of a platform stays as it was, whatever the platform does next."""

from __future__ import annotations

from pathlib import Path

from shared.runtime.artifacts import ArtifactStore
from shared.runtime.copies import Copies
from tests.e2e.evidence_of_run import CopiesAsTheyStand

LOG_ID, TASK = "l0", "registry/decide/control.v1/0"


def test_copies_stay_as_they_stood_and_all_else_is_as_it_is(tmp_path: Path) -> None:
    store, folder = ArtifactStore.at(str(tmp_path)), Copies(ArtifactStore.at("memory:"), LOG_ID).folder(TASK)
    store.write(f"{folder}/1", b"older")
    store.write(f"{folder}/2", b"newer")
    found = CopiesAsTheyStand(tmp_path)
    store.write(f"{folder}/3", b"newest")
    store.remove([f"{folder}/1"])
    segment = store.put(LOG_ID, "outcomes", b"rows")
    assert [found.read(uri) for uri in found.names(folder)] == [b"older", b"newer"]
    assert found.get(segment) == b"rows"
    assert segment.uri in found.names(LOG_ID)
    assert sorted([f"{folder}/1", f"{folder}/2", segment.uri]) == found.names("")
