"""A release whose code derives other events comes into force at one point of each log, its old owner still alive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from deploy.simulation.platform import SimulatedPlatform
from deploy.simulation.world import NO_FAULTS, DoesNotSettle
from services.features.app import build as build_features
from services.features.settings import FeaturesSettings
from shared.contracts.control import ReleaseDeclared
from shared.contracts.envelope import Message
from shared.contracts.flow import InputsComputed
from shared.contracts.topics import SCORING
from shared.runtime.service import Service
from shared.runtime.step import Context, Handler, Output, Publish, Step
from tests.scenarios.evidence import Violation
from tests.scenarios.invariants import check
from tests.scenarios.replayed_tasks import MakeSteps, steps_of_all
from tests.scenarios.simulated import free, settle
from tests.scenarios.test_simulation import history_of
from tests.scenarios.topic_history import TopicHistory
from tests.scenarios.workload import MODEL, PAYMENTS

MORE = 1_000.0


def _more(handler: Handler) -> Handler:
    def call(state: object, cause: object, context: Context) -> tuple[object, list[Output]]:
        after, outputs = handler(state, cause, context)
        return after, [_with_more(output) for output in outputs]

    return call


def _with_more(output: Output) -> Output:
    if not isinstance(output, Publish) or not isinstance(output.event, InputsComputed):
        return output
    amount = output.event.inputs["amount"]
    assert amount is None or isinstance(amount, float)
    inputs = {**output.event.inputs, "amount": (amount or 0.0) + MORE}
    return output._replace(event=output.event.model_copy(update={"inputs": inputs}))


def _release_2() -> Service:
    """Features whose code adds to one input."""
    service = build_features(FeaturesSettings())
    steps = {
        name: replace(step, events={kind: _more(handler) for kind, handler in step.events.items()})
        for name, step in service.steps.items()
    }
    return replace(service, steps=steps, release=2)


def _steps(platform: SimulatedPlatform, history: TopicHistory) -> MakeSteps:
    own = steps_of_all(history, platform.world.artifacts)

    def made() -> Mapping[str, Step]:
        return {**own(), **{f"features/{name}@2": step for name, step in _release_2().steps.items()}}

    return made


def _violations(platform: SimulatedPlatform) -> list[Violation]:
    history = history_of(platform)
    steps = _steps(platform, history)
    return check(history, platform.world.artifacts, platform.world.files, steps=steps, at_most=10_000)


def _computed(platform: SimulatedPlatform) -> list[tuple[Message, InputsComputed]]:
    found = history_of(platform).events(SCORING.of(MODEL).name, InputsComputed)
    return [(read.message, event) for read, event in found]


@pytest.mark.parametrize(("seed", "instances"), [(3, 1), (2, 2), (5, 1)])
def test_a_release_begins_at_the_first_entry_that_shows_it_beside_its_old_owner(seed: int, instances: int) -> None:
    """It is started half-way, and records flow and faults strike from its declaration to the last hand-over."""
    platform = free(seed, instances=instances, count=14, half_way=lambda platform: platform.world.begin(_release_2))
    [declared] = [m for m in platform.decided() if isinstance(m.event, ReleaseDeclared)]
    since = platform.history.position_of(declared.id)
    assert since is not None
    by = {True: 0, False: 0}
    for message, event in _computed(platform):
        amount = event.inputs["amount"]
        assert isinstance(amount, float)
        assert (amount >= MORE) == (message.control >= since)
        by[message.control >= since] += 1
    assert min(by.values()) > 10
    # The second computation does not know the new code; everything else holds, replays by both releases included.
    assert {violation.number for violation in _violations(platform)} == {10}
    for name, process in platform.world.processes.items():
        if name.startswith("features"):
            assert bool(process.tasks) == name.startswith("features@2")


def test_what_the_former_release_has_not_taken_is_left_to_it() -> None:
    """The old process is stopped too early: the new one says what it waits for, and goes on behind the old one."""
    platform = free(4, faults=NO_FAULTS, count=6)
    world, before = platform.world, len(_computed(platform))
    old = world.stop("features")
    now_ms = platform.newest.now_ms(MODEL)
    for n in range(6):
        row = {"payment": f"new-{n}", "card": f"c{n}", "amount": 5.0, "risk": 0.5, "at": now_ms + n}
        platform.publish(PAYMENTS, row, n % 2)
        world.run(200)
    world.begin(_release_2)
    with pytest.raises(DoesNotSettle, match="release 1 has to bring it to where release 2 begins: let that run"):
        world.settle(300)
    assert len(_computed(platform)) == before
    world.go_on("features", old)
    settle(platform)
    assert len(_computed(platform)) == before + 6
    platform.tick(now_ms + 60_000)
    settle(platform)
    assert old.tasks == {}
