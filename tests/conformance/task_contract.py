"""What tasks keep on every log: memory, the embedded broker and Apache Kafka inherit it. docs/reliability.md lists it.

It runs ingestion, a real service; for tables features and serving too. Two instances of every service, and what they
decide together, are tried with whole platforms in tests/e2e/test_instances.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from shared.contracts.envelope import Encoded
from shared.contracts.flow import IntakeRecord, RecordAccepted
from shared.contracts.topics import REJECTED
from shared.runtime.artifacts import ArtifactStore
from shared.runtime.log import Broker, TopicPartition
from shared.runtime.process import Process
from shared.runtime.service import Service
from shared.runtime.step import Context, Output, Publish
from tests import builders as b
from tests.conformance.table_bench import ENTRIES_BETWEEN_COPIES, TABLE, TableBench
from tests.conformance.task_bench import (
    ACCEPTED,
    DEAD,
    KEYS,
    PARTITIONS,
    TAKEN,
    TOPIC,
    TaskBench,
    ingestion,
    user_record,
)

MORE = 1_000.0
A_MINUTE_S = 60.0
A_MOMENT_S = 2.0


class Network(Protocol):
    """Between the service and its broker; the client and the readers of the tests have one of their own."""

    @property
    def broker(self) -> Broker:
        """As the service sees it."""
        ...

    @property
    def client(self) -> Broker:
        """As everybody else does."""
        ...

    def lose_sends(self) -> None:
        """From now on nothing that the service sends comes to stand in a log."""
        ...

    def fail_sends(self, process: Process) -> None:
        """What was lost has failed, and new sends arrive; the service has not been told yet."""
        ...

    def go_away(self) -> None:
        """The broker is not there."""
        ...

    def come_back(self) -> None:
        """It is there again, with its data."""
        ...

    def write_large(self, tp: TopicPartition, value: bytes) -> None:
        """As a client that keeps to no limit but the broker's."""
        ...


def release_2() -> Service:
    """Ingestion that writes other amounts."""
    service = ingestion()
    accept = service.steps["accept"]
    handler = accept.events[IntakeRecord]

    def on_intake(state: object, cause: object, context: Context) -> tuple[object, list[Output]]:
        after, outputs = handler(state, cause, context)
        return after, [_with_more(output) for output in outputs]

    steps = {**service.steps, "accept": replace(accept, events={**accept.events, IntakeRecord: on_intake})}
    return replace(service, steps=steps, release=2)


def _with_more(output: Output) -> Output:
    if not isinstance(output, Publish) or not isinstance(output.event, RecordAccepted):
        return output
    value = {**output.event.value, "amount": MORE}
    return output._replace(event=output.event.model_copy(update={"value": value}))


class TaskContract:
    """Subclasses give the fixture `network`."""

    @pytest.fixture
    def bench(self, network: Network, tmp_path: Path) -> Iterator[TaskBench]:
        bench = TaskBench(network.broker, network.client, tmp_path)
        yield bench
        bench.close()

    def test_records_come_out_once_each_and_in_order(self, bench: TaskBench) -> None:
        for first in range(0, 300, 50):
            bench.publish(range(first, first + 50))
            bench.turn()
        bench.run_dry()
        bench.assert_each_once_and_in_order(range(300))
        assert all(numbers == sorted(set(numbers)) for numbers in bench.sequences(ACCEPTED).values())

    def test_what_a_process_says_again_after_its_death_counts_once(self, bench: TaskBench, tmp_path: Path) -> None:
        bench.publish(range(100))
        bench.run_dry()
        bench.copy_state(tmp_path / "copy")
        bench.publish(range(100, 200))
        bench.run_dry()
        bench.kill()
        bench.restore_state(tmp_path / "copy")
        bench.start()
        bench.publish(range(200, 250))
        bench.run_dry()
        said = bench.sequences(ACCEPTED)
        assert sum(len(numbers) - len(set(numbers)) for numbers in said.values()) >= 100  # they do stand there twice
        bench.assert_each_once_and_in_order(range(250))

    def test_instances_that_come_and_go_while_records_flow_lose_and_double_nothing(self, bench: TaskBench) -> None:
        bench.publish(range(100))
        bench.turn()
        for first, killed in ((100, False), (400, True)):
            other = bench.start_beside(f"from {first}")
            bench.publish(range(first, first + 100))
            both = (bench.process, other)
            bench.turn_until(lambda both=both: [len(p.tasks) for p in both] == [PARTITIONS] * 2, "both have tasks")
            bench.publish(range(first + 100, first + 200))
            bench.turn()
            bench.end_beside(other, killed=killed)
            bench.publish(range(first + 200, first + 300))
            bench.turn_until(lambda: len(bench.process.tasks) == 2 * PARTITIONS, "one has all tasks again")
        bench.run_dry()
        bench.assert_each_once_and_in_order(range(700))

    def test_a_release_begins_where_the_log_shows_it_beside_its_old_owner(self, bench: TaskBench) -> None:
        bench.publish(range(100))
        bench.turn()
        later = bench.start_beside("later", release_2())
        bench.turn_until(lambda: later.history.newest.release("ingestion") == 2, "the release is declared")
        bench.publish(range(100, 150))
        bench.tick(later.history.position)
        bench.turn_until(lambda: all(t.spec.head for t in bench.process.tasks.values()), "the old owner stands back")
        bench.publish(range(150, 250))
        bench.run_dry(later)
        bench.assert_accepted_once_and_in_order(range(250))
        amounts = bench.amounts()
        assert amounts == {number: 1.5 if number < 150 else MORE for number in range(250)}

    def test_a_gap_comes_again_and_nothing_is_lost_or_out_of_order(self, bench: TaskBench, network: Network) -> None:
        bench.publish(range(50))
        bench.run_dry()
        network.lose_sends()
        bench.publish(range(50, 100))
        _take_and_send(bench, until=100)
        network.fail_sends(bench.process)
        bench.publish(range(100, 150))
        _take_and_send(bench, until=150)
        bench.run_dry()
        said = bench.sequences(TAKEN)
        assert any(_has_gap(numbers) for numbers in said.values()), said
        bench.assert_each_once_and_in_order(range(150))

    def test_poison_bytes_are_set_aside_and_the_rest_goes_on(self, bench: TaskBench) -> None:
        poison = (b"\x00\xff\xfe", b"", b'{"half', b"[1, 2]", b"null")
        odd = (("ce_type", b"\xff"), ("content-type", b"application/cloudevents+json"), ("empty", b""))
        bench.publish(range(20))
        for p in range(PARTITIONS):
            for value in poison:
                bench.write(TopicPartition(TOPIC, p), Encoded(b"\xff\x00", value, ()))
            bench.write(TopicPartition(TOPIC, p), Encoded(None, b"{}", odd))
            bench.write(TopicPartition(TOPIC, p), Encoded(b"a key alone", None, ()))
            bench.write(TopicPartition(TAKEN, p), Encoded(b"\xff", b"no event at all", odd))
        bench.flush()
        bench.publish(range(20, 40))
        bench.run_dry()
        bench.assert_each_once_and_in_order(range(40))
        assert sum(map(len, bench.sequences(REJECTED.name).values())) == PARTITIONS * (len(poison) + 2)
        assert len(bench.log(DEAD)[TopicPartition(DEAD, 0)]) == PARTITIONS

    def test_an_oversized_record_is_rejected_and_the_rest_goes_on(self, bench: TaskBench, network: Network) -> None:
        bench.publish(range(10))
        tp, _, _ = user_record(0)
        network.write_large(tp, b"x" * 3_000_000)
        bench.publish(range(10, 20))
        bench.run_dry()
        bench.assert_each_once_and_in_order(range(20))
        [rejected] = [record for records in bench.log(REJECTED.name).values() for record in records]
        assert b"too_large" in (rejected.value or b"")

    def test_who_comes_late_begins_a_table_with_its_copy_and_knows_what_the_log_says(
        self, network: Network, tmp_path: Path
    ) -> None:
        with closing(TableBench(network.broker, network.client, tmp_path)) as bench:
            bench.publish(0, 150)
            late = bench.late_serving("late")
            copied = [bench.features.history.newest.tables[b.VIEW, tp.partition][-1].position for tp in TABLE]
            assert [late.followed.began(tp) for tp in TABLE] == copied
            fewest = 150 * (KEYS // PARTITIONS) // KEYS
            assert all(position > fewest - ENTRIES_BETWEEN_COPIES for position in copied)
            whole = bench.late_serving("whole", ArtifactStore.at("memory:"))
            assert [whole.followed.began(tp) for tp in TABLE] == [0] * PARTITIONS
            bench.publish(150, 60)
            bench.turn_until(lambda: sum(bench.positions(late) + bench.positions(whole)) >= 420, "both have read on")
            assert bench.rows(late) == bench.rows(whole) == bench.rows(bench.features)
            assert sum(map(len, bench.rows(late))) == KEYS

    @pytest.mark.timeout(240)
    @pytest.mark.parametrize("away_s", [A_MOMENT_S, pytest.param(A_MINUTE_S, marks=pytest.mark.proof)])
    def test_a_broker_that_was_away_is_waited_for(self, bench: TaskBench, network: Network, away_s: float) -> None:
        bench.publish(range(50))
        bench.turn()
        bench.publish(range(50, 100))
        network.go_away()
        bench.turn_for(away_s)
        bench.turn_until_away()
        network.come_back()
        bench.publish(range(100, 150))
        bench.run_dry()
        assert bench.driver.health.reasons == {}
        bench.assert_each_once_and_in_order(range(150))


def _take_and_send(bench: TaskBench, until: int) -> None:
    """The head tasks take what was published and hand on what follows; nobody hears what became of it."""
    process = bench.process
    heads = [task for task in process.tasks.values() if task.spec.head]

    def taken() -> bool:
        process.read(0.05)
        for task in heads:
            process.advance(task.spec.id, 1_000)
        return sum(task.position for task in heads) >= until

    while not taken():
        pass
    for task in heads:
        process.owned.relays[task.spec.id].send()


def _has_gap(numbers: list[int]) -> bool:
    return any(number > max(numbers[:n], default=0) + 1 for n, number in enumerate(numbers))
