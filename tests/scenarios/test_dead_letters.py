"""Dead letters, unread and replayed: nothing is lost or doubled, and the accounting closes, under faults as well."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from deploy.simulation.platform import SimulatedPlatform
from shared.contracts import flow as f
from shared.contracts.envelope import Event
from shared.contracts.topics import JOINS, OUTCOMES, PREDICTIONS, RECORDS
from tests.scenarios.invariants import check
from tests.scenarios.poison import DATA_STEPS, Clerk, Defect, some, standing
from tests.scenarios.replayed_tasks import steps_of_all
from tests.scenarios.set_aside import letters, replays
from tests.scenarios.simulated import SHORT, free, lockstep, settle
from tests.scenarios.topic_history import Read, TopicHistory
from tests.scenarios.workload import MATURES_MS, MODEL, PAYMENTS, TRUTHS

SHARE = 0.02
pytestmark = pytest.mark.timeout(300)


def history_of(platform: SimulatedPlatform) -> TopicHistory:
    return TopicHistory.of_memory(platform.world.broker)


def violations(platform: SimulatedPlatform, defect: Defect) -> list[str]:
    """All invariants; tasks are replayed by the same code, defect included."""
    history, artifacts = history_of(platform), platform.world.artifacts
    own = steps_of_all(history, artifacts)
    return [str(v) for v in check(history, artifacts, platform.world.files, steps=lambda: defect.in_steps(own()))]


@cache
def replayed(seed: int) -> tuple[SimulatedPlatform, Defect, Clerk]:
    """A free history in which each step raises on some of what it reads; every letter is replayed, twice: most of
    them before the last labels and ticks, the others a long time afterwards."""
    defect, clerks = Defect(some(SHARE)), list[Clerk]()

    def replay(platform: SimulatedPlatform) -> None:
        clerks.append(Clerk(platform, times=2))
        assert clerks[0].replay_all() > 30

    platform = free(seed, altered=defect.in_service, before_end=replay)
    [clerk] = clerks
    for _ in range(2):
        clerk.replay_all()
        settle(platform)
        platform.tick(platform.newest.now_ms(MODEL) + 20 * MATURES_MS)
        settle(platform)
    return platform, defect, clerk


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_is_replayed_the_invariants_hold(seed: int) -> None:
    platform, defect, clerk = replayed(seed)
    assert violations(platform, defect) == []
    assert {task.split("/")[1] for task in clerk.replayed.values()} == set(DATA_STEPS)
    assert platform.world.crashes
    assert clerk.refused == {}


@pytest.mark.proof
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(3, 40))
def test_whatever_is_replayed_the_invariants_hold_in_many_histories(seed: int) -> None:
    platform, defect, clerk = replayed.__wrapped__(seed)
    assert violations(platform, defect) == []
    assert clerk.refused == {}


def test_nothing_of_what_was_replayed_is_missing_afterwards() -> None:
    """Each letter was taken by its task once, and none came of it that is not there without the defect."""
    platform, _, clerk = replayed(1)
    history = history_of(platform)
    assert len(standing(platform)) == len(clerk.replayed)
    accepted = {event.record_id for _, event in history.events(RECORDS.of(PAYMENTS).name, f.RecordAccepted)}
    predicted = Counter(e.record_id for _, e in history.events(PREDICTIONS.of(MODEL).name, f.PredictionMade))
    matured = Counter(e.prediction.record_id for _, e in history.events(OUTCOMES.of(MODEL).name, f.OutcomeMatured))
    assert predicted == matured == Counter(accepted)
    whole = history_of(free(1))
    assert accepted == {event.record_id for _, event in whole.events(RECORDS.of(PAYMENTS).name, f.RecordAccepted)}


def test_what_is_left_unread_is_accounted_for() -> None:
    """Letters of every data step, none replayed: what did not come of them is counted as dead, and nothing else is."""
    defect = Defect(some(SHARE))
    platform = free(5, altered=defect.in_service)
    assert {letter.task.split("/")[1] for s in _services(platform) for letter in letters(history_of(platform), s)} == {
        *DATA_STEPS
    }
    assert violations(platform, defect) == []


def _services(platform: SimulatedPlatform) -> set[str]:
    return {task.service for task in platform.newest.definitions.tasks}


@pytest.mark.parametrize("step", DATA_STEPS)
def test_a_replay_that_nobody_took_is_missed(step: str) -> None:
    """The same history with a replay of this step addressed to a task that is not there."""
    platform, _, _ = replayed(2)
    history = history_of(platform)
    found = [read for read in replays(history, "") if (read.message.replay_for or "").split("/")[1] == step]
    if step == "intake":
        assert found == []  # it is a user's record like any other: see the accounting of the intake
        return
    damaged = history
    for read in found:
        damaged = damaged.with_event(read, read.message.event, replay_for="nobody/there/at/0")
    assert {violation.number for violation in check(damaged)} & {5, 6, 19}


# --- a defect that is mended


POISON = {"payment": "poison", "card": "c1", "amount": 5.0, "risk": 0.5}


def is_poison(step: str, name: str) -> bool:
    return step == "compute" and name == "poison"


def of_poison(history: TopicHistory, topic: str, kind: type[Event]) -> list[Read]:
    found = [(read, getattr(event, "prediction", event)) for read, event in history.events(topic, kind)]
    return [read for read, made in found if getattr(made, "record_id", None) == "poison"]


def test_a_record_that_a_defect_kept_back_is_scored_once_the_defect_is_mended() -> None:
    defect = Defect(is_poison, lasting=True)
    platform = lockstep(2, schedule=1, count=SHORT, altered=defect.in_service)
    now_ms, clerk = platform.newest.now_ms(MODEL), Clerk(platform, times=3)
    platform.publish(PAYMENTS, {**POISON, "at": now_ms}, 0)
    settle(platform)
    assert clerk.replay_all() == 1
    settle(platform)
    assert len(standing(platform)) == 2  # it died again, in a letter of its own
    assert of_poison(history_of(platform), PREDICTIONS.of(MODEL).name, f.PredictionMade) == []
    assert not [str(v) for v in check(history_of(platform))]

    platform.tick(now_ms + MATURES_MS // 2)
    settle(platform)
    defect.mended = True
    assert clerk.replay_all() == 1
    label = {"truth": "poison-a", "payment": "poison", "known_at": now_ms + MATURES_MS // 2, "bad": True}
    platform.publish(TRUTHS, label, 0)
    settle(platform)
    for after in (2, 20, 40):
        platform.tick(now_ms + after * MATURES_MS)
        settle(platform)

    history = history_of(platform)
    assert not [str(v) for v in check(history)]
    [made] = of_poison(history, PREDICTIONS.of(MODEL).name, f.PredictionMade)
    assert isinstance(made.message.event, f.PredictionMade)
    assert made.message.event.answered_by is not None
    assert made.message.time_ms == now_ms
    [joined] = of_poison(history, JOINS.of(MODEL).name, f.PredictionMade)
    [matured] = of_poison(history, OUTCOMES.of(MODEL).name, f.OutcomeMatured)
    assert isinstance(matured.message.event, f.OutcomeMatured)
    assert (matured.message.event.status, matured.message.event.label) == ("labelled", 1.0)
    traces = {read.message.trace[3:35] for read in (made, joined, matured) if read.message.trace}
    [original] = of_poison(history, RECORDS.of(PAYMENTS).name, f.RecordAccepted)
    assert original.message.trace
    assert traces == {original.message.trace[3:35]}


def poisoned(step: str, name: str) -> tuple[SimulatedPlatform, Defect, Clerk, int]:
    """A payment and its label were published now, which comes last; a step raised once on what goes by that name."""
    defect = Defect(lambda raised_by, raised_on: (raised_by, raised_on) == (step, name))
    platform = lockstep(2, schedule=1, count=SHORT, altered=defect.in_service)
    now_ms = platform.newest.now_ms(MODEL)
    platform.publish(PAYMENTS, {**POISON, "at": now_ms}, 0)
    platform.publish(TRUTHS, {"truth": "poison-a", "payment": "poison", "known_at": now_ms, "bad": True}, 0)
    settle(platform)
    return platform, defect, Clerk(platform, times=2), now_ms


def test_a_label_that_is_replayed_behind_the_watermark_revises_as_one_that_comes_late() -> None:
    platform, _, clerk, now_ms = poisoned("key_labels", "poison-a")
    platform.tick(now_ms + 2 * MATURES_MS)
    settle(platform)
    [matured] = of_poison(history_of(platform), OUTCOMES.of(MODEL).name, f.OutcomeMatured)
    assert isinstance(matured.message.event, f.OutcomeMatured)
    assert matured.message.event.status == "unlabelled"
    assert clerk.replay_all() == 1
    settle(platform)
    [revised] = of_poison(history_of(platform), OUTCOMES.of(MODEL).name, f.OutcomeRevised)
    assert isinstance(revised.message.event, f.OutcomeRevised)
    assert (revised.message.event.label, revised.message.event.label_id) == (1.0, "poison-a")
    assert revised.message.time_ms >= matured.message.time_ms
    assert not [str(v) for v in check(history_of(platform))]


def test_an_outcome_whose_timer_died_is_decided_when_it_is_replayed_even_long_afterwards() -> None:
    platform, defect, clerk, now_ms = poisoned("join", "due of poison")
    platform.tick(now_ms + 100 * MATURES_MS)  # the labels of others have expired
    settle(platform)
    assert of_poison(history_of(platform), OUTCOMES.of(MODEL).name, f.OutcomeMatured) == []
    assert clerk.replay_all() == 1
    settle(platform)
    [matured] = of_poison(history_of(platform), OUTCOMES.of(MODEL).name, f.OutcomeMatured)
    assert isinstance(matured.message.event, f.OutcomeMatured)
    assert (matured.message.event.status, matured.message.event.label_id) == ("labelled", "poison-a")
    assert not violations(platform, defect)
