"""A model's input vector: the one function that streams, HTTP requests and proofs use."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shared.contracts.definitions import Aggregate, FeatureView, FieldType, Model, Source
from shared.contracts.expressions import Expression, Kind, parse
from shared.contracts.flow import Inputs, InputValue
from shared.contracts.scalar_functions import SCALAR, load
from shared.contracts.topology import Definitions
from shared.inputs.windows import WindowState, evaluate

InputKind = Literal["number", "category"]


@dataclass(frozen=True, slots=True)
class InputPlan:
    """What it takes to compute a model's inputs, worked out once per (model, definitions).

    `names_and_kinds`: the vector, in order: fields, derived, then `view.feature` of each view. `views`: the views whose
    window states `inputs` reads, the ones that only a derived expression names included. `time_field`: a name for the
    event time in expressions, as epoch milliseconds.
    """

    model: str
    names_and_kinds: tuple[tuple[str, InputKind], ...]
    views: Mapping[str, FeatureView]
    time_field: str
    fields: tuple[str, ...]
    derived: Mapping[str, Callable[[Callable[[str], Any]], Any]]

    @classmethod
    def of(cls, model: Model, definitions: Definitions) -> InputPlan:
        """Raises ValueError for a name that the definitions lack, or that two inputs share."""
        source = definitions.sources[model.scores]
        expressions = {name: parse(text) for name, text in model.inputs.derived.items()}
        views = _views(model, expressions.values(), definitions)
        kinds = _field_kinds(source)
        for name in model.inputs.fields:
            if name not in kinds:
                raise ValueError(
                    f"model {model.name}: inputs.fields names {name!r}, which source {source.name} does not have; "
                    f"its fields are {', '.join(source.fields)}"
                )
        kinds |= {name: kind for view in views.values() for name, kind in _view_kinds(view, definitions)}
        vector = [(name, kinds[name]) for name in model.inputs.fields]
        vector += [(name, expression.check(kinds)) for name, expression in expressions.items()]
        vector += [pair for name in model.inputs.views for pair in _view_kinds(views[name], definitions)]
        _check_distinct(model, [name for name, _ in vector])
        return cls(
            model.name,
            tuple((name, "category" if kind is Kind.TEXT else "number") for name, kind in vector),
            views,
            source.time.field,
            model.inputs.fields,
            {name: expression.compiled(SCALAR) for name, expression in expressions.items()},
        )

    def inputs(self, value: Mapping[str, Any], time_ms: int, windows: Mapping[str, WindowState | None]) -> Inputs:
        """The vector of a record with event time `time_ms`, given the window state of its entity in each of `views`.

        Numbers are rounded to the nearest float32, which is what every model sees; one beyond float32 is missing
        (None). Booleans are 1.0 and 0.0. A view that `windows` lacks has no state.
        """
        return self.inputs_given(value, time_ms, features_as_of(self.views, windows, time_ms))

    def inputs_given(self, value: Mapping[str, Any], time_ms: int, features: Mapping[str, InputValue]) -> Inputs:
        """`inputs`, where `features_as_of` was worked out before: of `views`, and of others, for several models."""
        scope: dict[str, Any] = {**value, self.time_field: float(time_ms), **features}
        result: dict[str, InputValue] = {name: load(scope.get(name)) for name in self.fields}
        for name, compute in self.derived.items():
            result[name] = compute(scope.get)
        return self._as_seen([result[name] if name in result else scope[name] for name, _ in self.names_and_kinds])

    def unknown_entity(self, windows: Mapping[str, WindowState | None]) -> bool:
        """Whether the model reads views, and none of them knows the entity."""
        return bool(self.views) and all(windows.get(name) is None for name in self.views)

    def _as_seen(self, values: list[InputValue]) -> Inputs:
        rounded = array("f", [value if isinstance(value, float) else math.nan for value in values])
        result: Inputs = {}
        for (name, kind), value, number in zip(self.names_and_kinds, values, rounded, strict=True):
            if kind == "number":
                result[name] = number if math.isfinite(number) else None
            else:
                result[name] = value if isinstance(value, str) else None
        return result


def features_as_of(
    views: Mapping[str, FeatureView], windows: Mapping[str, WindowState | None], time_ms: int
) -> dict[str, InputValue]:
    """Every feature of these views as of `time_ms`, named `view.feature`."""
    return {
        f"{name}.{feature}": known
        for name, view in views.items()
        for feature, known in evaluate(view, windows.get(name), time_ms).items()
    }


def _views(model: Model, expressions: Iterable[Expression], definitions: Definitions) -> dict[str, FeatureView]:
    """The views that the model's inputs name: those listed, then those that only expressions name."""
    in_expressions = {name.partition(".")[0] for e in expressions for name in e.names if "." in name}
    views: dict[str, FeatureView] = {}
    for name in (*model.inputs.views, *sorted(in_expressions)):
        if name not in definitions.views:
            known = ", ".join(sorted(definitions.views)) or "none"
            raise ValueError(f"model {model.name}: its inputs name the view {name!r}; the declared ones are {known}")
        views[name] = definitions.views[name]
    return views


def _field_kinds(source: Source) -> dict[str, Kind]:
    kinds = {
        name: Kind.TEXT if field.type is FieldType.STRING else Kind.NUMBER for name, field in source.fields.items()
    }
    return kinds | {source.time.field: Kind.NUMBER}


def _view_kinds(view: FeatureView, definitions: Definitions) -> Iterable[tuple[str, Kind]]:
    kinds = _field_kinds(definitions.sources[view.source])
    for name, feature in view.features.items():
        kind = kinds.get(feature.of or "", Kind.NUMBER) if feature.aggregate is Aggregate.LAST else Kind.NUMBER
        yield f"{view.name}.{name}", kind


def _check_distinct(model: Model, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"model {model.name}: two inputs are called {', '.join(twice)}; give the derived one another name"
        )
