"""Views by several entities in one model, under faults, with definitions that come while records are on their way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

import pytest

from deploy.simulation.platform import SimulatedPlatform
from deploy.simulation.world import DoesNotSettle
from shared.contracts import flow as f
from shared.contracts.envelope import Message
from shared.contracts.stages import Stage
from shared.contracts.topics import FEATURES, PREDICTIONS, SCORING
from shared.runtime.service import Service
from shared.runtime.step import Context, Output, Step
from tests.scenarios.damage import numbers
from tests.scenarios.entity_workload import (
    LATER_MODEL,
    OWN_LOG_MODEL,
    SHOP_MODEL,
    SHOP_VIEW,
    TERMINAL_VIEW,
    blocks,
    definitions,
    first_half,
    later,
)
from tests.scenarios.invariants import check
from tests.scenarios.poison import Clerk, Defect, some
from tests.scenarios.replayed_tasks import steps_of_all
from tests.scenarios.simulated import LONG, SHORT, UNDECIDING, free, lockstep, settle
from tests.scenarios.test_simulation import CHOSEN, again, decisions, history_of, outcomes, violations
from tests.scenarios.topic_history import Read, TopicHistory
from tests.scenarios.ways import left_out
from tests.scenarios.workload import MODEL, PAYMENTS, VIEW

FILE = "tests/scenarios/test_views_by_entity.py"
SLICE, WHOLE = CHOSEN or (1,), range(2, 74)
LOCKSTEP_SLICE, LOCKSTEP_WHOLE = CHOSEN or (1,), range(2, 9)


@cache
def played(seed: int) -> SimulatedPlatform:
    return free(seed, declared=first_half(), made=blocks, later=later())


@cache
def calm(workload: int, count: int = SHORT) -> SimulatedPlatform:
    return lockstep(workload, 1, declared=definitions(), count=count, made=blocks)


def ways(history: TopicHistory) -> tuple[Stage, ...]:
    return history.definitions.ways[PAYMENTS]


def rekeyed(history: TopicHistory, place: int) -> list[tuple[Read, f.RecordRekeyed]]:
    """What stands in the log of the second, third, ... entity of the way."""
    return list(history.events(ways(history)[place].topic.name, f.RecordRekeyed))


def scored(history: TopicHistory, model: str) -> dict[str, f.InputsComputed]:
    return {event.record_id: event for _, event in history.events(SCORING.of(model).name, f.InputsComputed)}


# --- under faults


def holds_freely(seed: int) -> None:
    try:
        platform = played(seed)
    except DoesNotSettle as moves:
        raise AssertionError(f"seed {seed} does not settle: {moves}; {again('hold', seed, FILE)}") from moves
    found = violations(platform)
    assert not found, "\n".join([f"seed {seed}:", *found, again("hold", seed, FILE)])
    assert platform.world.crashes, f"seed {seed} met no crash"


@pytest.mark.parametrize("seed", SLICE)
def test_invariants_hold_under_faults(seed: int) -> None:
    holds_freely(seed)


@pytest.mark.proof
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", WHOLE)
def test_invariants_hold_under_faults_in_many_histories(seed: int) -> None:
    holds_freely(seed)


def test_the_history_holds_what_it_is_about() -> None:
    """Several entities, nobody named, somebody forgotten, late records, and definitions amid the stream."""
    history = history_of(played(2))
    assert [stage.entity for stage in ways(history)] == ["card", "shop", "terminal"]
    by_shop, by_terminal = rekeyed(history, 1), rekeyed(history, 2)
    assert {event.entity for _, event in by_shop} >= {None, "shop-0", "shop-1"}
    assert any(event.late for _, event in by_shop)
    assert len({read.tp.partition for read, _ in by_shop}) > 1
    assert len({read.message.source for read, _ in by_shop}) == 3
    everything, began_later = scored(history, OWN_LOG_MODEL), scored(history, LATER_MODEL)
    assert 50 < len(began_later) < len(by_terminal) < len(by_shop) == len(everything)
    on_its_way = {event.record_id for _, event in by_terminal} - began_later.keys()
    assert on_its_way, "some records came into the new log under definitions that their own log had not shown"
    for model in (SHOP_MODEL, MODEL):
        assert scored(history, model).keys() == everything.keys()
    forgotten = [row for _, row in history.events(FEATURES.of(SHOP_VIEW).name, f.WindowsChanged) if not row.state]
    assert forgotten


def test_the_key_and_the_partition_of_what_is_scored_are_those_of_the_record() -> None:
    history = history_of(played(2))
    placed = {
        event.record_id: (read.message.key, read.tp.partition)
        for read, event in history.events(ways(history)[0].topic.name, f.RecordAccepted)
    }
    for model in (MODEL, SHOP_MODEL, LATER_MODEL):
        for family, kind in ((SCORING, f.InputsComputed), (PREDICTIONS, f.PredictionMade)):
            for read, event in history.events(family.of(model).name, kind):
                assert event.record_id is not None
                assert (read.message.key, read.tp.partition) == placed[event.record_id]
                assert event.entity == read.message.key


# --- lockstep


def decides_alike(workload: int) -> None:
    """One workload under three schedules, two of them with faults: equal decisions, equal outcomes."""
    still = calm(workload, LONG)
    assert not violations(still), again("alike", workload, FILE)
    assert answered_on_three_entities(still)
    for schedule in (2, 3):
        stormy = lockstep(workload, schedule, UNDECIDING, declared=definitions(), made=blocks)
        assert stormy.world.crashes
        found = violations(stormy, replay=False)
        assert not found, "\n".join([f"workload {workload}, schedule {schedule}:", *found])
        assert decisions(stormy) == decisions(still), again("alike", workload, FILE)
        assert outcomes(stormy) == outcomes(still), again("alike", workload, FILE)


def answered_on_three_entities(platform: SimulatedPlatform) -> bool:
    made = (m for _, m in history_of(platform).events(PREDICTIONS.of(MODEL).name, f.PredictionMade) if m.outputs)
    return any(all(m.inputs[f"{view}.count"] for view in (VIEW, SHOP_VIEW, TERMINAL_VIEW)) for m in made)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("workload", LOCKSTEP_SLICE)
def test_lockstep_decides_alike_under_every_schedule(workload: int) -> None:
    decides_alike(workload)


@pytest.mark.proof
@pytest.mark.timeout(900)
@pytest.mark.parametrize("workload", LOCKSTEP_WHOLE)
def test_lockstep_decides_alike_in_many_workloads(workload: int) -> None:
    decides_alike(workload)


# --- buried on the way


def test_what_is_buried_on_the_way_is_counted_and_goes_no_further() -> None:
    """A record whose handler raises in a shop's log: scored where it has been, dead for what was ahead of it."""

    def poisoned(step: Step) -> Step:
        handler = step.events[f.RecordRekeyed]

        def on_rekeyed(state: object, message: Message, context: Context) -> tuple[object, list[Output]]:
            event = message.event
            assert isinstance(event, f.RecordRekeyed)
            if context.task.subject == "payments-shop" and event.record_id.endswith("7"):
                raise ValueError("no good")
            after, outputs = handler(state, message, context)
            return after, list(outputs)

        return replace(step, events={**step.events, f.RecordRekeyed: on_rekeyed})

    def altered(service: Service) -> Service:
        if service.name != "features":
            return service
        return replace(service, steps={name: poisoned(step) for name, step in service.steps.items()})

    platform = free(5, declared=definitions("5m"), made=blocks, count=14, altered=altered)
    history = history_of(platform)
    made = steps_of_all(history, platform.world.artifacts)

    def steps() -> Mapping[str, Step]:
        return {name: poisoned(step) if name == "features/compute" else step for name, step in made().items()}

    assert check(history, platform.world.artifacts, steps=steps) == []
    everything = scored(history, OWN_LOG_MODEL).keys()
    buried = {record_id for record_id in everything if record_id.endswith("7")}
    assert len(buried) > 5
    assert {record_id for record_id, _, _ in left_out(history, ways(history)[1])} == buried
    assert {event.record_id for _, event in rekeyed(history, 2)} == everything - buried
    for model in (SHOP_MODEL, MODEL):
        assert scored(history, model).keys() == everything - buried


def test_what_is_replayed_on_the_way_goes_on_and_the_invariants_hold() -> None:
    defect, replayed = Defect(some(0.05)), list[str]()

    def replay(platform: SimulatedPlatform) -> None:
        clerk = Clerk(platform, times=2)
        while clerk.replay_all():  # what raises in one log raises in the next as well
            settle(platform)
        replayed.extend(clerk.replayed.values())

    platform = free(1, declared=definitions(), made=blocks, count=14, altered=defect.in_service, before_end=replay)
    history = history_of(platform)
    own = steps_of_all(history, platform.world.artifacts)
    assert check(history, platform.world.artifacts, steps=lambda: defect.in_steps(own())) == []
    stages = {task.rpartition("/")[0] for task in replayed if task.startswith("features/")}
    assert {f"features/compute/{stage.topic.name}" for stage in ways(history)} <= stages


# --- each check fails on damage


def lost_on_its_way(history: TopicHistory) -> TopicHistory:
    """6: a record that was sent on never comes into the log of its terminal."""
    read, _ = rekeyed(history, 2)[0]
    return history.with_event(read, f.EventBuried())


def of_another_shop(history: TopicHistory) -> TopicHistory:
    read, row = next((r, e) for r, e in history.events(FEATURES.of(SHOP_VIEW).name, f.WindowsChanged) if e.state)
    return history.with_event(read, row.model_copy(update={"entity": "somebody"}))


def with_another_input(history: TopicHistory, model: str, name: str) -> TopicHistory:
    read, event = list(history.events(SCORING.of(model).name, f.InputsComputed))[-1]
    return history.with_event(read, event.model_copy(update={"inputs": {**event.inputs, name: 41.0}}))


def under_an_older_control_position(history: TopicHistory) -> TopicHistory:
    read, event = rekeyed(history, 1)[-1]
    return history.with_event(read, event, control=1)


DAMAGE: Mapping[str, tuple[int, Callable[[TopicHistory], TopicHistory]]] = {
    "windows of another shop": (5, of_another_shop),
    "a feature of the shop": (10, lambda history: with_another_input(history, SHOP_MODEL, f"{SHOP_VIEW}.count")),
    "a feature of the terminal": (10, lambda history: with_another_input(history, MODEL, f"{TERMINAL_VIEW}.count")),
    "a feature of the card": (10, lambda history: with_another_input(history, MODEL, f"{VIEW}.count")),
    "an input derived of all three": (10, lambda history: with_another_input(history, MODEL, "busy")),
    "under an older control position": (7, under_an_older_control_position),
}


def test_the_calm_history_has_no_violation() -> None:
    assert violations(calm(2, SHORT)) == []


@pytest.mark.parametrize("damage", DAMAGE)
def test_exactly_the_check_of_what_is_damaged_fails(damage: str) -> None:
    platform, (number, made) = calm(2, SHORT), DAMAGE[damage]
    found = check(made(history_of(platform)), platform.world.artifacts, replay=False)
    assert numbers(found) == {number}, found


def test_a_record_that_is_lost_on_its_way_is_missed_by_every_count() -> None:
    """5 has no window of it, 6 no scoring; 10 sees what came after it count one too few."""
    platform = calm(2, SHORT)
    history = lost_on_its_way(history_of(platform))
    found = check(history, platform.world.artifacts, replay=False)
    assert 6 in numbers(found)
    [said] = [v.text for v in found if "stood 1 times in entity.payments-shop.v1, 0 times in" in v.text]
    assert said.endswith("and was buried 0 times")


def test_the_order_in_the_log_of_the_entity_is_what_inputs_are_checked_by() -> None:
    """Two records of one shop change places there: what was computed is no longer what the log says."""
    platform = calm(2, SHORT)
    history = history_of(platform)
    reads = [(read, event) for read, event in rekeyed(history, 1) if event.entity == "shop-3" and not event.late]
    (one, first), (other, second) = reads[3:5]
    swapped = history.with_event(one, second, id=other.message.id, time_ms=other.message.time_ms)
    swapped = swapped.with_event(other, first, id=one.message.id, time_ms=one.message.time_ms)
    assert 10 in numbers(check(swapped, platform.world.artifacts, replay=False))
