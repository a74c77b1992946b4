"""Whether a model fits the sources and views that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shared.contracts.definition_problem import Problem, did_you_mean
from shared.contracts.definitions import Aggregate, FeatureView, FieldSpec, FieldType, Metric, Model, Source, Task
from shared.contracts.expressions import ExpressionError, Kind, parse
from shared.contracts.source_fields import SourceLookup, field_kinds, known_fields

# `linear` is the linear family of the task.
FAMILIES: Mapping[Task, tuple[str, ...]] = {
    Task.BINARY: ("hist_gradient_boosting", "logistic_regression", "linear"),
    Task.MULTICLASS: ("hist_gradient_boosting", "logistic_regression", "linear"),
    Task.REGRESSION: ("hist_gradient_boosting", "ridge", "linear"),
}
_ERRORS = (Metric.ABSOLUTE_ERROR, Metric.SQUARED_ERROR)


def model_problems(model: Model, views: Mapping[str, FeatureView], lookup: SourceLookup) -> Iterator[Problem]:
    """Every problem of one model among these views and sources."""
    yield from _family_problems(model)
    scored = lookup.get(model.scores)
    if scored is None:
        if message := lookup.unknown(model.scores):
            yield _problem(model, message, "scores")
    else:
        yield from _input_problems(model, scored, views, lookup)
    labels = lookup.get(model.label.source)
    if labels is None:
        if message := lookup.unknown(model.label.source):
            yield _problem(model, message, "label", "source")
    else:
        yield from _label_problems(model, labels)
    if scored is not None and labels is not None and scored.time.clock is not labels.time.clock:
        yield _problem(
            model,
            f"source {labels.name} keeps clock {labels.time.clock}, and {scored.name}, which is scored, keeps "
            f"{scored.time.clock}: both need the same, for labels mature by it",
            "label",
            "source",
        )


def _problem(model: Model, message: str, *path: str | int) -> Problem:
    return Problem("Model", model.name, path, message)


def _family_problems(model: Model) -> Iterator[Problem]:
    known = FAMILIES[model.task]
    families = model.training.search.families
    if not families:
        yield _problem(model, f"empty: name at least one of {', '.join(known)}", "training", "search", "families")
    for i, family in enumerate(families):
        if family not in known:
            message = f"family {family!r} is not known for task {model.task}; {did_you_mean(family, known)}"
            yield _problem(model, message, "training", "search", "families", i)
    regression = model.task is Task.REGRESSION
    for i, metric in enumerate(model.monitor.report):
        if regression != (metric in _ERRORS):
            fitting = ", ".join(m for m in Metric if regression == (m in _ERRORS))
            message = f"{metric} does not fit task {model.task}; fitting are {fitting}"
            yield _problem(model, message, "monitor", "report", i)


def _input_problems(
    model: Model, scored: Source, views: Mapping[str, FeatureView], lookup: SourceLookup
) -> Iterator[Problem]:
    yield from _field_problems(model, scored)
    seen: set[str] = set()
    for i, name in enumerate(model.inputs.views):
        view = views.get(name)
        message = None
        if name in seen:
            message = f"{name} stands twice"
        elif view is None and name not in lookup.unread:
            message = f"view {name!r} is not declared; {did_you_mean(name, views)}"
        elif view is not None and view.source != scored.name:
            message = (
                f"view {name} is over source {view.source}, and the model scores {scored.name}: views of another "
                f"source are not supported yet; declare a view over {scored.name}"
            )
        if message:
            yield _problem(model, message, "inputs", "views", i)
        seen.add(name)
    yield from _derived_problems(model, scored, views, lookup)


def _field_problems(model: Model, scored: Source) -> Iterator[Problem]:
    fields, seen = known_fields(scored), set[str]()
    for i, name in enumerate(model.inputs.fields):
        message = None
        if name in seen:
            message = f"{name} stands twice"
        elif name not in fields:
            message = f"source {scored.name} has no field {name!r}; {did_you_mean(name, fields)}"
        elif name == scored.time.field:
            message = f"{name} is the event time, which only grows: derive from it, such as hour({name})"
        elif fields[name] is None:
            message = f"{name} has no declared type: add it to `fields` of source {scored.name}"
        elif scored.name == model.label.source and name == model.label.field:
            message = f"{name} is the label: a model must not see it"
        if message:
            yield _problem(model, message, "inputs", "fields", i)
        seen.add(name)


def _derived_problems(
    model: Model, scored: Source, views: Mapping[str, FeatureView], lookup: SourceLookup
) -> Iterator[Problem]:
    kinds = field_kinds(scored)
    for name in model.inputs.views:
        if view := views.get(name):
            kinds |= {f"{name}.{feature}": _feature_kind(view, feature, scored) for feature in view.features}
    for name, text in model.inputs.derived.items():
        message = None
        if name in model.inputs.fields:
            message = f"{name} is a field among the inputs too: give the derived input another name"
        else:
            message = _expression_problem(text, kinds, model, scored, views, lookup)
        if message:
            yield _problem(model, message, "inputs", "derived", name)


def _expression_problem(
    text: str,
    kinds: Mapping[str, Kind],
    model: Model,
    scored: Source,
    views: Mapping[str, FeatureView],
    lookup: SourceLookup,
) -> str | None:
    try:
        expression = parse(text)
        if scored.name == model.label.source and model.label.field in expression.names:
            return f"{model.label.field} is the label: a model must not see it"
        for name in sorted(expression.names):
            view, dot, _ = name.partition(".")
            if dot and view in lookup.unread:
                return None
            if dot and view in views and view not in model.inputs.views:
                return f"{name} is a feature of a view that is no input of this model: add {view} to inputs.views"
            if name in model.inputs.derived and name not in kinds:
                return f"{name} is a derived input, and these do not build on each other: write its expression out"
        expression.check(kinds)
    except ExpressionError as error:
        return str(error)
    return None


def _feature_kind(view: FeatureView, name: str, source: Source) -> Kind:
    feature = view.features[name]
    spec = source.fields.get(feature.of or "")
    is_text = feature.aggregate is Aggregate.LAST and spec is not None and spec.type is FieldType.STRING
    return Kind.TEXT if is_text else Kind.NUMBER


def _label_problems(model: Model, labels: Source) -> Iterator[Problem]:
    label, fields = model.label, known_fields(labels)
    for role, name in (("field", label.field), ("joins", label.joins)):
        if name not in fields:
            yield _problem(
                model, f"source {labels.name} has no field {name!r}; {did_you_mean(name, fields)}", "label", role
            )
    if label.field not in fields:
        return
    spec = fields[label.field]
    if spec is None:
        message = f"{label.field} has no declared type: add it to `fields` of source {labels.name}"
        yield _problem(model, message, "label", "field")
        return
    expected = _LABEL_TYPES[model.task]
    if spec.type not in expected:
        message = f"{label.field} is a {spec.type}; a label of task {model.task} is {' or '.join(expected)}"
        if model.task is Task.BINARY:
            message += ": publish 1 or true for the class whose probability is wanted, and 0 or false"
        yield _problem(model, message, "label", "field")
    elif message := _absent_problem(model, spec):
        yield _problem(model, message, "label", "absent")


_LABEL_TYPES: Mapping[Task, tuple[FieldType, ...]] = {
    Task.BINARY: (FieldType.BOOLEAN, FieldType.INTEGER, FieldType.NUMBER),
    Task.MULTICLASS: (FieldType.STRING, FieldType.INTEGER, FieldType.BOOLEAN, FieldType.NUMBER),
    Task.REGRESSION: (FieldType.NUMBER, FieldType.INTEGER),
}


def _absent_problem(model: Model, spec: FieldSpec) -> str | None:
    absent = model.label.absent
    if absent is None:
        return None
    if model.task is Task.BINARY and absent not in (0, 1):
        return f"found {absent!r}; what a missing binary label means is 0 or 1"
    if isinstance(absent, str) != (spec.type is FieldType.STRING):
        return f"found {absent!r}, but {model.label.field} is a {spec.type}"
    if isinstance(absent, str) and spec.enum is not None and absent not in spec.enum:
        return f"{absent!r} is not among the values of {model.label.field}; {did_you_mean(absent, spec.enum)}"
    return None
