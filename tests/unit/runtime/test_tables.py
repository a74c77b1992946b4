"""Where a reader of a table begins: with a copy, with an older one, at the beginning, or not at all; never between."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.runtime.followed_logs import Standing
from shared.runtime.log import OffsetOutOfRange
from shared.runtime.process import Process
from shared.runtime.table_copies import TableRow, decoded, encoded
from shared.runtime.tables import TableFollower
from tests import builders as b
from tests.unit.table_log import LOG, OWNER, READER, TOPIC, TOPIC_ID, TableLog, many, rows_of


def why_unread(process: Process) -> str | None:
    return TableFollower.of(process).why_unread(b.VIEW)


def test_a_reader_begins_with_the_newest_copy_and_never_asks_for_what_stands_before_it() -> None:
    table = TableLog()
    table.write(many(30))
    table.copy()
    table.write([*many(20, first=31), ("c3", 0)])
    newest = table.copy()
    table.host.broker.expire(LOG, newest.position)
    late = table.reader()
    assert rows_of(late) == table.rows
    assert late.followed.standing(LOG) == Standing(51, {OWNER: 51}, TOPIC_ID)
    table.write([*many(10, first=60), ("c4", 0)])
    table.turn(late)
    assert rows_of(late) == table.rows
    assert (why_unread(late), late.awaited) == (None, {})


def test_without_a_copy_the_log_is_read_from_its_beginning() -> None:
    table = TableLog()
    table.write(many(30))
    late = table.reader()
    assert (rows_of(late), why_unread(late)) == (table.rows, None)


def test_a_damaged_copy_is_passed_over_for_the_one_before_it() -> None:
    table = TableLog()
    table.write(many(30))
    older = table.copy()
    table.write(many(30, first=31))
    table.damage(table.copy())
    table.host.broker.expire(LOG, older.position)
    late = table.reader()
    assert rows_of(late) == table.rows


def test_while_the_store_is_away_a_log_that_holds_everything_is_read_from_its_beginning() -> None:
    table = TableLog()
    table.write(many(30))
    table.copy()
    table.store.away = True
    late = table.reader()
    assert (rows_of(late), why_unread(late)) == (table.rows, None)


def test_a_log_that_lost_its_beginning_is_not_begun_before_a_copy_can_be_read_and_it_is_said_why() -> None:
    table = TableLog()
    table.write(many(30))
    copied = table.copy()
    table.write(many(5, first=31))
    table.host.broker.expire(LOG, 20)
    table.store.away = True
    late = table.reader()
    assert rows_of(late) == {}
    said = late.awaited[f"table {LOG.topic}/0"]
    assert said.startswith("its log begins at 20")
    assert copied.table.uri in said
    assert said in (why_unread(late) or "")
    table.store.away = False
    table.turn(late)
    assert (rows_of(late), why_unread(late), late.awaited) == (table.rows, None, {})


def test_what_is_neither_in_the_log_nor_in_a_copy_is_named_and_the_next_copy_is_waited_for() -> None:
    table = TableLog()
    table.write(many(30))
    table.copy()
    table.write(many(20, first=31))
    table.host.broker.expire(LOG, 40)
    late = table.reader()
    assert "entries 30 to 39 are gone" in late.awaited.get(f"table {LOG.topic}/0", "")
    assert rows_of(late) == {}
    table.copy()
    table.turn(late)
    assert (rows_of(late), late.awaited) == (table.rows, {})


def test_a_reader_from_whom_the_log_took_what_it_had_not_read_begins_anew() -> None:
    table = TableLog()
    table.write(many(30))
    late = table.reader()
    table.write([*many(30, first=31), ("c1", 0)])
    copied = table.copy()
    table.host.broker.expire(LOG, copied.position)
    table.write(many(3, first=70))
    late.read(0.0)
    assert "begun anew" in (why_unread(late) or "")
    table.turn(late)
    assert (rows_of(late), why_unread(late)) == (table.rows, None)


@pytest.mark.parametrize("entries", [2, 9])
@pytest.mark.parametrize("restart", [False, True])
def test_a_log_that_was_deleted_and_made_anew_is_not_read_on(restart: bool, entries: int) -> None:
    """The new one has fewer entries than were read of the former, or more."""
    table = TableLog()
    table.write(many(5))
    table.copy()
    process, rows = table.reader(), dict(table.rows)
    assert rows_of(process) == rows
    table.make_anew()
    table.write(many(entries, first=6))
    if restart:
        process = table.reader()
    table.turn(process)
    said = f"reader, which follows it, has read the topic {TOPIC} up to 5, but that was deleted"
    assert said in (why_unread(process) or "")
    assert said in process.awaited[f"follow {TOPIC}/0"]
    table.write(many(3, first=50))
    table.turn(process)
    assert rows_of(process) == ({} if restart else rows)
    assert LOG not in process.followed


def test_a_copy_beyond_the_end_of_the_log_belongs_to_another_log_and_is_no_reason_to_begin_anew() -> None:
    table = TableLog()
    table.write(many(30))
    copied = table.copy()
    table.host.decide(copied.model_copy(update={"position": 99}))
    with pytest.raises(OffsetOutOfRange, match="Offset 99"):
        table.reader()


def test_the_newest_copy_is_known_once_the_decisions_are_read_to_their_end() -> None:
    """Definitions are in force long before the last copy: nobody begins with what stood then."""
    table = TableLog()
    table.write(many(30))
    table.copy()
    table.write(many(30, first=31))
    newest = table.copy()
    process = table.host.start(READER)
    turns = 0
    while process.followed.standing(LOG) is None:
        turns += 1
        assert turns < 50
        assert why_unread(process) is not None
        table.host.clock.pass_ms(200)
        process.read(0.0, 1)
        process.reconcile()
    assert process.history.position == 4
    assert process.followed.standing(LOG) == Standing(newest.position, {OWNER: 60}, TOPIC_ID)


def test_no_row_is_given_out_before_the_log_is_read_to_the_end_that_it_had() -> None:
    table = TableLog()
    table.write(many(30))
    process = table.host.start(READER)
    assert "looked for" in (why_unread(process) or "")
    for _ in range(200):
        table.host.clock.pass_ms(200)
        process.read(0.0, 1)
        process.reconcile()
        if why_unread(process) is None:
            break
        assert rows_of(process) != table.rows or "read" in (why_unread(process) or "")
    assert rows_of(process) == table.rows


STATES = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.none()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("aé\u2028\n\x00"),
    max_size=3,
)


@given(
    st.dictionaries(st.text("ab\n\u2028é\x85", max_size=4), st.tuples(STATES, st.integers(-(2**62), 2**62)), max_size=8)
)
def test_the_bytes_of_a_copy_give_its_rows_and_do_not_hang_on_their_order(
    found: dict[str, tuple[dict[str, object], int]],
) -> None:
    rows = {entity: TableRow(state, time_ms) for entity, (state, time_ms) in found.items()}
    data = encoded(rows)
    assert decoded(data) == rows
    assert encoded(dict(reversed(rows.items()))) == data


def test_a_copy_of_many_rows_is_read_whole() -> None:
    rows = {f"entity {n}": TableRow({"n": n, "text": "x" * (n % 300)}, n) for n in range(5_000)}
    assert decoded(encoded(rows)) == rows
