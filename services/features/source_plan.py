"""What each record of a source leads to, worked out once for each set of definitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.contracts.definitions import FeatureView, Source
from shared.contracts.topics import FEATURES, SCORING, Topic
from shared.contracts.topology import Definitions
from shared.inputs.vector import InputPlan


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """Models that score the source as it streams, and the views over it, each with its topic. `read`: by a model."""

    source: Source
    models: tuple[tuple[InputPlan, Topic], ...]
    views: tuple[tuple[FeatureView, Topic], ...]
    read: Mapping[str, FeatureView]

    @classmethod
    def of(cls, definitions: Definitions, source: str) -> SourcePlan:
        plans = [InputPlan.of(model, definitions) for model in definitions.models_on(source) if model.mode == "stream"]
        return cls(
            definitions.sources[source],
            tuple((plan, SCORING.of(plan.model)) for plan in plans),
            tuple((view, FEATURES.of(view.name)) for view in definitions.views_on(source)),
            {name: view for plan in plans for name, view in plan.views.items()},
        )


_KEPT = 100
_PLANS: dict[tuple[int, str], tuple[Definitions, SourcePlan]] = {}


def plan_of(definitions: Definitions, source: str) -> SourcePlan:
    """`SourcePlan.of(definitions, source)`, kept by the identity of the definitions."""
    found = _PLANS.get((id(definitions), source))
    # The definitions are kept beside their plan, so that their identity cannot pass to others.
    if found is None or found[0] is not definitions:
        if len(_PLANS) >= _KEPT:
            _PLANS.clear()
        found = _PLANS[id(definitions), source] = (definitions, SourcePlan.of(definitions, source))
    return found[1]
