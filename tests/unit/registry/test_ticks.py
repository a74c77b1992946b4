from __future__ import annotations

import pytest

from deploy.simulation.memory_files import MemoryFiles
from deploy.simulation.virtual_time import EPOCH_MS, VirtualClock
from services.registry.app import build
from services.registry.settings import RegistrySettings
from shared.contracts import control as c
from shared.contracts.definitions import Clock
from shared.contracts.errors import ForeignLog
from shared.contracts.topics import CONTROL
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.host import Host
from shared.runtime.intake import CONTROL_TP
from shared.runtime.memory_log import MemoryBroker
from shared.runtime.outside import OutsideWriter
from shared.runtime.process import Process
from tests import builders as b
from tests.memory_host import AtOnce

TICK_MS = 10_000


class Platform:
    """Registries on one log in memory, on virtual time."""

    def __init__(self) -> None:
        self.clock, self.broker = VirtualClock(), MemoryBroker()

    def registry(self, instance: str = "0", files: MemoryFiles | None = None) -> Process:
        host = Host(self.broker, self.clock, files or MemoryFiles(), AtOnce(), ArtifactStore.at("memory:"), instance)
        return Process(build(RegistrySettings(tick_ms=TICK_MS)), host)

    def turn(self, *processes: Process, times: int = 10) -> None:
        for _ in range(times):
            for process in processes:
                process.turn(0.0)


def accepted(process: Process) -> list[object]:
    return [entry.message.event for entry in process.history.entries if entry.message is not None]


def test_an_empty_log_is_founded_and_time_is_told() -> None:
    platform = Platform()
    registry = platform.registry()
    platform.turn(registry)
    founded, tick = accepted(registry)
    assert isinstance(founded, c.PlatformFounded)
    assert registry.history.log_id == founded.log_id
    assert tick == c.Tick(clock=Clock.WALL)
    assert registry.history.newest.ticks == {"wall": EPOCH_MS // TICK_MS * TICK_MS}
    platform.clock.pass_ms(TICK_MS)
    platform.turn(registry)
    assert len(accepted(registry)) == 3


def test_a_log_that_is_founded_is_left_as_it_is() -> None:
    platform = Platform()
    first = platform.registry()
    platform.turn(first)
    first.close()
    second = platform.registry()
    platform.turn(second)
    assert second.history.log_id == first.history.log_id
    assert sum(isinstance(event, c.PlatformFounded) for event in accepted(second)) == 1


def test_no_platform_is_founded_beside_the_state_of_an_older_one() -> None:
    platform = Platform()
    first = platform.registry()
    platform.turn(first)
    files = MemoryFiles()
    files.bind(str(first.history.log_id))
    forgotten = Platform()
    for topics in (set[str](), {CONTROL.name}):
        for topic in topics:
            forgotten.broker.admin().create(topic, 1, {})
        with pytest.raises(ForeignLog, match=f"forgotten log {first.history.log_id}.*headrace up --fresh"):
            forgotten.turn(forgotten.registry(files=files))
        assert forgotten.broker.admin().topics() == topics
    assert forgotten.broker.history(CONTROL_TP) == []


def test_two_registries_found_one_platform_and_tell_one_time() -> None:
    platform = Platform()
    two = platform.registry("0"), platform.registry("1")
    for _ in range(3):
        platform.turn(*two)
        platform.clock.pass_ms(TICK_MS)
    platform.turn(*two)
    kinds = [type(event) for event in accepted(two[0])]
    assert kinds == [c.PlatformFounded, c.Tick, c.Tick, c.Tick, c.Tick]
    assert two[0].history.log_id == two[1].history.log_id
    assert len(two[0].history.entries) > len(kinds)


def test_the_task_decides_on_the_log_that_the_worker_founded() -> None:
    platform = Platform()
    registry = platform.registry()
    platform.turn(registry)
    command = c.ApplyDefinitions(request_id="q1", based_on=2, definitions=b.declared(), by="ann")
    client = OutsideWriter("test")
    client.publish(CONTROL, command, event_id="e1", time_ms=b.T0_MS)
    client.send(registry.writer)
    platform.turn(registry)
    assert registry.history.newest.definitions == b.definitions()
    assert registry.doing() == []
