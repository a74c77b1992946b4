"""A broker that began anew is told from ours by the first entry of control.v1."""

from __future__ import annotations

import pytest

from shared.contracts.control import PlatformFounded
from shared.contracts.errors import ForeignLog
from shared.contracts.topics import CONTROL
from shared.runtime.http_server import Health
from shared.runtime.kafka_driver import Driver
from shared.runtime.memory_log import MemoryBroker
from shared.runtime.service import Service
from tests.memory_host import MemoryHost


@pytest.fixture
def driver() -> Driver:
    """Of a process that has read two entries of its log."""
    host = MemoryHost()
    host.decide(PlatformFounded(log_id="ours"), PlatformFounded(log_id="refused"))
    process = host.start(Service("toy"))
    process.turn(0.0)
    assert process.history.position == 2
    return Driver(process, Health("toy"))


def restarted(driver: Driver, broker: MemoryBroker) -> None:
    """Another broker answers at the same address."""
    driver.process.broker, driver.process.admin = broker, broker.admin()


def with_control() -> MemoryBroker:
    broker = MemoryBroker()
    broker.admin().create(CONTROL.name, 1, {})
    return broker


def test_our_own_log_is_known_again(driver: Driver) -> None:
    driver._check_log("looked")


@pytest.mark.parametrize("begun", [False, True])
def test_a_broker_that_holds_nothing_has_forgotten_our_log(driver: Driver, begun: bool) -> None:
    restarted(driver, with_control() if begun else MemoryBroker())
    with pytest.raises(ForeignLog, match=r"gone: the broker has forgotten log ours.* 2 entries.*headrace up --fresh"):
        driver._check_log("gone")


def test_a_longer_log_of_another_platform_is_not_ours(driver: Driver) -> None:
    other = MemoryHost()
    other.decide(*(PlatformFounded(log_id=f"theirs {n}") for n in range(5)))
    restarted(driver, other.broker)
    with pytest.raises(ForeignLog, match="forgotten log ours"):
        driver._check_log("gone")


def test_a_process_that_has_read_nothing_has_nothing_to_lose() -> None:
    process = MemoryHost().start(Service("toy"))
    driver = Driver(process, Health("toy"))
    restarted(driver, with_control())
    driver._check_log("looked")
