"""Window states: which events count, what is held, and that neither order of arrival nor JSON changes a bit."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.definitions import FeatureView
from shared.inputs.windows import WindowState, evaluate, forget_ms, observe
from tests.unit.inputs.streams import EVERY_AGGREGATE, view

Event = tuple[int, str, dict[str, Any]]
EVERY = view(EVERY_AGGREGATE)


def held(one: FeatureView, *events: Event, lateness_ms: int = 0, state: WindowState | None = None) -> WindowState:
    for time_ms, order, value in events:
        state = observe(one, state, time_ms, order, value, allowed_lateness_ms=lateness_ms)
    assert state is not None
    return state


def xs(*values: float | None, step_ms: int = 1_000) -> list[Event]:
    return [(i * step_ms, f"r{i:03}", {"x": value}) for i, value in enumerate(values)]


def test_an_unknown_entity_counts_zero_and_knows_nothing_else() -> None:
    found = evaluate(EVERY, None, 0)
    zero = {"n", "total", "kinds", "values"}
    assert found == {name: 0.0 if name in zero else None for name in EVERY_AGGREGATE}


def test_every_aggregate() -> None:
    state = held(EVERY, *((t, o, {**v, "c": "ab"[t // 1_000 % 2]}) for t, o, v in xs(1.0, 2.0, 2.0, 5.0)))
    weights = [0.5 ** ((6 - t) / 10) for t in range(4)]
    found = evaluate(EVERY, state, 6_000)
    assert found["smooth"] == pytest.approx(sum(map(lambda w, x: w * x, weights, (1, 2, 2, 5))) / sum(weights))
    assert found["deviation"] == pytest.approx(math.sqrt(3))
    exact = {name: found[name] for name in ("n", "total", "average", "least", "most", "latest", "latest_text")}
    assert exact == {
        "n": 4.0,
        "total": 10.0,
        "average": 2.5,
        "least": 1.0,
        "most": 5.0,
        "latest": 5.0,
        "latest_text": "b",
    }
    assert (found["kinds"], found["values"], found["idle"]) == (2.0, 3.0, 3.0)


def test_a_window_includes_its_beginning_and_not_its_end() -> None:
    counting = view({"n": {"aggregate": "count", "over": "10s"}, "last": {"aggregate": "last", "of": "x"}})
    state = held(counting, (0, "a", {"x": 1.0}), (10_000, "b", {"x": 2.0}))
    assert evaluate(counting, state, 10_000) == {"n": 1.0, "last": 1.0}
    assert evaluate(counting, state, 10_001) == {"n": 1.0, "last": 2.0}
    assert evaluate(counting, state, 0) == {"n": 0.0, "last": None}


def test_the_ttl_bounds_a_longer_window_and_a_feature_without_one() -> None:
    short = view({"n": {"aggregate": "count", "over": "60s"}, "idle": {"aggregate": "time_since_last"}}, ttl="10s")
    state = held(short, (0, "a", {}))
    assert evaluate(short, state, 10_000) == {"n": 1.0, "idle": 10.0}
    assert evaluate(short, state, 10_001) == {"n": 0.0, "idle": None}


def test_ties_in_time_are_ordered_by_record_id() -> None:
    latest = view({"last": {"aggregate": "last", "of": "x"}})
    one, other = (5, "b", {"x": 2.0}), (5, "a", {"x": 1.0})
    for events in ((one, other), (other, one)):
        assert evaluate(latest, held(latest, *events), 6) == {"last": 2.0}


def test_missing_null_and_infinite_values_are_no_events_of_a_field() -> None:
    state = held(EVERY, (0, "a", {"x": 3.0}), (1, "b", {"x": None}), (2, "c", {}), (3, "d", {"x": math.inf}))
    found = evaluate(EVERY, state, 10)
    assert (found["n"], found["average"], found["latest"], found["deviation"]) == (4.0, 3.0, 3.0, None)


def test_booleans_and_integers_are_numbers_and_texts_are_not() -> None:
    state = held(EVERY, (0, "a", {"x": True}), (1, "b", {"x": 4}), (2, "c", {"x": "many"}))
    found = evaluate(EVERY, state, 10)
    assert (found["total"], found["average"], found["values"], found["latest"]) == (5.0, 2.5, 3.0, "many")
    assert found["smooth"] == pytest.approx(2.5, rel=1e-3)


def test_what_never_varies_has_no_deviation() -> None:
    state = held(EVERY, *xs(*[0.1] * 6))
    assert evaluate(EVERY, state, 6_000)["deviation"] == 0.0


def test_what_no_double_can_hold_is_missing() -> None:
    found = evaluate(EVERY, held(EVERY, *xs(1.7e308, 1.7e308, -1.0)), 3_000)
    assert (found["total"], found["average"], found["deviation"], found["most"]) == (None, None, None, 1.7e308)


def test_weights_do_not_vanish_however_old_the_events() -> None:
    smooth = view({"e": {"aggregate": "ewm_mean", "of": "x", "half_life": "1s"}}, ttl="30d")
    state = held(smooth, *xs(1.0, 4.0))
    assert evaluate(smooth, state, 86_400_000) == {"e": 3.0}


def test_a_late_event_enters_a_window_that_is_still_held() -> None:
    counting = view({"n": {"aggregate": "count", "over": "10s"}})
    state = held(counting, (0, "a", {}), (20_000, "b", {}), (12_000, "late", {}), lateness_ms=5_000)
    assert evaluate(counting, state, 20_001) == {"n": 2.0}
    assert evaluate(counting, state, 15_000) == {"n": 1.0}


def test_what_windowless_features_hold_does_not_grow_with_the_ttl() -> None:
    one = view({"l": {"aggregate": "last", "of": "x"}, "i": {"aggregate": "time_since_last"}}, ttl="30d")
    state = held(one, *xs(*map(float, range(500))), lateness_ms=3_000)
    assert {name: len(s["t"]) for name, s in state.as_json()["of"].items()} == {"x": 5, "*": 5}
    # The newest before the oldest time that may be asked for.
    assert evaluate(one, state, 496_000) == {"l": 495.0, "i": 1.0}


def test_a_feature_does_not_see_what_others_make_the_view_hold() -> None:
    """A record later than allowed gets the same from a view with one feature as from a view with all."""
    events = [*xs(*map(float, range(90))), (30_000, "late", {"x": -1.0})]
    for at_ms in (20_000, 45_500, 80_000, 95_000):
        everything = evaluate(EVERY, held(EVERY, *events, lateness_ms=5_000), at_ms)
        for name, feature in EVERY_AGGREGATE.items():
            alone = view({name: feature})
            assert evaluate(alone, held(alone, *events, lateness_ms=5_000), at_ms)[name] == everything[name], name


def test_a_state_stays_what_it_was_when_newer_ones_are_made_from_it() -> None:
    first = held(EVERY, *xs(1.0, 2.0))
    before = json.dumps(first.as_json())
    one = held(EVERY, (9_000, "one", {"x": 7.0}), state=first)
    other = held(EVERY, (9_000, "other", {"x": 8.0}), state=first)
    late = held(EVERY, (500, "late", {"x": 9.0}), state=first)
    assert json.dumps(first.as_json()) == before
    assert [evaluate(EVERY, s, 9_001)["total"] for s in (first, one, other, late)] == [3.0, 10.0, 11.0, 12.0]


def test_a_long_stream_keeps_no_more_than_its_window() -> None:
    counting = view({"n": {"aggregate": "count", "over": "10s"}})
    state = held(counting, *((i * 100, f"{i:05}", {}) for i in range(5_000)))
    assert evaluate(counting, state, 499_901) == {"n": 100.0}
    assert len(state.series["*"].times) < 400


def test_a_state_is_of_use_until_its_last_event_is_out_of_every_reach() -> None:
    one = view({"n": {"aggregate": "count", "over": "10s"}, "last": {"aggregate": "last", "of": "x", "over": "30s"}})
    assert forget_ms(one, None) is None
    state = held(one, (0, "a", {"x": 1.0}), (5_000, "b", {}))
    due_ms = forget_ms(one, state)
    assert due_ms == 30_000
    assert evaluate(one, state, due_ms) == {"n": 0.0, "last": 1.0}
    assert evaluate(one, state, due_ms + 1) == evaluate(one, None, due_ms + 1)
    empty = held(view({"last": {"aggregate": "last", "of": "x"}}), (5_000, "b", {}))
    assert forget_ms(one, empty) == 5_000


values = st.one_of(st.floats(-1e12, 1e12), st.integers(-5, 5), st.none(), st.booleans())
events_ = st.lists(st.tuples(st.integers(0, 90).map(lambda s: s * 1_000), values), min_size=1, max_size=60)


@settings(max_examples=150, deadline=None)
@given(events=events_, at_s=st.integers(0, 120), seed=st.integers(0, 1_000))
def test_neither_the_order_of_arrival_nor_json_changes_a_bit(
    events: list[tuple[int, Any]], at_s: int, seed: int
) -> None:
    numbered: list[Event] = [(t, f"r{i:02}", {"x": x, "c": "abc"[i % 3]}) for i, (t, x) in enumerate(events)]
    shuffled = random.Random(seed).sample(numbered, len(numbered))
    expected = evaluate(EVERY, held(EVERY, *numbered, lateness_ms=100_000), at_s * 1_000)
    state = None
    for event in shuffled:
        state = held(EVERY, event, lateness_ms=100_000, state=state)
        state = WindowState.from_json(json.loads(json.dumps(state.as_json(), allow_nan=False)))
    # repr tells every bit of a float, the sign of zero included.
    assert repr(evaluate(EVERY, state, at_s * 1_000)) == repr(expected)
