"""`traceparent` by the specification: what is valid, what is ignored, and what an event makes of it."""

from __future__ import annotations

import re

import pytest

from shared.contracts.identity import derived_id, record_cause
from shared.contracts.trace_context import begun, carried_on, read_traceparent, trace_id_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = f"00-{TRACE}-{SPAN}-01"
VALID = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[0-3]")


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (GIVEN, GIVEN),
        (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00"),
        (f"00-{TRACE}-{SPAN}-03", f"00-{TRACE}-{SPAN}-03"),
        (f"00-{TRACE}-{SPAN}-ff", f"00-{TRACE}-{SPAN}-03"),
        (f"cc-{TRACE}-{SPAN}-01", GIVEN),
        (f"cc-{TRACE}-{SPAN}-03", GIVEN),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-holds", GIVEN),
    ],
)
def test_what_is_valid_is_read_as_version_00_with_the_flags_that_are_known(given: str, read: str) -> None:
    assert read_traceparent([given]) == read


@pytest.mark.parametrize(
    "given",
    [
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01-",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"0G-{TRACE}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}0-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}",
        f"00_{TRACE}_{SPAN}_01",
        f" {GIVEN}",
        f"{GIVEN}\n",
        GIVEN.replace("0", "\u0660"),
    ],
)
def test_what_is_invalid_is_ignored(given: str) -> None:
    assert read_traceparent([given]) is None


def test_without_a_header_or_with_two_there_is_no_trace() -> None:
    assert read_traceparent([]) is None
    assert read_traceparent([GIVEN, GIVEN]) is None


def test_an_event_carries_on_the_trace_under_a_span_of_its_own() -> None:
    events = [derived_id("cause", "event", "k", n) for n in range(50)]
    carried = [carried_on(GIVEN, event) for event in events]
    assert {(one[:36], one[52:]) for one in carried} == {(GIVEN[:36], GIVEN[52:])}
    assert len({one[36:52] for one in (*carried, GIVEN)}) == 51
    assert all(VALID.fullmatch(one) for one in carried)
    assert carried == [carried_on(GIVEN, event) for event in events]


def test_a_trace_without_a_client_has_the_id_of_its_first_cause_and_is_not_sampled() -> None:
    cause = record_cause("orders", "o1")
    first, second = (begun(cause, derived_id(cause, "event", "", n)) for n in range(2))
    assert trace_id_of(first) == trace_id_of(second) == cause.replace("-", "")
    assert first != second
    assert VALID.fullmatch(first)
    assert first.endswith("-00")


def test_a_cause_of_any_form_gives_a_valid_trace_of_its_own() -> None:
    event = derived_id("cause", "event")
    traces = [begun(cause, event) for cause in ("q1", "q2", "", "F" * 32, "ä" * 32)]
    assert all(VALID.fullmatch(one) for one in traces)
    assert len(set(traces)) == 5
    assert trace_id_of(None) is None
