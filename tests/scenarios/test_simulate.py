"""`make simulate`: what a seed stands for is the same every time, and what fails is found, repeated and made small."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.simulation.faults import Kind
from shared.contracts.envelope import Message
from shared.runtime.service import Service
from shared.runtime.step import Context, Handler
from tests.scenarios.acts import Define, Publish, Settle, Tick
from tests.scenarios.simulation import __main__ as command
from tests.scenarios.simulation import report as reports
from tests.scenarios.simulation.history import Told, told, with_strikes
from tests.scenarios.simulation.plan import LONG, MEDIUM, SHORT, Mix, plan_of
from tests.scenarios.simulation.report import ENOUGH, FAULTS, Run
from tests.scenarios.simulation.shrink import NotBroken, shrunk

SLICE, WHOLE = range(1, 25), range(25, 25 + ENOUGH)
SEED = 48  # one view, one instance, a short history: quick


def forgets_at_its_start(service: Service) -> Service:
    """A planted bug: a process of features takes its first record of each card as if none had come before."""
    if service.name != "features":
        return service
    met = set[str]()

    def forgetful(handler: Handler) -> Handler:
        def call(state: Any, message: Message, context: Context) -> Any:
            known = state if message.key in met else None
            met.add(message.key)
            return handler(known, message, context)

        return call

    step = service.steps["compute"]
    events = {kind: forgetful(handler) for kind, handler in step.events.items()}
    return replace(service, steps={**service.steps, "compute": replace(step, events=events)})


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the report goes."""
    monkeypatch.setattr(reports, "FOLDER", tmp_path)
    return tmp_path


# --- histories


@pytest.mark.parametrize("seed", SLICE)
def test_nothing_breaks(seed: int) -> None:
    assert told(plan_of(seed)).broken == (), f"again: make simulate SEED={seed}"


@pytest.mark.proof
@pytest.mark.timeout(3_600)
def test_nothing_breaks_in_many_histories_and_every_fault_strikes() -> None:
    run = Run(WHOLE[0])
    for seed in WHOLE:
        run.take(seed, told(plan_of(seed)))
    assert sorted(run.failing) == []
    assert run.missing == []


def test_seeds_mix_workloads_lengths_and_instances() -> None:
    plans = [plan_of(seed) for seed in range(1, 101)]
    assert {plan.mix for plan in plans} == {*Mix}
    assert {plan.length for plan in plans} == {SHORT, MEDIUM, LONG}
    assert {plan.instances for plan in plans} == {1, 2, 3}
    assert {type(act.what) for plan in plans for act in plan.acts} >= {Publish, Tick, Define, Settle}


def test_the_faults_of_a_seed_written_down_give_the_same_history() -> None:
    plan = plan_of(SEED)
    drawn, listed = told(plan), told(with_strikes(plan))
    assert drawn.strikes == listed.strikes
    assert drawn.strikes
    assert replace(drawn, played_s=0.0, checked_s=0.0) == replace(listed, played_s=0.0, checked_s=0.0)


# --- what fails


def test_what_holds_is_not_shrunk() -> None:
    with pytest.raises(NotBroken, match=f"seed {SEED} breaks nothing"):
        shrunk(plan_of(SEED))


def test_the_command_finds_a_planted_bug_says_how_to_repeat_it_and_tells_the_least_of_it(
    capsys: pytest.CaptureFixture[str], elsewhere: Path
) -> None:
    """Some records of a card, and a crash of features: a story that a person can read."""
    assert command.main(["--first", str(SEED), "--seeds", "1"], forgets_at_its_start) == 1
    said = capsys.readouterr().out
    assert f"FAILS: seed {SEED}; again: make simulate SEED={SEED}" in said
    assert "histories a second" in said
    _, _, least = said.partition("The least of it, found in")
    assert "one view; one instance of each service" in least
    assert 1 <= least.count("a client publishes to payments/") <= 4
    [fault] = [line for line in least.splitlines() if "FAULT" in line]
    assert "features is killed" in fault
    told_last = least.splitlines()[-2:]
    assert told_last[0].startswith("  then invariant 7 falls, accepted is what a replay derives")
    assert told_last[1].startswith("    features/compute/")
    rows = {row["name"]: row for row in json.loads((elsewhere / "simulate.json").read_text())["rows"]}
    assert rows["histories"]["value"] == 1
    assert not rows["histories that break something"]["holds"]


def test_what_is_planted_breaks_every_time_and_only_where_it_is_planted() -> None:
    broken = told(plan_of(SEED), forgets_at_its_start).broken
    assert broken == told(plan_of(SEED), forgets_at_its_start).broken != ()
    assert told(plan_of(SEED)).broken == ()


def test_the_command_succeeds_where_all_holds(capsys: pytest.CaptureFixture[str], elsewhere: Path) -> None:
    assert command.main(["--seed", str(SEED)]) == 0
    assert "FAILS" not in capsys.readouterr().out


def test_a_fault_that_never_strikes_in_many_histories_is_a_failure() -> None:
    run = Run(1)
    for seed in range(1, ENOUGH + 1):
        run.take(seed, Told((), (), {fault: 1 for fault in FAULTS if fault != Kind.FREEZE}))
    assert run.missing == [Kind.FREEZE]
    assert not run.holds
    assert len([line for line in reports.table(run).splitlines() if line.startswith(Kind.FREEZE)]) == 1
