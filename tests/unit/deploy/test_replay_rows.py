"""A file's rows become the records that a Replay document says, and no label comes early or too late."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.local.replay_blocks import blocks
from deploy.local.replay_rows import Records, ReplayRefused, ReplayRows, due_times, parse_label_delay, read_rows
from shared.contracts.definitions import HoldBack
from shared.contracts.envelope import epoch_ms
from shared.contracts.topology import NO_DEFINITIONS
from shared.runtime.definition_files import load
from tests import builders as b
from tests.shared_data import shared_file

ROOT = Path(__file__).resolve().parents[3]
HALF_HOUR_MS, HOUR_MS, DAY_MS = 1_800_000, 3_600_000, 86_400_000
START_MS = epoch_ms("1996-05-07T00:00:00Z")


def rows_of(example: str, file: Path, *, limit: int | None = None, label_delay: str | None = None) -> ReplayRows:
    loaded = load(ROOT / "examples" / example / "definitions.yaml")
    definitions = NO_DEFINITIONS.with_applied(loaded.published)
    return read_rows(loaded.replays[0], definitions, file, limit=limit, label_delay=label_delay)


def electricity(limit: int | None = None, label_delay: str | None = None) -> ReplayRows:
    return rows_of("electricity", shared_file("electricity.csv"), limit=limit, label_delay=label_delay)


def bike(limit: int | None = None, label_delay: str | None = None) -> ReplayRows:
    return rows_of("bike", shared_file("bike-hour.csv"), limit=limit, label_delay=label_delay)


def test_electricity_gets_id_key_and_time_that_its_file_lacks() -> None:
    rows = electricity()
    assert len(rows.records) == 45_312
    assert list(rows.records.times_ms) == [START_MS + i * HALF_HOUR_MS for i in range(45_312)]
    first = rows.records.at(0)
    assert (first.topic, first.partition, first.key) == ("electricity", 0, b"nsw")
    value = orjson.loads(rows.records.at(45_311).value)
    assert (value["reading"], value["market"], value["at"]) == (45_311, "nsw", "1998-12-06T23:30:00.000Z")
    assert {"period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer"} < value.keys()
    assert "class" not in value
    assert "up" not in value


def test_electricity_labels_carry_their_own_row_and_come_48_rows_later() -> None:
    rows = electricity()
    assert rows.labels is not None
    truth = pl.read_csv(shared_file("electricity.csv"))["class"].to_list()
    for row in (0, 1, 20_000, 45_311):
        value = orjson.loads(rows.labels.at(row).value)
        assert (value["reading"], value["up"]) == (row, truth[row])
        assert epoch_ms(value["known_at"]) == START_MS + (row + 48) * HALF_HOUR_MS


def test_bike_hours_take_their_time_from_two_columns_and_keep_their_gaps() -> None:
    rows = bike()
    times_ms = rows.records.times_ms
    assert len(rows.records) == 17_379
    assert times_ms[0] == epoch_ms("2011-01-01T00:00:00Z")
    assert times_ms[-1] == epoch_ms("2012-12-31T23:00:00Z")
    steps_ms = {later - earlier for earlier, later in pairwise(times_ms)}
    assert min(steps_ms) == HOUR_MS
    assert max(steps_ms) > HOUR_MS
    value = orjson.loads(rows.records.at(17_378).value)
    assert (value["instant"], value["city"], value["hr"]) == (17_379, "washington", 23)
    assert {"cnt", "casual", "registered"}.isdisjoint(value)


def test_bike_labels_are_due_a_day_after_their_hour_whatever_is_missing() -> None:
    rows = bike()
    assert rows.labels is not None
    assert [due - at for due, at in zip(rows.labels.times_ms, rows.records.times_ms, strict=True)] == [DAY_MS] * 17_379
    assert orjson.loads(rows.labels.at(0).value) == {
        "city": "washington", "instant": 1, "rentals": 16.0, "known_at": "2011-01-02T00:00:00.000Z",
    }  # fmt: skip


def test_a_delay_in_records_over_missing_hours_is_refused_with_the_first_row() -> None:
    with pytest.raises(ReplayRefused) as refused:
        bike(label_delay="24")
    found = re.match(r"row (\d+) ", str(refused.value))
    assert found is not None
    times_ms = bike().records.times_ms
    row = int(found[1])
    assert times_ms[row + 24] - times_ms[row] > DAY_MS
    assert all(times_ms[i + 24] - times_ms[i] <= DAY_MS for i in range(row))
    assert "duration" in str(refused.value)


def test_a_delay_longer_than_maturity_is_refused() -> None:
    with pytest.raises(ReplayRefused, match=r"row 0 .*price_up_never.*matures_after 1d"):
        electricity(limit=200, label_delay="49")
    with pytest.raises(ReplayRefused, match="label-delay a while"):
        electricity(limit=200, label_delay="a while")


@pytest.mark.parametrize(
    ("example", "limit", "label_delay"),
    [(electricity, 2_000, None), (bike, 2_000, None), (electricity, 500, "10"), (bike, 500, "3h")],
)
@pytest.mark.parametrize("size", [1, 7, 48, 1_000])
def test_in_blocks_no_label_is_early_and_none_is_missed(
    example: Callable[[int, str | None], ReplayRows], limit: int, label_delay: str | None, size: int
) -> None:
    rows = example(limit, label_delay)
    assert rows.labels is not None
    times_ms, due_ms = rows.records.times_ms, rows.labels.times_ms
    published = labelled = 0
    tick_ms = times_ms[0]
    for block in blocks(times_ms, due_ms, size):
        assert len(block.records) <= size
        if block.records:
            assert block.records.start == published
            assert times_ms[published] >= tick_ms
            assert times_ms[block.records.stop - 1] == block.end_ms < due_ms[published]
            published = block.records.stop
        assert block.labels.start == labelled
        assert block.labels.stop <= published
        assert all(tick_ms <= due_ms[row] <= block.end_ms for row in block.labels)
        labelled = block.labels.stop
        assert labelled == published or due_ms[labelled] > block.end_ms
        tick_ms = block.end_ms
    assert published == labelled == len(times_ms)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([None, "a", "b", "c", "d", "e"]), st.sampled_from([None, *"123456789"]))),
    st.integers(1, 6),
)
def test_a_block_holds_each_entity_once_and_ends_no_earlier_than_that(
    rows: list[tuple[str | None, str | None]], size: int
) -> None:
    times_ms = list(range(len(rows)))
    entities = [[row[place] for row in rows] for place in (0, 1)]
    cut = list(blocks(times_ms, None, size, entities))
    assert [row for block in cut for row in block.records] == times_ms
    for block in cut:
        for names in entities:
            held = [names[row] for row in block.records if names[row] is not None]
            assert len(set(held)) == len(held)
        after = block.records.stop
        if after < len(rows) and len(block.records) < size:
            assert any(names[after] in (names[row] for row in block.records) for names in entities)


def test_rows_name_entities_as_the_platform_calls_them() -> None:
    source = b.source(fields={"card_id": "string", "shop": "integer"})
    records = Records(source, [1, 2, 3, 4], {"card_id": ["a"] * 4, "shop": [7, 7.0, None, 8]})
    assert records.names("shop") == ["7", "7", None, "8"]
    assert records.names("terminal") == [None] * 4, "an optional field that the file does not have"


def test_due_times_beyond_the_end_go_on_with_the_last_step() -> None:
    assert due_times([0, 10, 30, 35], HoldBack(records=2)) == [30, 35, 40, 45]
    assert due_times([0, 10, 10], HoldBack(records=1)) == [10, 10, 20]
    assert due_times([7], HoldBack(records=3)) == [7]
    assert due_times([0, 10, 30], HoldBack(duration=5)) == [5, 15, 35]


def test_a_delay_is_a_number_of_records_or_a_duration() -> None:
    assert parse_label_delay("48") == HoldBack(records=48)
    assert parse_label_delay("30m") == HoldBack(duration=HALF_HOUR_MS)


def _file(folder: Path, **columns: list[object]) -> Path:
    file = folder / "hours.parquet"
    pl.DataFrame(columns).write_parquet(file)
    return file


_WEATHER: dict[str, list[object]] = {
    name: [1, 1, 1] for name in ("season", "weekday", "workingday", "weathersit", "temp", "hum", "windspeed", "cnt")
}


def test_a_time_that_falls_is_refused_with_its_row(tmp_path: Path) -> None:
    file = _file(tmp_path, instant=[1, 2, 3], dteday=[20110101] * 3, hr=[5, 6, 4], **_WEATHER)
    with pytest.raises(ReplayRefused, match=r"row 2 of hours.parquet lies at 2011-01-01T04.*sort the file by time"):
        rows_of("bike", file)


def test_a_time_that_is_missing_is_refused_with_its_row(tmp_path: Path) -> None:
    file = _file(tmp_path, instant=[1, 2, 3], dteday=[20110101] * 3, hr=[5, None, 6], **_WEATHER)
    with pytest.raises(ReplayRefused, match=r"row 1 of hours.parquet: its time"):
        rows_of("bike", file)


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    file = _file(tmp_path, instant=[1, 2, 3], dteday=[20110101] * 3, hour=[5, 6, 7], **_WEATHER)
    with pytest.raises(ReplayRefused, match="has no column 'hr'"):
        rows_of("bike", file)
    named = _file(tmp_path, dteday=[20110101] * 3, hr=[5, 6, 7], **_WEATHER)
    with pytest.raises(ReplayRefused, match="field instant of source bike_hours"):
        rows_of("bike", named)


def test_a_value_that_is_missing_is_left_out(tmp_path: Path) -> None:
    weather: dict[str, list[object]] = {**_WEATHER, "temp": [0.5, None, 0.5]}
    file = _file(tmp_path, instant=[1, 2, 3], dteday=[20110101] * 3, hr=[5, 6, 7], **weather)
    rows = rows_of("bike", file)
    assert "temp" in orjson.loads(rows.records.at(0).value)
    assert "temp" not in orjson.loads(rows.records.at(1).value)


def test_a_file_that_is_not_there_or_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReplayRefused, match="cannot be read"):
        rows_of("bike", tmp_path / "none.csv")
    with pytest.raises(ReplayRefused, match="no rows"):
        electricity(limit=0)


def test_a_file_of_another_format_is_refused_with_what_is_expected(tmp_path: Path) -> None:
    file = tmp_path / "hours.yaml"
    file.write_text("a: 1\nb: [1, 2, 3]\n")
    with pytest.raises(ReplayRefused) as refused:
        rows_of("bike", file)
    [line] = str(refused.value).splitlines()
    assert "cannot be read as CSV" in line
    assert "expected a CSV file with a header, or a Parquet file with a name in .parquet or .pq" in line
