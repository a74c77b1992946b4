"""A slice of `make chaos`: a dozen real processes on Apache Kafka die in the midst of their work, and nothing shows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.__main__ import stage
from tests.chaos.schedule import Strike, schedule
from tests.chaos.strike_round import Round, run_round
from tests.chaos.striker import Dealt
from tests.chaos.summary import again, failures, write

SEED, KILLS = 3, 12


@pytest.mark.timeout(400)
def test_a_dozen_that_die_at_work_lose_and_double_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with stage() as (bootstrap, prepared):
        found = run_round(SEED, KILLS, bootstrap, prepared, tmp_path / "round", lambda dealt: None)
    with capsys.disabled():
        print(
            f"\n{found.deaths} killed in {len(found.dealt)} strikes, {found.published} records: {found.spent_s}", end=""
        )
    assert failures([found]) == []
    assert Counter(one.strike for one in found.dealt) == Counter(schedule(SEED, KILLS))
    assert found.deaths >= KILLS
    # Nobody was struck who had nothing to do, and what was said again shows that the strikes went home.
    assert all(one.in_hand.keys() >= set(one.strike.victims) for one in found.dealt)
    assert found.accepted > 0
    assert found.repeated > 0


def test_a_strike_that_met_nothing_and_a_violation_fail_a_run_and_say_how_to_play_it_again(tmp_path: Path) -> None:
    strikes: list[Strike] = schedule(9, 5)
    hit = Round(9, 5, dealt=[Dealt(strike, {"features": "3 entries"}) for strike in strikes], published=4)
    assert (failures([hit]), hit.holds) == ([], True)
    missed = Round(9, 5, dealt=[Dealt(strikes[0], failure="Missed: no work came")])
    wrong = Round(10, 5, violations=["5: a window changed twice"])
    assert not missed.holds
    assert not wrong.holds
    first, second = failures([hit, missed, wrong])
    assert "no work came" in first
    assert again(missed) == "make chaos KILLS=5 SEED=9"
    assert "[make chaos KILLS=5 SEED=10]" in second
    write([hit, missed, wrong], 9, 1.0, "abc1234", tmp_path / "chaos.json")
    assert '"holds": false' in (tmp_path / "chaos.json").read_text()
