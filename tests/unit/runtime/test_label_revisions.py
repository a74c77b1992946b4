from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.runtime.label_revisions import LabelRevisions
from tests import builders as b

RECORDS = ("t1", "t2", "t3")


def revisions(said: list[tuple[str, int]]) -> LabelRevisions:
    made = LabelRevisions()
    for n, (record_id, time_ms) in enumerate(said):
        made.add(time_ms, b.revised(record_id=record_id, label=float(n), label_id=f"l{n}"))
    return made


@given(st.lists(st.tuples(st.sampled_from(RECORDS), st.integers(0, 8))), st.integers(-1, 9))
def test_the_last_in_the_log_that_is_no_later_than_asked_stands(said: list[tuple[str, int]], by_ms: int) -> None:
    expected = {record_id: (float(n), f"l{n}") for n, (record_id, time_ms) in enumerate(said) if time_ms <= by_ms}
    found = revisions(said).as_of(RECORDS, by_ms)
    assert {record_id: (held.label, held.label_id) for record_id, held in found.items()} == expected


def test_what_can_stand_at_no_time_is_let_go() -> None:
    assert len(revisions([("t1", 5)] * 1_000)) == 1
    assert len(revisions([("t1", n) for n in range(100)] + [("t1", 0)])) == 1
    assert len(revisions([("t1", 1), ("t1", 2), ("t2", 1)])) == 3


def test_only_the_records_that_are_asked_for_are_looked_at() -> None:
    held = revisions([(f"t{n}", n) for n in range(1_000)])
    assert held.as_of([], 1_000) == {}
    assert set(held.as_of(["t1", "t7", "elsewhere"], 1_000)) == {"t1", "t7"}
