"""All inputs of a replay computed a second time: joins in polars, sharing no code with `shared.inputs`.

A record sees the records of its entity that stand before it in the log and are earlier in event time. For a record
later than the allowed lateness, each feature looks back from the newest event time seen less the allowed lateness.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from shared.contracts.definitions import Aggregate, Feature, FeatureView, Model
from shared.contracts.expressions import parse
from shared.contracts.topology import Definitions
from tests.scenarios.polars_functions import POLARS

# A slice is joined with all that its entities did in its span: rows squared.
_SLICE_ROWS = 500
_HALF_LIVES = 64


def inputs_again(
    definitions: Definitions, model: Model, records: pl.DataFrame, as_seen_order: str = "position"
) -> pl.DataFrame:
    """`record_id` and the model's inputs, a row per record, in the order of the log.

    `records` has record_id, time_ms, key, a column per field of the source, and `as_seen_order`: the place in the log.
    Raises ValueError where a view reads another source or another entity than the records have.
    """
    source = definitions.sources[model.scores]
    seen = records.sort(as_seen_order).with_row_index("_seen")
    missing = [pl.lit(None, pl.Float64).alias(name) for name in source.fields if name not in seen.columns]
    numbers = [name for name, dtype in seen.schema.items() if dtype.is_numeric() or dtype == pl.Boolean]
    fields = seen.with_columns(missing).with_columns(
        pl.col(name).cast(pl.Float64) for name in source.fields if name in numbers
    )
    names = {
        name.partition(".")[0] for text in model.inputs.derived.values() for name in parse(text).names if "." in name
    }
    for name in sorted({*model.inputs.views, *names}):
        view = definitions.views[name]
        if (view.source, view.entity) != (source.name, source.key):
            raise ValueError(f"view {name} reads {view.source} by {view.entity}, the records are {source.name}'s")
        features = _view_features(view, seen, fields, source.time.allowed_lateness)
        fields = fields.join(features, on="_seen", how="left", maintain_order="left")
    scope = fields.with_columns(pl.col("time_ms").cast(pl.Float64).alias(source.time.field))
    columns = {name: pl.col(name) for name in model.inputs.fields}
    for name, text in model.inputs.derived.items():
        compiled = parse(text).compiled(POLARS)
        columns[name] = compiled(pl.col)
    for name in model.inputs.views:
        columns |= {f"{name}.{feature}": pl.col(f"{name}.{feature}") for feature in definitions.views[name].features}
    inputs = scope.select("record_id", **columns)
    return inputs.with_columns(_as_float32(name) for name, dtype in inputs.schema.items() if dtype == pl.Float64)


def _as_float32(name: str) -> pl.Expr:
    rounded = pl.col(name).cast(pl.Float32).cast(pl.Float64)
    return pl.when(rounded.is_finite()).then(rounded).alias(name)


def _view_features(view: FeatureView, seen: pl.DataFrame, fields: pl.DataFrame, lateness_ms: int) -> pl.DataFrame:
    used = sorted({feature.of for feature in view.features.values() if feature.of})
    newest_ms = pl.col("time_ms").cum_max().shift(1).over("key", order_by="_seen")
    asked = seen.select(
        "_seen",
        "key",
        at="time_ms",
        # The earliest time that the state behind all earlier records answers in full, if that is later.
        whole=pl.max_horizontal("time_ms", newest_ms - lateness_ms),
    )
    events = fields.select(
        "key", "record_id", event_seen="_seen", event_ms="time_ms", **{f"of.{name}": pl.col(name) for name in used}
    )
    reach_ms = max(min(feature.over or view.ttl, view.ttl) for feature in view.features.values())
    parts = [_aggregate(view, part, events, reach_ms) for part in _slices(asked)]
    return pl.concat(parts) if parts else pl.DataFrame({"_seen": []}, {"_seen": pl.UInt32})


def _slices(asked: pl.DataFrame) -> Iterator[pl.DataFrame]:
    # By entity and time, so that the events which a slice can see lie close together.
    return asked.sort("key", "at").iter_slices(_SLICE_ROWS)


def _aggregate(view: FeatureView, asked: pl.DataFrame, events: pl.DataFrame, reach_ms: int) -> pl.DataFrame:
    whole = pl.lit(asked["whole"])
    near = events.filter(
        pl.col("key").is_in(asked["key"].unique().to_list()),
        pl.col("event_ms").is_between(whole.min() - reach_ms, whole.max()),
    )
    pairs = asked.join(near, on="key").filter(
        pl.col("event_seen") < pl.col("_seen"),
        pl.col("event_ms") < pl.col("whole"),
        pl.col("event_ms") >= pl.col("whole") - reach_ms,
    )
    features = {f"{view.name}.{name}": _feature(feature, view.ttl) for name, feature in view.features.items()}
    found = pairs.sort("_seen", "event_ms", "record_id").group_by("_seen").agg(**features)
    counted = [name for name, f in zip(features, view.features.values(), strict=True) if f.aggregate in _ZERO]
    return asked.select("_seen").join(found, on="_seen", how="left").with_columns(pl.col(counted).fill_null(0.0))


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
