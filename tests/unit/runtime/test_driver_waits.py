"""How long the driver waits for records where nothing else wakes it."""

from __future__ import annotations

from dataclasses import replace

from shared.runtime.full_disks import DiskFull
from shared.runtime.http_server import Health
from shared.runtime.kafka_driver import IDLE_S, SHARING_S, WORKING_S, Driver
from shared.runtime.ownership import Members
from shared.runtime.process import Process
from shared.runtime.service import Service
from tests import builders as b
from tests.memory_host import MemoryHost

SERVICE = Service("idle", {})


class Shared:
    """Two instances, which may come and go."""

    def members(self) -> Members:
        return Members("m", ("0", "1"))

    def leave(self) -> None:
        """Nobody minds."""


def wait_s(process: Process) -> float:
    driver = Driver(process, Health("idle"))
    for _ in range(5):
        driver._turn(0.0)
    return driver._turn(0.0)


def test_it_waits_long_only_where_every_change_is_told() -> None:
    host = MemoryHost()
    assert wait_s(host.start(SERVICE)) == WORKING_S  # until the platform is founded
    host.decide(b.founded())
    alone = host.start(SERVICE)
    assert wait_s(alone) == IDLE_S
    shared = Process(SERVICE, replace(alone._host, membership=Shared()))
    assert wait_s(shared) == SHARING_S <= 0.1
    alone.full_disks.full("task", DiskFull("task", None, OSError("no room")))
    assert wait_s(alone) == WORKING_S
