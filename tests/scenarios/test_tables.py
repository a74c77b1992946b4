"""Tables by copy and log: whoever begins with a copy knows what those know who have read everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest

from deploy.simulation.memory_files import MemoryFiles
from deploy.simulation.memory_store import SimulatedStore
from deploy.simulation.platform import SimulatedPlatform
from deploy.simulation.world import ALL_FAULTS
from shared.contracts.control import TableCopied
from shared.contracts.flow import WindowsChanged
from shared.contracts.topics import FEATURES
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.host import Host
from shared.runtime.log import TopicPartition
from shared.runtime.memory_log import MemoryBroker
from shared.runtime.process import Process
from shared.runtime.service import Service
from shared.runtime.tables import TableFollower
from tests.memory_host import AtOnce, settle
from tests.scenarios import entity_workload, workload
from tests.scenarios.simulated import free
from tests.scenarios.tables import replica_of, replicas_hold_their_logs, tables
from tests.scenarios.test_simulation import CHOSEN, again, history_of
from tests.scenarios.topic_history import TopicHistory

FILE = "tests/scenarios/test_tables.py"
SLICE, WHOLE = CHOSEN or range(1, 5), range(5, 105)
READS_TABLES = Service("late", followers=(TableFollower,))
# Everything at once, and logs of tables that lose their beginning again and again.
FAULTS = replace(ALL_FAULTS, expire=0.02, store=0.004)


@cache
def played(seed: int) -> SimulatedPlatform:
    """Odd seeds: views by one entity. Even ones: by three, several in one model, some declared amid the stream."""
    if seed % 2:
        return free(seed, FAULTS, count=16, instances=1 + seed % 4 // 2)
    first, later = entity_workload.first_half(), entity_workload.later()
    return free(seed, FAULTS, first, made=entity_workload.blocks, later=later, count=26)


def whole_broker(history: TopicHistory) -> MemoryBroker:
    """The same logs from their beginnings, whatever has expired."""
    broker = MemoryBroker()
    for tp, records in history.logs.items():
        broker.admin().create(tp.topic, len(history.partitions(tp.topic)), {})
        for record in records:
            broker.append(tp, record.key, record.value, record.headers)
    return broker


def late_reader(platform: SimulatedPlatform, broker: MemoryBroker, artifacts: ArtifactStore) -> Process:
    host = Host(broker, platform.world.clock, MemoryFiles(), AtOnce(), artifacts, "late")
    return Process(READS_TABLES, host)


def run(platform: SimulatedPlatform, process: Process) -> None:
    """Let it read what there is, however long it rests between."""
    for _ in range(4):
        platform.world.clock.pass_ms(1_500)
        settle(process)


def emptied(artifacts: ArtifactStore, platform: SimulatedPlatform, tps: Sequence[TopicPartition]) -> None:
    """The newest copy of each log is something else now."""
    for tp in tps:
        copies = platform.newest.tables.get((FEATURES.subject(tp.topic) or "", tp.partition), ())
        if copies:
            artifacts.write(copies[-1].table.uri, b"something else")


def known_alike(seed: int) -> None:
    platform = played(seed)
    history, where = history_of(platform), again("alike", seed, FILE)
    found = list(replicas_hold_their_logs(platform, history))
    assert not found, "\n".join([*found, where])
    everything = late_reader(platform, whole_broker(history), SimulatedStore())
    by_copy = late_reader(platform, platform.world.broker, platform.world.artifacts)
    run(platform, everything)
    run(platform, by_copy)
    assert replica_of(by_copy) == replica_of(everything), where
    began = [copies[-1].position for copies in platform.newest.tables.values()]
    assert len(began) == sum(bool(history.logs[tp]) for tp in tables(history)), where
    assert all(position > 0 for position in began)


@pytest.mark.parametrize("seed", SLICE)
def test_whoever_begins_with_a_copy_knows_what_the_log_says_alike(seed: int) -> None:
    known_alike(seed)


@pytest.mark.proof
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", WHOLE)
def test_whoever_begins_with_a_copy_knows_what_the_log_says_alike_in_many_histories(seed: int) -> None:
    known_alike(seed)


def test_the_histories_hold_what_they_are_about() -> None:
    """Copies upon copies, a store that was away, logs that lost their beginning, several entities, rows forgotten."""
    platforms = [played(seed) for seed in (1, 2)]
    for platform in platforms:
        history = history_of(platform)
        broker = platform.world.broker
        assert platform.world.struck["table's log expired"] > 1
        assert platform.world.struck["store away"]
        copies = Counter((event.view, event.partition) for _, event in history.decided(TableCopied))
        logs = [(FEATURES.subject(tp.topic) or "", tp.partition) for tp in tables(history)]
        from_the_beginning = (workload.VIEW, entity_workload.SHOP_VIEW)
        assert all(copies[view, partition] > 1 for view, partition in logs if view in from_the_beginning), copies
        assert any(broker.log(tp).beginning > 0 for tp in tables(history))
    by_three = history_of(platforms[1])
    assert {FEATURES.subject(tp.topic) for tp in tables(by_three)} > {workload.VIEW, entity_workload.SHOP_VIEW}
    forgotten = [
        read
        for tp in tables(by_three)
        for read in by_three.accepted(tp)
        if isinstance(read.message.event, WindowsChanged) and not read.message.event.state
    ]
    assert forgotten


def test_a_damaged_copy_is_passed_over_for_the_one_before_it_and_what_nobody_has_is_waited_for() -> None:
    platform = free(6, FAULTS, count=10)
    broker, artifacts, history = platform.world.broker, platform.world.artifacts, history_of(platform)
    logs = tables(history)
    everything = late_reader(platform, whole_broker(history), SimulatedStore())
    run(platform, everything)
    emptied(artifacts, platform, logs)
    older = late_reader(platform, broker, artifacts)
    run(platform, older)
    assert replica_of(older) == replica_of(everything)
    for tp in logs:
        broker.expire(tp, platform.newest.tables[FEATURES.subject(tp.topic) or "", tp.partition][-1].position)
    nobody = late_reader(platform, broker, artifacts)
    run(platform, nobody)
    assert replica_of(nobody) == {}
    assert all("sha256" in nobody.awaited[f"table {tp.topic}/{tp.partition}"] for tp in logs)
    assert "sha256" in (TableFollower.of(nobody).why_unread(workload.VIEW) or "")
    # Whoever had read it all copies it anew, and everybody goes on.
    for n in range(200):
        at_ms = workload.T0_MS + 900_000_000
        record: workload.Record = {"payment": f"again-{n}", "card": f"c{n % 6}", "at": at_ms, "amount": 1, "risk": 0}
        platform.publish(workload.PAYMENTS, record, n % 2)
    platform.tick(workload.T0_MS + 900_000_000)
    platform.world.settle(20_000)
    run(platform, nobody)
    assert replica_of(nobody) == replica_of(platform.world.processes["features"])
    assert TableFollower.of(nobody).why_unread(workload.VIEW) is None
