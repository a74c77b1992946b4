"""Keeps what is decided loaded: fetch, check, build, warm, then say so. Until then nothing is scored or answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from services.serving.asked_versions import Asked, AskedVersions
from services.serving.execution import RUN_ERRORS
from services.serving.loaded_models import LoadedModels, artifacts_in_play
from services.serving.settings import SPARE_MODELS
from services.serving.standing import Standing
from shared.contracts.control import Reference, ReplicaFailed, ReplicaReady
from shared.contracts.envelope import NEVER_MS, Event
from shared.contracts.errors import HeadraceError
from shared.contracts.identity import derived_id
from shared.contracts.topics import CONTROL
from shared.runtime.artifacts import ArtifactDamaged, ArtifactMissing, ArtifactStore
from shared.runtime.onnx_model import ArtifactUnreadable, OnnxModel
from shared.runtime.process import Process

AT_ONCE = 2
FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 30.0


class ModelUnusable(HeadraceError):
    """A model that loads, but cannot answer."""

    def __init__(self, sha256: str, reason: str) -> None:
        super().__init__(f"the model with sha256 {sha256} cannot answer a row of missing values: {reason}; fit it anew")


def load(artifacts: ArtifactStore, reference: Reference) -> OnnxModel:
    """Fetched, checked, built and warmed. Raises ArtifactMissing, or one of UNUSABLE."""
    model = OnnxModel(artifacts.get(reference))
    try:
        model.predict_row({})
    except RUN_ERRORS as error:
        raise ModelUnusable(reference.sha256, str(error)) from error
    return model


UNUSABLE = (ArtifactDamaged, ArtifactUnreadable, ModelUnusable)


@dataclass(slots=True)
class _Trouble:
    """`unusable`: the model itself is to blame, not the store."""

    reason: str
    unusable: bool
    attempts: int
    not_before_s: float


class Loader:
    """One a process. What it publishes has an id that follows from what asked for it, so saying it twice is harmless.

    A store that is away is nobody's failure: loading is tried again, less and less often. A model that is damaged or
    does not build is reported, and tried again too, for its bytes may be restored.
    """

    def __init__(self, process: Process, models: LoadedModels, spare: int = SPARE_MODELS) -> None:
        self._process, self._models, self._spare = process, models, spare
        self._asked = AskedVersions(process.history)
        self._loading: dict[str, Future[OnnxModel]] = {}
        self._trouble: dict[str, _Trouble] = {}
        self._said: set[str] = set()
        self.standing = Standing(models)

    @classmethod
    def of(cls, process: Process) -> Loader:
        """The loader among the workers of a process."""
        return next(worker for worker in process.workers if isinstance(worker, cls))

    def turn(self) -> None:
        asked = list(self._asked.read())
        self._collect()
        wanted = self._wanted(asked)
        for reference in wanted.values():
            self._start(reference)
        for one in asked:
            self._report(one)
        self.standing.refresh(self._process.history.newest)
        self._models.keep(wanted.keys() | self.standing.needed(), self._spare)

    @property
    def doing(self) -> Sequence[str]:
        """What is wanted and may still be loaded without new input."""
        missing = [sha for sha in self._wanted(self._asked.read()) if sha not in self._models]
        return [f"loading model {sha[:8]}{self._why(sha)}" for sha in missing if not self._hopeless(sha)]

    def close(self) -> None:
        """Loading again after a restart changes nothing: let go of what is in work."""
        for future in self._loading.values():
            future.cancel()

    def _wanted(self, asked: Iterable[Asked]) -> dict[str, Reference]:
        """What replicas keep ready, what tasks score with at their own positions, and what one of them waits for."""
        wanted = {one.artifact.sha256: one.artifact for one in asked}
        for task in self._process.tasks.values():
            if task.control > self._process.history.position:
                continue  # after a restart the file is ahead of what is read
            for artifact in artifacts_in_play(task.platform.model(task.spec.subject)).values():
                wanted[artifact.sha256] = artifact
        return wanted | {artifact.sha256: artifact for artifact in self._models.demanded}

    def _start(self, reference: Reference) -> None:
        sha256, trouble = reference.sha256, self._trouble.get(reference.sha256)
        if sha256 in self._models or sha256 in self._loading or len(self._loading) >= AT_ONCE:
            return
        if trouble is None or self._process.clock.now_s() >= trouble.not_before_s:
            self._loading[sha256] = self._process.executor.submit(partial(load, self._process.artifacts, reference))

    def _collect(self) -> None:
        for sha256, future in list(self._loading.items()):
            if not future.done():
                continue
            del self._loading[sha256]
            error = future.exception()
            if error is None:
                self._trouble.pop(sha256, None)
                self._models.put(sha256, future.result())
            elif isinstance(error, (ArtifactMissing, *UNUSABLE)):
                self._troubled(sha256, error)
            else:
                raise error

    def _troubled(self, sha256: str, error: BaseException) -> None:
        attempts = self._trouble[sha256].attempts + 1 if sha256 in self._trouble else 1
        unusable = not isinstance(error, ArtifactMissing)
        rest_s = LONGEST_RETRY_S if unusable else min(FIRST_RETRY_S * 2 ** (attempts - 1), LONGEST_RETRY_S)
        self._trouble[sha256] = _Trouble(str(error), unusable, attempts, self._process.clock.now_s() + rest_s)

    def _hopeless(self, sha256: str) -> bool:
        trouble = self._trouble.get(sha256)
        return trouble is not None and trouble.unusable

    def _why(self, sha256: str) -> str:
        trouble = self._trouble.get(sha256)
        return f" ({trouble.reason})" if trouble else ""

    # --- what others are told

    def _report(self, one: Asked) -> None:
        replica, trouble = self._process.instance, self._trouble.get(one.artifact.sha256)
        if one.artifact.sha256 in self._models:
            ready = ReplicaReady(
                replica=replica, model=one.model, version=one.version, artifact_sha256=one.artifact.sha256
            )
            self._say(one, "ready", ready)
        elif trouble is not None and trouble.unusable:
            failed = ReplicaFailed(replica=replica, model=one.model, version=one.version, reason=trouble.reason)
            self._say(one, "failed", failed)

    def _say(self, one: Asked, name: str, event: Event) -> None:
        event_id = derived_id(one.cause.id, name, f"{self._process.instance}/{one.model}/{one.version}")
        history = self._process.history
        if event_id in self._said or history.position_of(event_id) is not None:
            return
        self._said.add(event_id)
        now_ms = history.newest.now_ms(one.model)
        time_ms = one.cause.time_ms if now_ms == NEVER_MS else now_ms
        self._process.outside.publish(CONTROL, event, event_id=event_id, time_ms=time_ms, key=one.model)
