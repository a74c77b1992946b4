"""`shared.inputs` against the second computation, in polars with other code: equal for every record."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.contracts.definitions import Aggregate
from shared.contracts.flow import Inputs, InputValue
from shared.contracts.topology import Definitions
from tests.scenarios.inputs_again import inputs_again
from tests.shared_data import shared_file
from tests.unit.inputs.streams import (
    EVERY_AGGREGATE,
    Record,
    as_frame,
    definitions,
    inputs_online,
    model,
    source,
    view,
)

FIELDS: dict[str, Any] = {"x": {"type": "number", "optional": True}, "c": {"type": "string", "optional": True}}
SCHEMA: dict[str, Any] = {"x": pl.Float64, "c": pl.String}
# Two float32 apart at most: the sums of polars round at each step, ours once.
CLOSE = 2.0**-22
EXACT = {*Aggregate} - {Aggregate.SUM, Aggregate.MEAN, Aggregate.STD, Aggregate.EWM_MEAN}

_values = st.one_of(st.none(), st.integers(-3, 3).map(float), st.floats(-1e4, 1e4, width=32))
_steps = st.one_of(st.integers(-3, 10), st.sampled_from([0, 0, 1, 10, 15, 20, 30, 60, 100, -30, -130, 500]))


@st.composite
def streams(draw: st.DrawFn) -> list[Record]:
    """Records of three entities: times in whole seconds step on, stand still, and fall back by more than the ttl."""
    time_s, records = 1_000_000, []
    for i in range(draw(st.integers(1, 40))):
        time_s += draw(_steps)
        value = {"x": draw(_values), "c": draw(st.sampled_from([None, "a", "b", "c"]))}
        # Ids in another order than the log, so that ties are told apart by id and by nothing else.
        records.append((f"r{i * 37 % 41:02}", time_s * 1_000, draw(st.sampled_from("pqr")), value))
    return records


def assert_equal(
    known: Definitions, online: list[Inputs], again: pl.DataFrame, records: list[Record], scale: float = 0.0
) -> None:
    """`scale`: the size of the values whose sums may cancel, which bounds how far two orders of adding differ."""
    exact = {f"{v.name}.{name}" for v in known.views.values() for name, f in v.features.items() if f.aggregate in EXACT}
    assert again["record_id"].to_list() == [record[0] for record in records]
    differences = [
        (i, name, row[name], other[name])
        for i, (row, other) in enumerate(zip(online, again.drop("record_id").iter_rows(named=True), strict=True))
        for name in {*row, *other}
        if row[name] != other[name] and (name in exact or not _close(row[name], other[name], scale))
    ]
    assert not differences, f"{len(differences)} differ, first {differences[:5]}"


def _close(a: InputValue, b: InputValue, scale: float) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=CLOSE, abs_tol=scale * 1e-11)
    return False


@pytest.mark.parametrize("lateness", ["0s", "25s"])
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(records=streams())
def test_every_aggregate_of_out_of_order_streams(lateness: str, records: list[Record]) -> None:
    scored = model(
        {
            "fields": ["x", "c"],
            "derived": {
                "hour": "hour(at)",
                "ratio": "x / (v.average + 1)",
                "recent": "1 if v.idle < 5 and v.n > 2 else 0",
                "named": "coalesce(v.latest_text, c, 'none')",
            },
            "views": ["v", "w"],
        }
    )
    other = view({"seen": {"aggregate": "count", "over": "10s"}}, name="w")
    known = definitions(source(FIELDS, lateness), view(EVERY_AGGREGATE), other)
    online = inputs_online(known, scored, records)
    assert_equal(known, online, inputs_again(known, scored, as_frame(records, SCHEMA)), records, scale=1e4)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(records=streams(), draw=st.data())
def test_a_view_by_another_entity_in_the_order_of_its_own_log(records: list[Record], draw: st.DataObject) -> None:
    """Some records name nobody there, some were never seen by the view."""
    shops = draw.draw(st.lists(st.sampled_from([None, 1, 2]), min_size=len(records), max_size=len(records)))
    came = draw.draw(st.permutations(range(len(records))))
    unseen = draw.draw(st.sets(st.sampled_from(range(len(records)))))
    by_shop = view(EVERY_AGGREGATE, key="shop")
    known = definitions(source({**FIELDS, "shop": {"type": "integer", "optional": True}}, "25s"), by_shop)
    scored = model({"fields": ["x"], "views": ["v"]})
    there = [row for row in came if row not in unseen]
    by_name = [(r, t, str(shops[row]), v) for row in there for r, t, _, v in [records[row]]]
    # Whoever names nobody is alone.
    alone = [(r, t, s if s != "None" else f"nobody {n}", v) for n, (r, t, s, v) in enumerate(by_name)]
    online = {record[0]: inputs for record, inputs in zip(alone, inputs_online(known, scored, alone), strict=True)}
    places = [None if row in unseen else there.index(row) for row in range(len(records))]
    extra = {"shop": pl.Series(shops, dtype=pl.Int64), "seen.v": pl.Series(places, dtype=pl.Int64)}
    again = inputs_again(known, scored, as_frame(records, SCHEMA).with_columns(**extra))
    kept = [record for record in records if record[0] in online]
    of_kept = again.filter(pl.col("record_id").is_in(list(online)))
    assert_equal(known, [online[record[0]] for record in kept], of_kept, kept, scale=1e4)


def test_the_comparison_sees_a_record_that_looks_ahead() -> None:
    records: list[Record] = [(f"r{i}", 1_000 * i, "p", {"x": float(i), "c": "a"}) for i in range(20)]
    known = definitions(source(FIELDS), view(EVERY_AGGREGATE))
    scored = model({"views": ["v"]})
    again = inputs_again(known, scored, as_frame(records, SCHEMA))
    ahead = inputs_online(known, scored, [(r, t + 1, k, v) for r, t, k, v in records[:1]] + records[1:])
    with pytest.raises(AssertionError, match="differ"):
        assert_equal(known, ahead, again, records)


def _compare_file(
    frame: pl.DataFrame, times_ms: list[int], fields: list[str], views: dict[str, Any], derived: Any
) -> None:
    columns = [frame[name].cast(pl.Float64).to_list() for name in fields]
    values = [dict(zip(fields, row, strict=True)) for row in zip(*columns, strict=True)]
    records = [(str(i), times_ms[i], "all", value) for i, value in enumerate(values)]
    known = definitions(source(dict.fromkeys(fields, "number")), view(views, ttl="7d"))
    scored = model({"fields": fields, "derived": derived, "views": ["v"]})
    again = inputs_again(known, scored, as_frame(records, dict.fromkeys(fields, pl.Float64)))
    assert_equal(known, inputs_online(known, scored, records), again, records, scale=1.0)


def test_electricity() -> None:
    frame = pl.read_csv(shared_file("electricity.csv"))
    _compare_file(
        frame,
        [831_427_200_000 + 1_800_000 * i for i in range(len(frame))],
        ["period", "nswprice", "nswdemand", "vicprice", "transfer"],
        {
            "price_day": {"aggregate": "mean", "of": "nswprice", "over": "1d"},
            "price_spread": {"aggregate": "std", "of": "nswprice", "over": "1d"},
            "price_high": {"aggregate": "max", "of": "nswprice", "over": "12h"},
            "price_last": {"aggregate": "last", "of": "nswprice"},
            "demand_smooth": {"aggregate": "ewm_mean", "of": "nswdemand", "half_life": "3h"},
            "records": {"aggregate": "count", "over": "6h"},
        },
        {"dear": "nswprice / (v.price_day + 0.001)", "hour": "hour(at)", "weekday": "day_of_week(at)"},
    )


def test_bike_hours_with_hours_missing() -> None:
    frame = pl.read_csv(shared_file("bike-hour.csv"))
    days = frame["dteday"].cast(pl.String).str.to_date("%Y%m%d").cast(pl.Datetime("ms")).dt.epoch("ms")
    _compare_file(
        frame,
        (days + frame["hr"] * 3_600_000).to_list(),
        ["temp", "hum", "cnt"],
        {
            "rentals_day": {"aggregate": "sum", "of": "cnt", "over": "1d"},
            "least": {"aggregate": "min", "of": "cnt", "over": "6h"},
            "levels": {"aggregate": "distinct_count", "of": "cnt", "over": "1d"},
            "idle": {"aggregate": "time_since_last"},
            "hours": {"aggregate": "count", "over": "1d"},
        },
        {"missing_hours": "24 - v.hours", "month": "month(at)"},
    )
