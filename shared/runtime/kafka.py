"""The only file that imports kafka-python (3.0.12): its clients, made safe, speaking the types of `shared.runtime.log`.

What is changed in them, and why, stands at each class. Clients own threads and do not survive a fork: they are created
at first use, and no process of ours forks afterwards.
"""
# The stubs that the type checker brings along describe kafka-python 2; what is taken from version 3 is typed here.
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false, reportArgumentType=false
# pyright: reportIncompatibleMethodOverride=false

from __future__ import annotations

import json
import logging
import math
import struct
import zlib
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from typing import Any, cast
from uuid import uuid4

import kafka.errors as kafka_errors
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.consumer.fetcher import CompletedFetch, Fetcher
from kafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from kafka.net import KafkaNetSocket
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment, ConsumerProtocolSubscription
from kafka.structs import TopicPartition as WirePartition
from snappy import UncompressError
from zstandard import ZstdError

from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.kafka_wire import Answer, Completion, FetchPlan, PositionLost, Ticket, Unanswered
from shared.runtime.log import (
    AccessDenied,
    BrokerAway,
    DamagedBatch,
    Headers,
    RecordTooLarge,
    SendError,
    SendFailed,
    TopicMissing,
    TopicRefused,
)

_log = logging.getLogger(__name__)

_DELIVERY_TIMEOUT_MS = 30_000
_BLOCK_MS = 2_000
JOIN_WAIT_MS = 20
MAX_RECORD_BYTES = 1_000_000  # below the 1,048,588 that Apache Kafka takes unless it is told otherwise
_LARGEST_SANE_BATCH = 1_000_000
_DENIED = (kafka_errors.AuthorizationError, kafka_errors.SaslAuthenticationFailedError)
# All that decoding somebody else's bytes can raise; lz4 has no exception of its own.
_BAD_BYTES = (
    ValueError, IndexError, OverflowError, EOFError, OSError, RuntimeError, zlib.error, struct.error, ZstdError,
    UncompressError,
)  # fmt: skip


class DirectSocket(KafkaNetSocket):
    """No proxy at all, but a socket that cannot connect is closed; kafka-python's own leaves that to the collector."""

    SCHEMES = ("direct",)

    async def sock_connect(self, net: Any, sock: Any, sockaddr: Any, timeout_at: float | None = None) -> Any:
        with ExitStack() as unless_connected:
            unless_connected.callback(sock.close)
            connected = await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)
            unless_connected.pop_all()
        return connected


class _Manager(KafkaConnectionManager):
    """Remembers why a broker refused us; kafka-python tries on until its time is up, and names no reason then."""

    refusal: BaseException | None = None

    def get_connection(self, *args: Any, **options: Any) -> Any:
        connection = super().get_connection(*args, **options)
        connection.init_future.add_errback(self._note)
        return connection

    def _note(self, error: BaseException) -> None:
        if isinstance(error, _DENIED):
            self.refusal = error


class _Client(KafkaNetClient):
    def __init__(self, **options: Any) -> None:
        net = NetworkSelector(**options)
        super().__init__(net, _Manager(net, **options))


def _build(settings: KafkaSettings, constructor: Callable[..., None], **options: Any) -> None:
    """Run a constructor of kafka-python where something listens. Raises AccessDenied and BrokerAway.

    Of a refusal kafka-python often sees only that the broker hung up, so that a wrong password may be told by either.
    """
    clients: list[_Client] = []

    def client(**given: Any) -> _Client:
        clients.append(_Client(**given))
        return clients[-1]

    try:
        constructor(**settings.client_options(), **options, kafka_client=client)
    except (kafka_errors.RetriableError, *_DENIED) as error:
        refusals = [one._manager.refusal for one in clients]
        for one in clients:
            one.close()
        refusal = next(filter(None, [error if isinstance(error, _DENIED) else None, *refusals]), None)
        if refusal is not None:
            raise AccessDenied(f"{type(refusal).__name__}: {refusal}") from error
        raise BrokerAway(settings.bootstrap, signing_in=bool(settings.sasl_mechanism)) from error


def _never_create_topics(metadata: Any) -> None:
    # The clients' own option of this name does not reach the requests.
    metadata.config["allow_auto_create_topics"] = False


class _NumberedOffsets(dict[WirePartition, int]):
    number: int = 0


class _WatchedBatches:
    """kafka-python's batches, remembering the one that is being read. Offsets go up, and stay below the high watermark.

    The checksum of a batch does not cover its offset (format 2, https://kafka.apache.org/documentation/#recordbatch).
    """

    def __init__(self, batches: Any, fetch_offset: int, end: float) -> None:
        self._batches = batches
        self._reached, self._end = fetch_offset, end
        self.current: Any = None

    def next_batch(self) -> Any:
        before = self.current
        self.current = batch = self._batches.next_batch()
        if batch is not None and batch.magic == 2:
            begins = batch.base_offset if before is not None else self._reached  # the first may begin before
            if begins < self._reached or not self._reached < batch.next_offset <= self._end:
                raise kafka_errors.CorruptRecordError(
                    f"a batch at offset {batch.base_offset}, where {self._reached} to {self._end} were to come"
                )
            self._reached = batch.next_offset
        return batch


class PartitionRecords(Fetcher.PartitionRecords):
    """Ends before a batch that cannot be read, and says where the next one begins.

    kafka-python's own raises once, and then hands out nothing without ever ending, so that `poll` does not return.
    """

    damage: DamagedBatch | None = None
    end: float = math.inf  # the high watermark of the answer

    def _unpack_records(self, tp: Any, records: Any, *deserializers: Any) -> Iterator[Any]:
        watched = _WatchedBatches(records, self.fetch_offset, self.end)
        try:
            yield from super()._unpack_records(tp, watched, *deserializers)
        except (kafka_errors.KafkaError, *_BAD_BYTES) as error:
            self.damage = _damage(tp, self.next_fetch_offset, error, watched.current, self.end)
            self.drain()


def _damage(wire: Any, first: int, error: Exception, batch: Any = None, end: float = 0) -> DamagedBatch:
    # A batch of the oldest formats, or one that looks so because it is damaged, does not name its end.
    following = getattr(batch, "next_offset", 0)
    if not (first < following <= end and following - batch.base_offset <= _LARGEST_SANE_BATCH):
        following = first + 1
    return DamagedBatch(wire.topic, wire.partition, first, following, f"{type(error).__name__}: {error}")


def _diverges(said: Any) -> bool:
    """Whether the answer is that the log was cut behind our back (KIP-595); kafka-python then looks into it."""
    return said.diverging_epoch is not None and said.diverging_epoch.end_offset >= 0


class _NumberingFetcher(Fetcher):
    """Numbers its requests, keeps what each answer said, and asks how long each may wait at the broker."""

    PartitionRecords = PartitionRecords

    def __init__(
        self, *args: Any, number: Callable[[], int], wait_ms: Callable[[FetchPlan], int], **config: Any
    ) -> None:
        super().__init__(*args, **config)
        self._number = number
        self._wait_ms = wait_ms
        self._records_in_hand = False
        self.answers: deque[Answer] = deque()
        self.failures = 0
        self.damaged: list[DamagedBatch] = []

    def fetched_records(self, max_records: int | None = None, update_offsets: bool = True) -> Any:
        # kafka-python gives a resumed log its parked records back only when this slot is None, but leaves what it has
        # finished in it: the log would neither be read from the buffer nor be asked for again.
        if self._next_partition_records is not None and not self._next_partition_records:
            self._next_partition_records = None
        found = super().fetched_records(max_records, update_offsets)
        self._records_in_hand = bool(found[0])
        return found

    def _create_fetch_requests(self) -> dict[int, tuple[Any, dict[WirePartition, int]]]:
        # On the I/O thread, while the caller waits in `poll`: nothing of the caller's runs meanwhile.
        wanted = self._subscriptions.fetchable_partitions()
        asked = self._fetchable_partitions()
        paused = bool(self._subscriptions.paused_partitions())
        plan = FetchPlan(asked, len(asked) < len(wanted), self._records_in_hand, paused)
        self.config["fetch_max_wait_ms"] = self._wait_ms(plan)
        requests = super()._create_fetch_requests()
        number = self._number()
        numbered: dict[int, tuple[Any, dict[WirePartition, int]]] = {}
        for node, (request, offsets) in requests.items():
            known = _NumberedOffsets(offsets)
            known.number = number
            numbered[node] = (request, known)
        return numbered

    def _handle_fetch_response(self, node_id: int, fetch_offsets: Any, send_time: float, response: Any) -> None:
        # In place of kafka-python's own: with sessions and metrics off, all that it does is to queue every answer. Most
        # say that nothing came, and taking those apart cost half of what an idle service used.
        for topic in response.responses:
            for said in topic.partitions:
                wire = WirePartition(topic.topic, said.partition_index)
                asked = fetch_offsets[wire]
                self.answers.append(Answer(wire, fetch_offsets.number, asked, said.high_watermark, said.error_code))
                if said.records or said.error_code or _diverges(said):
                    self._completed_fetches.append(CompletedFetch(wire, asked, response.API_VERSION, said, None))

    def _handle_fetch_error(self, node_id: int, exception: BaseException) -> None:
        self.failures += 1
        super()._handle_fetch_error(node_id, exception)

    def _parse_fetched_data(self, completed_fetch: Any) -> Any:
        try:
            records = super()._parse_fetched_data(completed_fetch)
        except kafka_errors.KafkaError as error:
            # By its length the first batch is longer than the answer, or the broker says that its own copy is damaged.
            if type(error) not in (kafka_errors.KafkaError, kafka_errors.CorruptRecordError):
                raise
            self.damaged.append(_damage(completed_fetch.topic_partition, completed_fetch.fetched_offset, error))
            return None
        if records is not None:
            records.end = completed_fetch.partition_data.high_watermark
        return records

    def _on_partition_records_drain(self, partition_records: Any) -> None:
        super()._on_partition_records_drain(partition_records)
        if partition_records.damage is not None:
            self.damaged.append(partition_records.damage)


class Consumer(KafkaConsumer):
    """A consumer without a group that never resets a position by itself.

    Fetch sessions are off, so that every answer names every log asked for: silence is no proof of anything.
    """

    def __init__(
        self, settings: KafkaSettings, *, number: Callable[[], int], wait_ms: Callable[[FetchPlan], int]
    ) -> None:
        _build(
            settings,
            super().__init__,
            auto_offset_reset="none",
            enable_auto_commit=False,
            enable_incremental_fetch_sessions=False,
            max_partition_fetch_bytes=4 * 1024 * 1024,
            metrics_enabled=False,
        )
        self._fetcher = _NumberingFetcher(
            self._client, self._subscription, number=number, wait_ms=wait_ms, metrics=None, **self.config
        )
        self.fetcher = self._fetcher
        _never_create_topics(self._cluster)

    def where(self, wire: WirePartition) -> int | None:
        """Position without asking the broker (`position` may block)."""
        position = self._subscription.assignment[wire].position
        return None if position is None else position.offset

    def knows_topic(self, topic: str) -> bool:
        """Whether the newest metadata name the topic (`partitions_for_topic` may block without end)."""
        return self._cluster.partitions_for_topic(topic) is not None

    def first_offset(self, wire: WirePartition) -> int | None:
        """Log start offset, or None if the broker did not say in time."""
        try:
            return cast(int, self.beginning_offsets([wire], timeout_ms=_BLOCK_MS)[wire])
        except (kafka_errors.RetriableError, kafka_errors.BrokerResponseError):
            return None

    def next_records(self, timeout_ms: int, max_records: int) -> dict[WirePartition, list[Any]]:
        """One poll. Raises PositionLost where the broker refuses a position."""
        try:
            return cast("dict[WirePartition, list[Any]]", self.poll(timeout_ms=timeout_ms, max_records=max_records))
        except kafka_errors.OffsetOutOfRangeError as error:
            wire, asked = next(iter(error.args[0].items()))
            raise PositionLost(wire, asked) from error
        except kafka_errors.LogTruncationError as error:
            wire = next(iter(error.divergent_offsets))
            raise PositionLost(wire, self.where(wire) or 0) from error
        except _DENIED as error:
            raise AccessDenied(f"{type(error).__name__}: {error}") from error
        except kafka_errors.RetriableError:
            return {}


@contextmanager
def _answered() -> Generator[None]:
    try:
        yield
    except kafka_errors.RetriableError as error:
        raise Unanswered from error


class _NamesOfMembers(AbstractPartitionAssignor):
    """Assigns no partitions: tells every member who the others are. Who owns what, each works out from that.

    A member says its name and the membership that it knows; it is told a membership, as JSON of `Members`.
    """

    version = 0

    def __init__(self, instance: str) -> None:
        self._instance = instance
        self.told: dict[str, Any] | None = None

    @property
    def name(self) -> str:
        return "headrace-members"

    def metadata(self, topics: Any) -> Any:
        said = {"instance": self._instance, "knows": self.told}
        return ConsumerProtocolSubscription(self.version, sorted(topics), json.dumps(said).encode())

    def assign(self, cluster: Any, members: Any) -> dict[str, Any]:
        said = [json.loads(bytes(member.metadata.user_data)) for member in members]
        told = json.dumps(_membership(said)).encode()
        return {member.member_id: ConsumerProtocolAssignment(self.version, [], told) for member in members}

    def on_assignment(self, assignment: Any, generation: Any) -> None:
        self.told = json.loads(bytes(assignment.user_data))


def _membership(said: list[dict[str, Any]]) -> dict[str, Any]:
    """What all are told: the membership that they know, if nobody came or went (rebalances have other causes too)."""
    names = sorted({one["instance"] for one in said})
    known = [one["knows"] for one in said if one["knows"] is not None]
    if len(known) == len(said) and all(one == known[0] for one in known) and known[0]["names"] == names:
        return known[0]
    # What most of them know: one that was away knows an older membership, one that came first a newer one.
    before = Counter(tuple(one["names"]) for one in known).most_common(1)
    return {"id": str(uuid4()), "names": names, "before": before[0][0] if before else ()}


def _keep_joins(coordinator: Any) -> None:
    """A join that ends between two polls counts. kafka-python drops its end, and begins another, for the whole group.

    It goes on by itself on the client's own thread, and only a poll that waits at that moment takes its end: with an
    answer that takes longer than a poll waits, a group never comes to rest.
    """
    join, complete = coordinator._do_join_and_sync_async, coordinator._on_join_complete_async
    kept: list[tuple[Any, bytes]] = []  # of one generation, its end that nobody has taken yet

    async def joined() -> bytes:
        if not kept or kept[0][0] != coordinator._generation:
            kept.clear()
            assignment = await join()
            kept.append((coordinator._generation, assignment))
        return kept[0][1]

    async def completed(*told: Any) -> None:
        kept.clear()
        await complete(*told)

    coordinator._do_join_and_sync_async, coordinator._on_join_complete_async = joined, completed


class GroupConsumer(KafkaConsumer):
    """A member of a consumer group that reads nothing: the broker notices when a member is gone, and says who is there.

    `session_timeout_ms`: a member that was silent for so long is gone.
    """

    def __init__(self, settings: KafkaSettings, group: str, instance: str, topic: str, session_timeout_ms: int) -> None:
        self._names = _NamesOfMembers(instance)
        _build(
            settings,
            super().__init__,
            group_id=group,
            enable_auto_commit=False,
            partition_assignment_strategy=[self._names],
            session_timeout_ms=session_timeout_ms,
            heartbeat_interval_ms=max(500, session_timeout_ms // 10),
            # A rebalance waits so long for a member that is alive and does not come.
            max_poll_interval_ms=max(30_000, session_timeout_ms),
            metrics_enabled=False,
        )
        _never_create_topics(self._cluster)
        _keep_joins(self._coordinator)
        self.subscribe([topic])

    def heard(self) -> dict[str, Any] | None:
        """Keep the place in the group; the newest membership that was told, None before the first.

        While the group is joined it waits for up to JOIN_WAIT_MS, for in no time at all kafka-python never comes to the
        end of a join. Raises Unanswered where asking again may help, and AccessDenied.
        """
        joining = self._coordinator.need_rejoin() or self._coordinator.rejoining
        try:
            with _answered():
                self.poll(timeout_ms=JOIN_WAIT_MS if joining else 0, max_records=1)
        except _DENIED as error:
            raise AccessDenied(f"{type(error).__name__}: {error}") from error
        return self._names.told


class Producer(KafkaProducer):
    """One generation of an idempotent producer: its first failure is its end.

    From the failure on it puts nothing more on the wire, and every send not yet acknowledged is completed with
    SendFailed, even if an acknowledgement comes later. Completions are put into `done` on kafka-python's sender thread.
    """

    def __init__(self, settings: KafkaSettings, done: SimpleQueue[Completion]) -> None:
        self.failure: SendFailed | None = None
        self._bootstrap = settings.bootstrap
        self._done = done
        _build(
            settings,
            super().__init__,
            acks="all",
            enable_idempotence=True,
            linger_ms=2,
            batch_size=256 * 1024,
            max_request_size=4 * 1024 * 1024,
            delivery_timeout_ms=_DELIVERY_TIMEOUT_MS,
            max_block_ms=_BLOCK_MS,
            metrics_enabled=False,
        )
        _never_create_topics(self._metadata)

    def put(
        self, wire: WirePartition, key: bytes | None, value: bytes | None, headers: Headers, ticket: Ticket
    ) -> None:
        """Take one record. Raises TopicMissing if the topic or partition does not show up within two seconds."""
        try:
            if wire.partition not in self.partitions_for(wire.topic):
                raise TopicMissing(ticket.tp)
        except kafka_errors.KafkaTimeoutError as error:
            raise TopicMissing(ticket.tp) from error
        future = self.send(wire.topic, value=value, key=key, headers=list(headers), partition=wire.partition)
        future.add_callback(self._acknowledged, ticket)
        future.add_errback(self._failed, ticket)

    def _acknowledged(self, ticket: Ticket, metadata: Any) -> None:
        if metadata.offset < 0:
            # A repetition that the broker refused as such, after its first answer was lost: it says no offset then.
            self._failed(ticket, kafka_errors.DuplicateSequenceNumberError("it stands in the log, the offset is lost"))
        elif self.failure is None:
            self._done.put((ticket, metadata.offset, None))
        else:
            self._done.put((ticket, None, SendFailed(ticket.tp, self.failure.reason)))

    def _failed(self, ticket: Ticket, error: BaseException) -> None:
        if isinstance(error, kafka_errors.MessageSizeTooLargeError | kafka_errors.RecordListTooLargeError):
            refused: SendError = RecordTooLarge(ticket.tp, ticket.size_bytes, None)
        else:
            refused = SendFailed(ticket.tp, f"{type(error).__name__}: {error}")
        if self.failure is None:
            self.failure = SendFailed(ticket.tp, f"{type(error).__name__}: {error}")
            _log.warning("producer given up after a failed send; the next send builds a new one: %s", error)
            self._sender.force_close()
        self._done.put((ticket, None, refused))

    def abandon(self) -> None:
        """Stop at once: `close` would first wait for all that is in flight, and raise if that takes too long."""
        self._unregister_cleanup()
        self._sender.force_close()
        self._sender.join(2.0)
        self._closed = True


class AdminClient(KafkaAdminClient):
    """Topics by their names in the cluster. All methods raise Unanswered where asking again may help."""

    def __init__(self, settings: KafkaSettings) -> None:
        _build(settings, super().__init__)

    def partition_count(self, topic: str) -> int | None:
        """Number of partitions, or None if there is no such topic."""
        with _answered():
            [said] = self.describe_topics([topic])
        if said["error_code"] == kafka_errors.UnknownTopicOrPartitionError.errno:
            return None
        return len(said["partitions"])

    def topic_names(self) -> list[str]:
        """All topics, Kafka's own included."""
        with _answered():
            return self.list_topics()

    def make(self, topic: str, partitions: int, replication_factor: int, config: Mapping[str, str]) -> None:
        """Create a topic; one that exists is left as it is. Raises AccessDenied or TopicRefused."""
        wanted = {"num_partitions": partitions, "replication_factor": replication_factor, "configs": dict(config)}
        try:
            with _answered():
                self.create_topics(new_topics={topic: wanted}, wait_for_metadata=True)
        except kafka_errors.TopicAlreadyExistsError:
            return
        except _DENIED as error:
            raise AccessDenied(f"{type(error).__name__}: {error}") from error
        except kafka_errors.BrokerResponseError as error:
            raise TopicRefused(topic, f"{type(error).__name__}, {error.description}") from error
