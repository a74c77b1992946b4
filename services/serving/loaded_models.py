"""The models in memory, by the sha256 of their artifacts, and which ones somebody waits for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from shared.contracts.control import Reference
from shared.contracts.platform import ModelState
from shared.runtime.onnx_model import OnnxModel


class LoadedModels:
    """Belongs to the driver's thread; requests hold the models that they use. `generation` counts changes."""

    def __init__(self) -> None:
        self._models: dict[str, OnnxModel] = {}
        self._demands: dict[str, tuple[Reference, ...]] = {}
        self.generation = 0

    def get(self, sha256: str) -> OnnxModel | None:
        return self._models.get(sha256)

    def __contains__(self, sha256: object) -> bool:
        return sha256 in self._models

    def __getitem__(self, sha256: str) -> OnnxModel:
        return self._models[sha256]

    def demand(self, task: str, artifacts: Iterable[Reference]) -> None:
        """Note that a task cannot go on without these models."""
        self._demands[task] = tuple(artifacts)

    def release(self, task: str) -> None:
        """The task goes on: from here its own position says what it needs."""
        self._demands.pop(task, None)

    @property
    def demanded(self) -> Iterable[Reference]:
        return (artifact for artifacts in self._demands.values() for artifact in artifacts)

    def put(self, sha256: str, model: OnnxModel) -> None:
        self._models[sha256] = model
        self.generation += 1

    def keep(self, needed: Collection[str], spare: int) -> None:
        """Let go of what is not needed, but for so many that were needed last."""
        for sha256 in needed:
            if sha256 in self._models:
                self._models[sha256] = self._models.pop(sha256)  # to the end: needed last
        unneeded = [sha256 for sha256 in self._models if sha256 not in needed]
        for sha256 in unneeded[: max(0, len(unneeded) - spare)]:
            del self._models[sha256]
            self.generation += 1


def artifacts_in_play(state: ModelState) -> Mapping[int, Reference]:
    """The artifact of every version whose output stands in each prediction."""
    return {number: state.versions[number].artifact for number in state.in_play}
