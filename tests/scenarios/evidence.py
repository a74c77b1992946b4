"""What the checks look at, and how a check says that something does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from shared.contracts.control import Reference
from shared.contracts.platform import Platform
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.onnx_model import OnnxModel
from shared.runtime.step import Step
from shared.runtime.task_file import TaskFile
from tests.scenarios.topic_history import TopicHistory


@dataclass(frozen=True, slots=True)
class Violation:
    """One invariant of section 8, by its number, and where it does not hold."""

    number: int
    text: str

    def __str__(self) -> str:
        return f"invariant {self.number}: {self.text}"


@dataclass(eq=False)
class Evidence:
    """A history and what goes with it. `steps` by `service/step`, `files` by task id: for replays."""

    history: TopicHistory
    artifacts: ArtifactStore | None = None
    steps: Callable[[], Mapping[str, Step]] | None = None
    files: Mapping[str, TaskFile] = field(default_factory=dict[str, TaskFile])

    def platform(self, position: int) -> Platform:
        """The state at a control position; the newest if that has not been reached."""
        return self.history.control.at(min(position, self.history.control.position))

    def model(self, version_artifact: str, of: Platform, name: str) -> OnnxModel | None:
        """The artifact with this sha256, if it is one of the model's and a store was given."""
        for version in of.model(name).versions.values():
            if self.artifacts is not None and version.artifact.sha256 == version_artifact:
                return loaded(self.artifacts, version.artifact)
        return None


_LOADED: dict[str, OnnxModel] = {}
_MOST_LOADED = 200


def loaded(artifacts: ArtifactStore, reference: Reference) -> OnnxModel:
    """A model of the store. Named by its content, it is the same in every history."""
    if reference.sha256 not in _LOADED:
        if len(_LOADED) >= _MOST_LOADED:
            _LOADED.clear()
        _LOADED[reference.sha256] = OnnxModel(artifacts.get(reference))
    return _LOADED[reference.sha256]


Check = Callable[[Evidence], Iterator[str]]
