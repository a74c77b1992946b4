"""Streams of records for the tests of inputs, and what `shared.inputs` computes as they come in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from shared.contracts.definitions import FeatureView, Model, Source
from shared.contracts.flow import Inputs
from shared.contracts.topology import Definitions
from shared.inputs.vector import InputPlan
from shared.inputs.windows import WindowState, observe

# record id, event time, entity, fields
Record = tuple[str, int, str, dict[str, Any]]

EVERY_AGGREGATE = {
    "n": {"aggregate": "count", "over": "60s"},
    "total": {"aggregate": "sum", "of": "x", "over": "60s"},
    "average": {"aggregate": "mean", "of": "x", "over": "30s"},
    "deviation": {"aggregate": "std", "of": "x", "over": "60s"},
    "least": {"aggregate": "min", "of": "x", "over": "20s"},
    "most": {"aggregate": "max", "of": "x", "over": "500s"},
    "latest": {"aggregate": "last", "of": "x"},
    "latest_near": {"aggregate": "last", "of": "x", "over": "15s"},
    "latest_text": {"aggregate": "last", "of": "c"},
    "kinds": {"aggregate": "distinct_count", "of": "c", "over": "60s"},
    "values": {"aggregate": "distinct_count", "of": "x", "over": "60s"},
    "idle": {"aggregate": "time_since_last"},
    "idle_near": {"aggregate": "time_since_last", "over": "10s"},
    "smooth": {"aggregate": "ewm_mean", "of": "x", "half_life": "10s"},
    "smooth_near": {"aggregate": "ewm_mean", "of": "x", "half_life": "500ms", "over": "30s"},
}


def view(
    features: dict[str, Any], ttl: str = "100s", name: str = "v", source: str = "s", key: str = "k"
) -> FeatureView:
    return FeatureView.model_validate({"name": name, "source": source, "entity": key, "ttl": ttl, "features": features})


def source(fields: dict[str, Any], allowed_lateness: str = "0s", name: str = "s") -> Source:
    return Source.model_validate(
        {
            "name": name,
            "key": "k",
            "id": "id",
            "time": {"field": "at", "allowed_lateness": allowed_lateness, "clock": "events"},
            "fields": fields,
        }
    )


def model(inputs: dict[str, Any], scores: str = "s") -> Model:
    return Model.model_validate(
        {
            "name": "m",
            "scores": scores,
            "task": "binary",
            "inputs": inputs,
            "label": {"source": "labels", "field": "y", "joins": "id", "matures_after": "1h", "expires_after": "2h"},
        }
    )


def definitions(one: Source, *views: FeatureView) -> Definitions:
    return Definitions({one.name: one}, {v.name: v for v in views}, {})


def inputs_online(known: Definitions, scored: Model, records: Sequence[Record]) -> list[Inputs]:
    """The inputs of each record as the log goes by: evaluated before the record itself is observed."""
    plan = InputPlan.of(scored, known)
    lateness_ms = known.sources[scored.scores].time.allowed_lateness
    states: dict[str, dict[str, WindowState | None]] = {}
    found: list[Inputs] = []
    for record_id, time_ms, entity, value in records:
        windows = states.setdefault(entity, {})
        found.append(plan.inputs(value, time_ms, windows))
        for name, one in plan.views.items():
            windows[name] = observe(one, windows.get(name), time_ms, record_id, value, allowed_lateness_ms=lateness_ms)
    return found


def as_frame(records: Sequence[Record], schema: dict[str, Any]) -> pl.DataFrame:
    rows = [
        {"position": i, "record_id": r, "time_ms": t, "key": k, **{name: v.get(name) for name in schema}}
        for i, (r, t, k, v) in enumerate(records)
    ]
    head = {"position": pl.Int64, "record_id": pl.String, "time_ms": pl.Int64, "key": pl.String}
    return pl.DataFrame(rows, {**head, **schema})
