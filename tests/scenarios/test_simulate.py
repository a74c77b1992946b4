"""`make simulate`: what a seed stands for is the same every time, and what fails is found, repeated and made small."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.simulation.faults import Kind
from shared.contracts.definition_checks import refusals
from shared.contracts.definitions import Clock, Model, Policy, Task
from shared.contracts.envelope import NEVER_MS, Message
from shared.contracts.platform import Platform
from shared.contracts.topology import NO_DEFINITIONS
from shared.runtime.head_task import HeadTask
from shared.runtime.service import Service
from shared.runtime.step import Context, Handler
from tests.reports import DIRTY
from tests.scenarios.acts import Define, Pass, Publish, Release, Settle, Tick
from tests.scenarios.entity_workload import OWN_LOG_MODEL
from tests.scenarios.simulation import __main__ as command
from tests.scenarios.simulation import report as reports
from tests.scenarios.simulation.history import Broken, Reached, Told, told, with_strikes
from tests.scenarios.simulation.plan import EARLY, LONG, MEDIUM, SHORT, Mix, plan_of
from tests.scenarios.simulation.report import ENOUGH, FAULTS, Run
from tests.scenarios.simulation.shrink import NotBroken, shrunk
from tests.scenarios.simulation.twists import Twist
from tests.scenarios.workload import MODEL

SLICE, WHOLE = range(1, 13), range(13, 13 + ENOUGH)
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
    assert {plan.length for plan in plans} == {SHORT, EARLY, MEDIUM, LONG}
    assert {plan.instances for plan in plans} == {1, 2, 3}
    assert {type(act.what) for plan in plans for act in plan.acts} >= {Publish, Tick, Pass, Define, Release, Settle}
    assert {plan.clock for plan in plans} == {*Clock}
    assert {twist for plan in plans for twist in plan.twists} == {*Twist}
    assert any(not plan.twists for plan in plans)


@pytest.mark.parametrize("mix", Mix)
def test_every_model_can_say_all_that_a_seed_has_it_say(mix: Mix) -> None:
    plain, twisted = (replace(plan_of(SEED), mix=mix, twists=twists) for twists in ((), (*Twist,)))
    before, after = ({one.name: one for one in plan.definitions if isinstance(one, Model)} for plan in (plain, twisted))
    assert not refusals(NO_DEFINITIONS, twisted.definitions)
    assert {one.label.absent for one in after.values()} == {0}
    assert {one.label.absent for one in before.values()} == {None}
    model = after[MODEL]
    assert (model.task, model.retrain.policy, model.rollout.split) == (Task.REGRESSION, Policy.EVERY, "entity")
    assert {one.name for one in after.values() if one.mode == "request"} == {OWN_LOG_MODEL} & after.keys()


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


def test_a_fault_that_never_strikes_or_a_decision_never_come_to_in_many_histories_is_a_failure() -> None:
    run = Run(1)
    for seed in range(1, ENOUGH + 1):
        struck = {fault: 1 for fault in FAULTS if fault != Kind.FREEZE}
        run.take(seed, Told((), (), struck, frozenset(Reached) - {Reached.ROLL_BACK}))
    assert run.missing == [Kind.FREEZE, Reached.ROLL_BACK]
    assert not run.holds
    assert len([line for line in reports.table(run).splitlines() if line.startswith(Kind.FREEZE)]) == 1


# --- the report


def slice_of(*seeds: int, broken: int = 0) -> Run:
    run = Run(seeds[0], wall_s=2.0)
    for seed in seeds:
        what = (Broken("invariant 5", "a record is lost"),) if seed == broken else ()
        run.take(seed, Told(what, (), {Kind.CRASH: 2}, frozenset({Reached.VERSION}), 10, 0.5, 0.5))
    return run


def test_slices_on_the_same_code_add_up_and_other_code_begins_anew(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "_played_code", lambda: "one")
    reports.written(slice_of(1, 2, 3))
    reports.written(slice_of(10, 11, broken=11))
    _, total = reports.written(slice_of(3, 4))
    assert (total.histories, total.distinct, list(total.failing)) == (7, 6, ["11"])
    assert reports.so_far(total) == "on this code (one) so far: 7 histories in 3 runs, 6 different seeds, 1 failing"
    held = json.loads((elsewhere / "simulate.json").read_text())
    rows = {row["name"]: row["value"] for row in held["rows"]}
    assert (rows["histories"], rows["different seeds"], rows["histories that break something"]) == (7, 6, 1)
    assert (rows[f"fault: {Kind.CRASH}"], rows["histories with a version"], rows["CPU of a history"]) == (14, 7, 1.0)
    assert held["so far"]["seeds"] == [[1, 4], [10, 11]]
    assert [one["histories a second"] for one in held["so far"]["slices"]] == [1.5, 1.0, 1.0]
    monkeypatch.setattr(reports, "_played_code", lambda: "another")
    assert reports.written(slice_of(1))[1].histories == 1


def test_a_tree_with_changes_begins_anew_each_time(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "_played_code", lambda: "one" + DIRTY)
    reports.written(slice_of(1, 2, 3))
    assert reports.written(slice_of(4))[1].histories == 1


# --- the wall clock, and releases


def hasty(task: HeadTask, platform: Platform, token: object, end_reached: object) -> None:
    """A planted bug: a tick of the wall clock counts as soon as it is seen, whatever waits in the topic."""
    task.control = max(task.control, platform.position)
    task._tick_ms = platform.ticks.get("wall", NEVER_MS)


def test_a_head_that_does_not_wait_for_what_stands_before_a_tick_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HeadTask, "_observe_wall", hasty)
    plans = (plan_of(seed) for seed in itertools.count(1))
    plain = (p for p in plans if (p.clock, p.length, p.mix, p.instances) == (Clock.WALL, SHORT, Mix.PLAIN, 1))
    broken = (one for plan in itertools.islice(plain, 5) for one in told(plan, only="invariant 7").broken)
    assert any("before it took offset" in one.text for one in broken)
