"""All inputs of a replay computed a second time: joins in polars, sharing no code with `shared.inputs`.

A record sees the records of its entity that stand before it in the entity's log and are earlier in event time. For a
record later than the allowed lateness, each feature looks back from the newest event time seen less the allowed
lateness. A record that names no entity sees none, and none sees it.
"""

from __future__ import annotations

import polars as pl

from shared.contracts.definitions import Aggregate, Feature, FeatureView, Model
from shared.contracts.expressions import parse
from shared.contracts.topology import Definitions
from tests.scenarios.polars_functions import POLARS

# A slice is joined with all that its entities did in its span: rows squared.
_SLICE_ROWS = 500
_HALF_LIVES = 64


def inputs_again(definitions: Definitions, model: Model, records: pl.DataFrame) -> pl.DataFrame:
    """`record_id` and the model's inputs, a row per record, in the order of `position`.

    `records` has record_id, time_ms, key, a column per field of the source, and `position`: the place in the records'
    own log. `seen.<view>` is the place in the log of the view's entity, null where the view never saw the record;
    without the column it is `position`. Raises ValueError where a view reads another source.
    """
    source = definitions.sources[model.scores]
    raw = records.sort("position").with_row_index("_row")
    missing = [pl.lit(None, pl.Float64).alias(name) for name in source.fields if name not in raw.columns]
    numbers = [name for name, dtype in raw.schema.items() if dtype.is_numeric() or dtype == pl.Boolean]
    fields = raw.with_columns(missing).with_columns(
        pl.col(name).cast(pl.Float64) for name in source.fields if name in numbers
    )
    for name in views_read(model):
        view = definitions.views[name]
        if view.source != source.name:
            raise ValueError(f"view {name} reads {view.source}, the records are {source.name}'s")
        place = f"seen.{name}" if f"seen.{name}" in raw.columns else "position"
        named = {source.key: "key", source.id: "record_id"}.get(view.entity)
        whose = raw[named] if named else _as_names(raw[view.entity])
        came = fields.with_columns(_whose=whose, _place=raw[place]).filter(pl.col("_place").is_not_null())
        features = _view_features(view, came.sort("_place").with_row_index("_seen"), source.time.allowed_lateness)
        fields = fields.join(features, on="_row", how="left", maintain_order="left")
    scope = fields.with_columns(pl.col("time_ms").cast(pl.Float64).alias(source.time.field))
    columns = {name: pl.col(name) for name in model.inputs.fields}
    for name, text in model.inputs.derived.items():
        compiled = parse(text).compiled(POLARS)
        columns[name] = compiled(pl.col)
    for name in model.inputs.views:
        columns |= {f"{name}.{feature}": pl.col(f"{name}.{feature}") for feature in definitions.views[name].features}
    inputs = scope.select("record_id", **columns)
    return inputs.with_columns(_as_float32(name) for name, dtype in inputs.schema.items() if dtype == pl.Float64)


def views_read(model: Model) -> list[str]:
    """The views that the model's inputs name, listed or in an expression."""
    derived = (name for text in model.inputs.derived.values() for name in parse(text).names)
    return sorted({*model.inputs.views, *(name.partition(".")[0] for name in derived if "." in name)})


def _as_names(values: pl.Series) -> pl.Series:
    """Texts and whole numbers as what an entity is called; null where nobody is named."""
    names = values.cast(pl.Int64).cast(pl.String) if values.dtype.is_numeric() else values.cast(pl.String)
    return names.replace("", None)


def _as_float32(name: str) -> pl.Expr:
    rounded = pl.col(name).cast(pl.Float32).cast(pl.Float64)
    return pl.when(rounded.is_finite()).then(rounded).alias(name)


def _view_features(view: FeatureView, came: pl.DataFrame, lateness_ms: int) -> pl.DataFrame:
    """By `_row`. `came`: what the view saw, in the order of `_seen`, with `_whose` it was."""
    used = sorted({feature.of for feature in view.features.values() if feature.of})
    newest_ms = pl.col("time_ms").cum_max().shift(1).over("_whose", order_by="_seen")
    asked = came.select(
        "_row",
        "_seen",
        "_whose",
        at="time_ms",
        # The earliest time that the state behind all earlier records answers in full, if that is later.
        whole=pl.max_horizontal("time_ms", newest_ms - lateness_ms),
    )
    events = came.select(
        "_whose", "record_id", event_seen="_seen", event_ms="time_ms", **{f"of.{name}": pl.col(name) for name in used}
    )
    reach_ms = max(min(feature.over or view.ttl, view.ttl) for feature in view.features.values())
    # Of a view that saw nothing there is one slice, without rows.
    return pl.concat([_aggregate(view, part, events, reach_ms) for part in _slices(asked) or [asked]])


def _slices(asked: pl.DataFrame) -> list[pl.DataFrame]:
    # By entity and time, so that the events which a slice can see lie close together.
    return list(asked.sort("_whose", "at").iter_slices(_SLICE_ROWS))


def _aggregate(view: FeatureView, asked: pl.DataFrame, events: pl.DataFrame, reach_ms: int) -> pl.DataFrame:
    whole = pl.lit(asked["whole"])
    near = events.filter(
        pl.col("_whose").is_in(asked["_whose"].drop_nulls().unique().to_list()),
        pl.col("event_ms").is_between(whole.min() - reach_ms, whole.max()),
    )
    pairs = asked.join(near, on="_whose").filter(
        pl.col("event_seen") < pl.col("_seen"),
        pl.col("event_ms") < pl.col("whole"),
        pl.col("event_ms") >= pl.col("whole") - reach_ms,
    )
    features = {f"{view.name}.{name}": _feature(feature, view.ttl) for name, feature in view.features.items()}
    found = pairs.sort("_seen", "event_ms", "record_id").group_by("_row").agg(**features)
    counted = [name for name, f in zip(features, view.features.values(), strict=True) if f.aggregate in _ZERO]
    return asked.select("_row").join(found, on="_row", how="left").with_columns(pl.col(counted).fill_null(0.0))


_ZERO = (Aggregate.COUNT, Aggregate.SUM, Aggregate.DISTINCT_COUNT)


def _feature(feature: Feature, ttl_ms: int) -> pl.Expr:
    """Over the events of one record, by (time, id)."""
    reach_ms = min(feature.over or ttl_ms, ttl_ms)
    known = pl.col(f"of.{feature.of}").is_not_null() if feature.of else pl.lit(True)
    reached = known & (pl.col("event_ms") >= pl.col("whole") - reach_ms)
    counts = reached & (pl.col("event_ms") < pl.col("at"))
    times = pl.col("event_ms")
    match feature.aggregate:
        case Aggregate.COUNT:
            return times.filter(counts).len().cast(pl.Float64)
        case Aggregate.TIME_SINCE_LAST:
            newest_ms = times.filter(reached).last()
            return pl.when(newest_ms < pl.col("at").first()).then((pl.col("at").first() - newest_ms) / 1_000)
        case Aggregate.LAST:
            newest_ms = times.filter(reached).last()
            return pl.when(newest_ms < pl.col("at").first()).then(pl.col(f"of.{feature.of}").filter(reached).last())
        case Aggregate.EWM_MEAN:
            newest_ms = times.filter(known).last()
            half_life_ms = feature.half_life or 1
            weighed = counts & (times >= newest_ms - _HALF_LIVES * half_life_ms)
            weights = (
                -(times.filter(weighed).last() - times.filter(weighed)) / half_life_ms * 0.6931471805599453
            ).exp()
            return (weights * pl.col(f"of.{feature.of}").filter(weighed)).sum() / weights.sum()
        case _:
            return _of_numbers(feature.aggregate, pl.col(f"of.{feature.of}").filter(counts))


def _of_numbers(aggregate: Aggregate, values: pl.Expr) -> pl.Expr:
    match aggregate:
        case Aggregate.SUM:
            return values.sum()
        case Aggregate.MEAN:
            return values.mean()
        case Aggregate.STD:
            return values.std(ddof=1)
        case Aggregate.MIN:
            return values.min()
        case Aggregate.MAX:
            return values.max()
        case Aggregate.DISTINCT_COUNT:
            return values.n_unique().cast(pl.Float64)
        case _:
            raise ValueError(f"{aggregate} is no aggregate of values alone")
