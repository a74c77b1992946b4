"""Reading Kafka by positions of our own: proofs of the end, waits that adapt, and a broker that may be away."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from shared.runtime.end_proof import EndProof
from shared.runtime.fetch_wait import FetchWait
from shared.runtime.kafka_clients.consumer import Consumer
from shared.runtime.kafka_clients.wire_partition import WirePartition
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.kafka_wire import DAMAGE_TRIES, FetchPlan, Home, PositionLost
from shared.runtime.log import (
    AccessDenied,
    BrokerAway,
    DamagedBatch,
    LogRecord,
    OffsetOutOfRange,
    TopicMissing,
    TopicPartition,
)

_CONNECT_S = 0.5
_HANDSHAKE_S = 3.0
_TROUBLE_GRACE_S = 1.0  # a leader moves within this time; asking again earlier would only cost
_TROUBLE_LIMIT_S = 10.0
_SILENCE_S = 5.0
_INTERRUPTED_S = 0.1  # between two fetches; to look after less would cost more than what it finds is likely


def reachable(settings: KafkaSettings) -> bool:
    """Whether any bootstrap server takes a connection; at most half a second each, and three more with TLS.

    Raises TlsFileUnusable, AccessDenied if a server's certificate is not trusted, and BrokerAway with the reason where
    a connection is taken and TLS fails on it, unless another server does better.
    """
    tls = settings.tls()
    failed = ""
    for host, port in settings.addresses():
        try:
            connection = socket.create_connection((host, port), timeout=_CONNECT_S)
        except OSError:
            continue
        with connection:
            if tls is None:
                return True
            try:
                _shake_hands(tls, connection, host)
            except ssl.SSLCertVerificationError as refused:
                raise AccessDenied(f"{host}:{port} shows a certificate that is not trusted: {refused}") from refused
            except OSError as error:
                failed = f"{host}:{port}: {error}"
            else:
                return True
    if failed:
        raise BrokerAway(settings.bootstrap, handshake=failed)
    return False


def _shake_hands(tls: ssl.SSLContext, connection: socket.socket, host: str) -> None:
    connection.settimeout(_HANDSHAKE_S)
    with tls.wrap_socket(connection, server_hostname=host):
        pass


class KafkaReader:
    """A Reader over Kafka. It connects at the first `poll`; while the broker is away, positions are kept."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._home = Home()
        self._consumer: Consumer | None = None
        self._proof = EndProof()
        self._wait = FetchWait(adapts=settings.embedded)
        self._positions: dict[TopicPartition, int] = {}
        self._paused: dict[TopicPartition, float] = {}  # since when
        self._ours: dict[WirePartition, TopicPartition] = {}
        self._heard_s: dict[TopicPartition, float] = {}
        self._failures = 0
        self._trouble_since_s: float | None = None
        self._beyond_end: tuple[TopicPartition, int, int] | None = None
        self._damaged: list[DamagedBatch] = []
        self._tries: dict[TopicPartition, tuple[int, int]] = {}  # of the batch at an offset
        self._woken = self._interrupted = False
        self._polled_s = float("-inf")

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read exactly these logs: new ones from the offset given, those kept from where they are."""
        new = [tp for tp in positions if tp not in self._positions]
        for tp in self._positions.keys() - positions.keys():
            self._proof.forget(tp)
            self._paused.pop(tp, None)
        self._positions = {tp: self._positions.get(tp, positions[tp]) for tp in positions}
        self._ours = {self._wire(tp): tp for tp in positions}
        now_s = time.monotonic()
        self._heard_s = {tp: self._heard_s.get(tp, now_s) for tp in positions}
        if self._consumer is not None:
            self._hand_over(self._consumer, new)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Go on at `offset`."""
        self._require(tp)
        self._positions[tp] = offset
        self._proof.forget(tp)
        if self._consumer is not None:
            self._consumer.seek(self._wire(tp), offset)

    def pause(self, tps: Iterable[TopicPartition]) -> None:
        """Return nothing of these logs until resumed."""
        for tp in tps:
            self._require(tp)
            self._paused.setdefault(tp, time.monotonic())
            if self._consumer is not None:
                self._consumer.pause(self._wire(tp))

    def resume(self, tps: Iterable[TopicPartition]) -> None:
        """Undo `pause`."""
        for tp in tps:
            self._require(tp)
            now_s = time.monotonic()
            self._interrupted |= now_s > self._paused.pop(tp, now_s) + _INTERRUPTED_S
            self._heard_s[tp] = now_s
            if self._consumer is not None:
                self._consumer.resume(self._wire(tp))

    def poll(self, timeout_s: float, max_records: int) -> dict[TopicPartition, list[LogRecord]]:
        """See Reader. A broker that went away is told after about a second, one that was never there at once."""
        consumer = self._connected()
        now_s = time.monotonic()
        deadline_s = now_s + timeout_s
        self._interrupted |= now_s > self._polled_s + _INTERRUPTED_S
        if not self._positions:
            consumer.rest(timeout_s)
            return {}
        while True:
            proving = self._trouble_since_s is None and self._proving()
            left_ms = max(0, round((deadline_s - time.monotonic()) * 1000))
            found = self._fetched(consumer, left_ms, max_records)
            proved = proving and not self._proving()
            # Taken back only if it was set: one that comes between would be lost.
            if woken := self._woken:
                self._woken = False
            if found or proved or woken or time.monotonic() >= deadline_s:
                self._polled_s = time.monotonic()
                self._interrupted |= self._polled_s > deadline_s + _INTERRUPTED_S
                return found

    def position(self, tp: TopicPartition) -> int:
        """The offset of the next record that `poll` will return."""
        self._require(tp)
        return self._positions[tp]

    def end(self, tp: TopicPartition) -> int | None:
        """The high watermark that the newest fetch showed."""
        return self._proof.end(tp)

    def beginning(self, tp: TopicPartition) -> int:
        """The offset at which the log begins; asks the broker."""
        consumer = self._connected()
        first = consumer.first_offset(self._wire(tp))
        if first is not None:
            return first
        raise TopicMissing(tp) if reachable(self._settings) else BrokerAway(self._settings.bootstrap)

    def fetch_token(self) -> int:
        """Names this moment; from now on fetches wait as little as they may until each log has answered.

        A fetch that is waiting already ends first: where nothing happens, up to IDLE_MS, or SILENT_MS (`FetchWait`).
        """
        self._wait.token_taken(time.monotonic())
        return self._proof.token()

    def end_reached_since(self, tp: TopicPartition, token: int) -> bool:
        """See Reader; EndProof says why it holds."""
        return self._proof.reached_since(tp, token)

    def take_damaged(self) -> list[DamagedBatch]:
        """The batches passed over since the last call."""
        taken, self._damaged = self._damaged, []
        return taken

    def take_interrupted(self) -> bool:
        """See Reader. An answer was an error, or none came, or for a moment nobody asked."""
        taken, self._interrupted = self._interrupted, False
        return taken

    def busy(self) -> None:
        """Keep fetch waits short."""
        self._wait.busy(True)

    def idle(self) -> None:
        """Let fetch waits grow again."""
        self._wait.busy(False)

    def wake(self) -> None:
        """See Reader; from a signal handler as well."""
        self._woken = True
        if (consumer := self._consumer) is not None:
            consumer.wake()

    def close(self) -> None:
        """Give back connections and threads."""
        if self._consumer is not None:
            self._consumer.close(autocommit=False, timeout_ms=1_000)
            self._consumer = None

    def _wire(self, tp: TopicPartition) -> WirePartition:
        return WirePartition(self._settings.topic_prefix + tp.topic, tp.partition)

    def _proving(self) -> bool:
        return any(self._proof.wanted(tp) for tp in self._positions if tp not in self._paused)

    def _require(self, tp: TopicPartition) -> None:
        if tp not in self._positions:
            raise KeyError(f"{tp.topic}/{tp.partition} is not read here; assign it first")

    def _connected(self) -> Consumer:
        self._home.require()
        if self._consumer is None:
            if not reachable(self._settings):
                raise BrokerAway(self._settings.bootstrap)
            consumer = Consumer(self._settings, number=self._proof.fetch_sent, wait_ms=self._wait_ms)
            self._hand_over(consumer, list(self._positions))
            consumer.pause(*(self._wire(tp) for tp in self._paused))
            now_s = time.monotonic()
            self._heard_s = dict.fromkeys(self._positions, now_s)
            self._consumer = consumer
        return self._consumer

    def _hand_over(self, consumer: Consumer, new: list[TopicPartition]) -> None:
        consumer.assign(list(self._ours))
        for tp in new:
            consumer.seek(self._wire(tp), self._positions[tp])

    def _wait_ms(self, plan: FetchPlan) -> int:
        return self._wait.choose_ms(
            time.monotonic(),
            left_out=plan.left_out,
            proving=any(self._proof.wanted(self._ours[wire]) for wire in plan.asked if wire in self._ours),
            prefetching=plan.prefetching,
            paused=plan.paused,
        )

    def _fetched(self, consumer: Consumer, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[LogRecord]]:
        try:
            batches = consumer.next_records(timeout_ms, max_records)
        except PositionLost as lost:
            tp = self._ours[lost.wire]
            raise OffsetOutOfRange(tp, lost.asked, consumer.first_offset(lost.wire), self._proof.end(tp)) from lost
        now_s = time.monotonic()
        self._note_answers(consumer, now_s)
        found = {self._ours[wire]: records for wire, records in batches.items()}
        for wire, tp in self._ours.items():
            where = consumer.where(wire)
            if where is not None:
                self._positions[tp] = where
                self._proof.moved(tp, where)
        if found:
            self._wait.records_came(now_s)
        else:
            self._complain(consumer, now_s)
        return found

    def _note_answers(self, consumer: Consumer, now_s: float) -> None:
        fetcher = consumer.fetcher
        answered = False
        while fetcher.answers:
            answer = fetcher.answers.popleft()
            answered = True
            tp = self._ours.get(answer.wire)
            self._interrupted |= answer.error_code != 0
            if tp is None or answer.error_code != 0:
                continue
            self._heard_s[tp] = now_s
            if answer.high_watermark < answer.offset:
                # The embedded broker calls a position behind the end of the log empty instead of refusing it. Apache
                # Kafka shows the same for a moment after an election, and refuses by itself what is truly gone.
                if self._settings.embedded and answer.offset == self._positions[tp]:
                    self._beyond_end = (tp, answer.offset, answer.high_watermark)
                continue
            self._proof.answered(tp, answer.fetch, answer.high_watermark)
        while fetcher.damaged:
            self._met_damage(consumer, fetcher.damaged.pop(0))
        if answered:
            self._trouble_since_s = None
        elif fetcher.failures > self._failures and self._trouble_since_s is None:
            self._trouble_since_s = now_s
        self._interrupted |= fetcher.failures > self._failures
        self._failures = fetcher.failures

    def _met_damage(self, consumer: Consumer, damage: DamagedBatch) -> None:
        """The batch is asked for again, and passed over only if it stays damaged."""
        wire = WirePartition(damage.topic, damage.partition)
        tp = self._ours.get(wire)
        if tp is None or consumer.where(wire) != damage.first:
            return
        at, tries = self._tries.pop(tp, (-1, 0))
        tries = tries + 1 if at == damage.first else 1
        if tries < DAMAGE_TRIES:
            self._tries[tp] = (damage.first, tries)
            return
        consumer.seek(wire, damage.following)
        self._damaged.append(replace(damage, topic=tp.topic))

    def _complain(self, consumer: Consumer, now_s: float) -> None:
        if self._beyond_end is not None:
            (tp, asked, end), self._beyond_end = self._beyond_end, None
            raise OffsetOutOfRange(tp, asked, consumer.first_offset(self._wire(tp)), end)
        trouble_s = 0.0 if self._trouble_since_s is None else now_s - self._trouble_since_s
        if trouble_s > _TROUBLE_GRACE_S and not reachable(self._settings):
            raise BrokerAway(self._settings.bootstrap)
        # A broker that came back without the topic is never asked for it again: silence, not failures.
        for tp, heard_s in self._heard_s.items():
            if now_s - heard_s > _SILENCE_S and tp not in self._paused:
                self._heard_s[tp] = now_s
                if not consumer.knows_topic(self._wire(tp).topic):
                    raise TopicMissing(tp)
        if trouble_s > _TROUBLE_LIMIT_S:
            raise BrokerAway(self._settings.bootstrap)
