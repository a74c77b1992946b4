"""What each record leads to at one stage of its way, worked out once for each set of definitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.contracts.definitions import FeatureView
from shared.contracts.topics import FEATURES, SCORING, Topic
from shared.contracts.topology import Definitions
from shared.inputs.vector import InputPlan


@dataclass(frozen=True, slots=True)
class Onward:
    """Where records go on. `models`: those that need it as they stream; `features`: what is known for them by then."""

    topic: Topic
    entity: str
    models: tuple[str, ...]
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StagePlan:
    """Models whose inputs are computed here, and the views that are kept here, each with its topic.

    `read`: the views that a model reads, here or further on. `onward` None: this is the way's end.
    """

    allowed_lateness_ms: int
    models: tuple[tuple[InputPlan, Topic], ...]
    views: tuple[tuple[FeatureView, Topic], ...]
    read: Mapping[str, FeatureView]
    onward: Onward | None

    @classmethod
    def of(cls, definitions: Definitions, subject: str) -> StagePlan:
        stage = definitions.stages[subject]
        here = [InputPlan.of(model, definitions) for model in stage.models if model.mode == "stream"]
        ahead = [InputPlan.of(model, definitions) for model in stage.ahead if model.mode == "stream"]
        wanted = {name: view for plan in (*here, *ahead) for name, view in plan.views.items()}
        onward = None
        if stage.next is not None:
            carried = {name: view for plan in ahead for name, view in plan.views.items()}
            features = tuple(f"{name}.{feature}" for name, view in carried.items() for feature in view.features)
            onward = Onward(stage.next.topic, stage.next.entity, tuple(plan.model for plan in ahead), features)
        return cls(
            stage.source.time.allowed_lateness,
            tuple((plan, SCORING.of(plan.model)) for plan in here),
            tuple((view, FEATURES.of(view.name)) for view in stage.views),
            {view.name: view for view in stage.views if view.name in wanted},
            onward,
        )


_KEPT = 100
_PLANS: dict[tuple[int, str], tuple[Definitions, StagePlan]] = {}


def plan_of(definitions: Definitions, subject: str) -> StagePlan:
    """`StagePlan.of(definitions, subject)`, kept by the identity of the definitions."""
    found = _PLANS.get((id(definitions), subject))
    # The definitions are kept beside their plan, so that their identity cannot pass to others.
    if found is None or found[0] is not definitions:
        if len(_PLANS) >= _KEPT:
            _PLANS.clear()
        found = _PLANS[id(definitions), subject] = (definitions, StagePlan.of(definitions, subject))
    return found[1]
