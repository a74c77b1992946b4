"""Under which control position requests are answered: the newest whose versions in play are loaded here.

So a swap never waits for a model: until the newest is loaded, the former platform stands, and a request that has begun
keeps the models that it began with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.serving.loaded_models import LoadedModels, artifacts_in_play
from services.serving.prediction import Loaded
from services.serving.request_plan import RequestPlan
from shared.contracts.definitions import Model
from shared.contracts.platform import ModelState, Platform
from shared.contracts.topology import NO_DEFINITIONS, Definitions


@dataclass(frozen=True, slots=True)
class Stand:
    """All that a request needs of one model. `in_play` and `spare` (loaded, on its way) are versions by number."""

    position: int
    definition: Model
    state: ModelState
    plan: RequestPlan
    in_play: Mapping[int, Loaded]
    spare: Mapping[int, Loaded]

    @property
    def versions(self) -> Mapping[int, Loaded]:
        return {**self.spare, **self.in_play}


@dataclass(slots=True)
class Standing:
    """Refreshed on the driver's thread, read on any."""

    models: LoadedModels
    stands: Mapping[str, Stand] = field(default_factory=dict[str, Stand])
    _seen: tuple[int, int] = (-1, -1)
    _plans: tuple[Definitions, dict[str, RequestPlan]] = (NO_DEFINITIONS, {})

    def refresh(self, platform: Platform) -> None:
        """Move every model on to `platform` that can go there."""
        seen = (platform.position, self.models.generation)
        if seen == self._seen:
            return
        self._seen = seen
        moved = {name: self._stand(platform, model) for name, model in platform.definitions.models.items()}
        # One without a version is not gone back to: after a restart it would deny that the model has any.
        kept = {name: stand for name, stand in self.stands.items() if stand.in_play}
        self.stands = {**kept, **{name: stand for name, stand in moved.items() if stand is not None}}

    def needed(self) -> set[str]:
        """Artifacts that requests may still be answered from."""
        return {version.sha256 for stand in self.stands.values() for version in stand.in_play.values()}

    def _stand(self, platform: Platform, model: Model) -> Stand | None:
        state = platform.model(model.name)
        in_play = self._loaded(state, state.in_play)
        if len(in_play) < len(artifacts_in_play(state)):
            return None
        plan = self._plan(platform.definitions, model)
        spare = self._loaded(state, state.to_load)
        return Stand(platform.position, model, state, plan, in_play, spare)

    def _loaded(self, state: ModelState, numbers: tuple[int, ...]) -> dict[int, Loaded]:
        found: dict[int, Loaded] = {}
        for number in numbers:
            sha256 = state.versions[number].artifact.sha256
            model = self.models.get(sha256)
            if model is not None:
                found[number] = Loaded(sha256, model)
        return found

    def _plan(self, definitions: Definitions, model: Model) -> RequestPlan:
        if self._plans[0] is not definitions:
            self._plans = (definitions, {})
        plans = self._plans[1]
        if model.name not in plans:
            plans[model.name] = RequestPlan.of(model, definitions)
        return plans[model.name]
