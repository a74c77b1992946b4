"""The strikes that a seed draws: the same each time, and nothing is left out."""

from __future__ import annotations

from collections import Counter

from tests.chaos.crash_points import GIVING, PUBLISHING, RESTORING, TAKING, Point
from tests.chaos.schedule import DECIDING, INSTANCES, READING, SERVICES, Kind, in_a_group, names, schedule


def test_a_seed_draws_the_same_strikes_each_time_and_another_seed_others() -> None:
    assert schedule(7, 200) == schedule(7, 200)
    assert schedule(7, 200) != schedule(8, 200)
    assert schedule(7, 200)[:20] == schedule(7, 40)[:20]
    assert {in_a_group(seed) for seed in range(30)} == INSTANCES.keys()


def test_it_kills_as_many_as_it_was_told_and_a_few_more_at_most() -> None:
    for kills in (1, 12, 100):
        deaths = [strike.deaths for strike in schedule(3, kills)]
        assert kills <= sum(deaths) < kills + 4
        assert sum(deaths[:-1]) < kills


def test_each_kind_point_and_process_gets_its_turn_within_a_hundred_kills() -> None:
    strikes = schedule(1, 100)
    assert {strike.kind for strike in strikes} == set(Kind)
    assert {strike.point for strike in strikes} == {None, *Point}
    killed = Counter(victim for strike in strikes if strike.deaths for victim in strike.victims)
    assert killed.keys() == {name for service in SERVICES for name in names(service)}
    assert any(strike.deaths > 3 for strike in strikes)


def test_who_is_to_die_at_a_point_comes_by_it() -> None:
    for strike in schedule(5, 2_000):
        service = strike.victims[0].partition("-")[0]
        assert (strike.kind is Kind.CRASH) == (strike.point is not None)
        if strike.point in GIVING | TAKING | PUBLISHING:
            assert service in INSTANCES
        if strike.point in RESTORING:
            assert service in (*INSTANCES, *DECIDING)
        if strike.point in GIVING:
            assert set(strike.victims) == set(names(service))
        if READING in strike.victims:
            assert strike.kind in (Kind.KILL, Kind.FREEZE)
