"""A slice of `make chaos`: a dozen real processes on Apache Kafka die in the midst of their work, and nothing shows."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import orjson
import pytest

from tests.chaos import __main__ as command
from tests.chaos import strike_round
from tests.chaos.__main__ import stage
from tests.chaos.schedule import Kind, Strike, schedule
from tests.chaos.strike_round import FAILURE, Round, run_round
from tests.chaos.striker import Dealt, Woke
from tests.chaos.summary import again, failures, shortfalls, write
from tests.chaos.work_in_hand import InHand

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
    assert any(had.at_work for one in found.dealt for had in one.in_hand.values())
    assert found.accepted > 0
    assert found.repeated > 0
    assert found.acknowledged > 0
    assert found.answered > 0


def dealt(strike: Strike, *, awake: bool = False) -> Dealt:
    had = dict.fromkeys(strike.victims, InHand("3 entries", at_work=True))
    return Dealt(strike, had, Woke(frozenset(), {}, {}) if awake else None)


def test_a_strike_that_met_nothing_and_a_violation_fail_a_run_and_say_how_to_play_it_again(tmp_path: Path) -> None:
    strikes: list[Strike] = schedule(9, 5)
    hit = Round(9, 5, dealt=[dealt(strike) for strike in strikes], published=4)
    assert (failures([hit]), hit.holds) == ([], True)
    missed = Round(9, 5, dealt=[Dealt(strikes[0], failure="Missed: no work came")])
    wrong = Round(10, 5, violations=["5: a window changed twice"])
    idle = Round(11, 5, dealt=[Dealt(strikes[0])])
    assert not missed.holds
    assert not wrong.holds
    first, second, third = failures([hit, missed, wrong, idle])
    assert "no work came" in first
    assert again(missed) == "make chaos KILLS=5 SEED=9"
    assert "[make chaos KILLS=5 SEED=10]" in second
    assert "with nothing in hand" in third
    write([hit, missed, wrong], 9, 1.0, "abc1234", tmp_path / "chaos.json")
    assert '"holds": false' in (tmp_path / "chaos.json").read_text()


def test_a_hundred_kills_that_met_too_little_fail_and_fewer_do_not() -> None:
    strikes = [dealt(strike, awake=strike.kind is Kind.FREEZE) for strike in schedule(9, 100)]
    enough = Round(9, 100, dealt=strikes, replaced=1, acknowledged=1, answered=1)
    assert shortfalls([enough]) == []
    found = shortfalls([Round(9, 100, dealt=[dealt(one.strike) for one in strikes])])
    assert [text.partition(":")[0] for text in found] == [
        "owners thought dead that woke up", "versions promoted in the place of another",
        "records acknowledged over HTTP", "predictions answered over HTTP",
    ]  # fmt: skip
    assert shortfalls([enough, replace(enough, dealt=[])]) == []
    assert shortfalls([Round(9, 12)]) == []
    [found] = shortfalls([enough] * 10)
    assert found.startswith("versions rolled back because a person asked: 0")
    assert shortfalls([replace(enough, returned=1), *[enough] * 9]) == []


def test_whatever_a_round_raises_is_a_violation_of_it_and_the_report_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def checks(found: Round, *_: object) -> None:
        found.dealt = [dealt(strike) for strike in schedule(found.seed, found.kills)]
        if found.seed == 4:
            raise AssertionError("the replay gives event 7 once more")

    monkeypatch.setattr(strike_round, "_play", checks)
    monkeypatch.setattr(command, "stage", lambda: nullcontext(("", None)))
    monkeypatch.setattr(command, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(command, "write", partial(write, into=tmp_path / "chaos.json"))
    monkeypatch.setattr("sys.argv", ["chaos", "--kills", "200", "--seed", "4"])
    assert command.main() == 1
    said = capsys.readouterr().out
    assert "AssertionError: the replay gives event 7 once more [make chaos KILLS=100 SEED=4]" in said
    assert "seed 5: " in said, "the next round is played"
    assert "checks" in (tmp_path / "kept" / "4" / FAILURE).read_text()
    assert not (tmp_path / "kept" / "5").exists()
    rows = {row["name"]: row for row in orjson.loads((tmp_path / "chaos.json").read_bytes())["rows"]}
    assert (rows["violations"]["value"], rows["violations"]["holds"], rows["rounds"]["value"]) == (1, False, 2)
