"""How long fetches wait, by what happened lately."""

from __future__ import annotations

import pytest

from shared.runtime.fetch_wait import ACTIVE_MS, AT_ONCE_MS, IDLE_MS, PAUSED_MS, SILENT_MS, FetchWait


def choose(
    wait: FetchWait,
    now_s: float,
    *,
    left_out: bool = False,
    proving: bool = False,
    prefetching: bool = False,
    paused: bool = False,
) -> int:
    return wait.choose_ms(now_s, left_out=left_out, proving=proving, prefetching=prefetching, paused=paused)


def test_on_the_embedded_broker_the_wait_grows_with_silence() -> None:
    wait = FetchWait(adapts=True)
    assert choose(wait, 50.0) == SILENT_MS
    for n in range(20):
        wait.records_came(90.5 + n / 2)  # every half a second
    assert [choose(wait, now_s) for now_s in (100.0, 100.1, 101.0, 102.5, 109.0)] == [
        ACTIVE_MS,
        ACTIVE_MS,
        100,
        250,
        SILENT_MS,
    ]
    wait.records_came(110.0)
    assert choose(wait, 110.1) == ACTIVE_MS


def test_what_comes_alone_keeps_nobody_awake() -> None:
    """As a tick every ten seconds does, with the signs of life that answer it."""
    wait = FetchWait(adapts=True)
    now_s, fetches = 100.0, 0
    for tick_s in (100.0, 110.0, 120.0, 130.0):
        now_s = tick_s
        for answer in range(200):  # as many replicas, or models, as there may be
            wait.records_came(now_s + answer / 500)
        now_s += 0.4
        while now_s < tick_s + 1.4:
            now_s += choose(wait, now_s) / 1000
            fetches += 1
        assert choose(wait, now_s) == SILENT_MS
    assert fetches < 4 * 12


def test_on_apache_kafka_it_stays_long() -> None:
    wait = FetchWait(adapts=False)
    wait.records_came(100.0)
    assert choose(wait, 100.0) == IDLE_MS


@pytest.mark.parametrize("adapts", [True, False])
def test_a_log_left_out_and_a_proof_are_not_kept_waiting(adapts: bool) -> None:
    wait = FetchWait(adapts=adapts)
    assert choose(wait, 100.0, left_out=True) == AT_ONCE_MS
    assert choose(wait, 100.0, proving=True) == AT_ONCE_MS
    assert choose(wait, 100.0, paused=True) == PAUSED_MS
    assert choose(wait, 100.0, prefetching=True) == ACTIVE_MS


def test_a_hint_forces_short_waits_until_it_is_taken_back() -> None:
    wait = FetchWait(adapts=False)
    wait.busy(True)
    assert choose(wait, 100.0) == ACTIVE_MS
    wait.busy(False)
    assert choose(wait, 100.0) == IDLE_MS


def test_tokens_in_short_order_announce_more_of_them() -> None:
    wait = FetchWait(adapts=False)
    for task in range(20):
        wait.token_taken(100.0 + task / 1000)
    assert choose(wait, 100.1) == IDLE_MS  # a wall tick every ten seconds keeps nobody awake
    wait.token_taken(100.5)
    assert choose(wait, 101.0) == ACTIVE_MS
    assert choose(wait, 103.0) == IDLE_MS
