"""What tasks keep whatever the wire does: both real brokers inherit it. A log in memory has no wire."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import crc32c
import pytest

from shared.runtime.kafka_wire import DAMAGE_TRIES
from shared.runtime.log import TopicPartition
from shared.runtime.lost_records import DamagedLog
from tests.conformance.networks import WireNetwork
from tests.conformance.task_bench import TAKEN, TOPIC, TaskBench, user_record
from tests.conformance.task_contract import A_MINUTE_S, A_MOMENT_S
from tests.conformance.wire_proxy import Api, pass_on

# Where a bit may flip in a batch: bytes from its beginning, or None, in a record. Format 2 of
# https://kafka.apache.org/documentation/#recordbatch: only what follows the checksum is covered by it.
PLACES: dict[str, int | None] = {
    "its offset": 2,
    "its offset, a little": 7,
    "its length": 8,
    "its length, a little": 11,
    "its format": 16,
    "its checksum": 20,
    "its last offset": 26,
    "a record": None,
}


class Flipper:
    """Flips a bit of the batch that holds `marker`, in the first `times` answers that bring it."""

    def __init__(self, marker: bytes, place: int | None = None, times: int | None = None) -> None:
        self._marker, self._place = marker, place
        self._left = itertools.count() if times is None else iter(range(times))
        self.flips = 0

    def __call__(self, api: int, frame: bytes) -> bytes:
        at = frame.find(self._marker) if api == Api.FETCH else -1
        if at < 0 or next(self._left, None) is None:
            return frame
        self.flips += 1
        damaged = bytearray(frame)
        damaged[at if self._place is None else _batch_around(frame, at) + self._place] ^= 0x02
        return bytes(damaged)


def _batch_around(frame: bytes, at: int) -> int:
    """Where the whole batch of format 2 begins that covers this place."""
    for start in range(at - 61, -1, -1):
        (length,) = struct.unpack_from(">i", frame, start + 8)
        end = start + 12 + length
        if at < end <= len(frame) and frame[start + 16] == 2:
            (checksum,) = struct.unpack_from(">I", frame, start + 17)
            if crc32c.crc32c(frame[start + 21 : end]) == checksum:
                return start
    raise AssertionError("no batch around the marker")


def in_users_topic(number: int) -> bytes:
    """Bytes that stand in the user's topic for this record alone."""
    return b'"transaction_id":"t%d"' % number


def in_our_log(number: int) -> bytes:
    """Bytes that stand in the intake log for this record alone."""
    return b'\\"transaction_id\\":\\"t%d\\"' % number


class WireContract:
    """Subclasses give the fixture `network`."""

    @pytest.fixture
    def bench(self, network: WireNetwork, tmp_path: Path) -> Iterator[TaskBench]:
        bench = TaskBench(network.broker, network.client, tmp_path)
        yield bench
        bench.close()

    @pytest.mark.parametrize("where", [in_users_topic, in_our_log], ids=["a user's topic", "a log of ours"])
    def test_a_bit_that_flips_on_the_way_costs_nothing(
        self, bench: TaskBench, network: WireNetwork, where: Callable[[int], bytes]
    ) -> None:
        for number, place in enumerate(PLACES.values()):
            network.proxy.answers = flipper = Flipper(where(number), place, times=DAMAGE_TRIES - 1)
            bench.publish([number])
            bench.run_dry()
            assert flipper.flips == DAMAGE_TRIES - 1, f"bit {place}"
        assert bench.passed_over == []
        bench.assert_each_once_and_in_order(range(len(PLACES)))

    def test_what_stays_damaged_in_a_users_topic_is_passed_over_and_told(
        self, bench: TaskBench, network: WireNetwork
    ) -> None:
        network.proxy.answers = Flipper(in_users_topic(7))
        for numbers in (range(7), [7], range(8, 20)):  # a batch each, as far as records of one log go
            bench.publish(numbers)
        bench.run_dry()
        bench.assert_each_once_and_in_order([*range(7), *range(8, 20)])
        [damage] = bench.passed_over
        tp, _, _ = user_record(7)
        assert TopicPartition(damage.topic, damage.partition) == tp
        assert bench.log(TOPIC)[tp][damage.first].value == user_record(7)[2]
        assert damage.following == damage.first + 1
        assert "crc" in damage.reason
        assert [task.counts.damaged for task in bench.process.tasks.values() if task.counts.damaged] == [1]

    def test_damage_at_the_end_of_a_users_topic_leaves_nothing_to_be_read(
        self, bench: TaskBench, network: WireNetwork
    ) -> None:
        """Nor are the ends of transactions records, of which this is the like: a log may end without a record."""
        network.proxy.answers = Flipper(in_users_topic(7))
        for numbers in (range(7), [7]):
            bench.publish(numbers)
        bench.run_dry()
        [damage] = bench.passed_over
        [head] = [task for task in bench.process.tasks.values() if task.counts.damaged]
        assert (head.position, bench.process.intake.lag(head.spec.id)) == (damage.following, 0)
        bench.kill()
        bench.start()
        bench.run_dry()
        [again] = [task for task in bench.process.tasks.values() if task.spec == head.spec]
        assert again.position == damage.following

    def test_what_stays_damaged_in_a_log_of_ours_stops_the_service_until_it_is_whole(
        self, bench: TaskBench, network: WireNetwork
    ) -> None:
        network.proxy.answers = Flipper(in_our_log(7))
        bench.publish(range(20))
        for _ in range(2):
            with pytest.raises(DamagedLog, match=f"{TAKEN}.* cannot be read"):
                bench.run_dry()
            bench.kill()
            bench.start()
        network.proxy.answers = pass_on
        bench.run_dry()
        bench.assert_each_once_and_in_order(range(20))

    def test_lost_acknowledgements_lose_and_double_nothing(self, bench: TaskBench, network: WireNetwork) -> None:
        count = itertools.count(1)

        def lose_some(api: int, frame: bytes) -> bytes:
            if api == Api.PRODUCE and next(count) % 3 == 0:
                raise ConnectionResetError
            return frame

        network.proxy.answers = lose_some
        for first in range(0, 200, 20):
            bench.publish(range(first, first + 20))
            bench.turn()
        bench.run_dry()
        assert next(count) > 6
        bench.assert_each_once_and_in_order(range(200))

    @pytest.mark.timeout(240)
    @pytest.mark.parametrize("silent_s", [A_MOMENT_S, pytest.param(A_MINUTE_S, marks=pytest.mark.proof)])
    def test_a_broker_that_fell_silent_is_waited_for(
        self, bench: TaskBench, network: WireNetwork, silent_s: float
    ) -> None:
        bench.publish(range(50))
        bench.turn()
        bench.publish(range(50, 100))
        network.proxy.fall_silent()
        bench.turn_for(silent_s)
        network.proxy.mend()
        bench.publish(range(100, 150))
        bench.run_dry()
        bench.assert_each_once_and_in_order(range(150))
