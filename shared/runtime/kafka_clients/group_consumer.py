"""A place in a consumer group that is kept between two looks at it, however long a join takes."""
# The stubs are of kafka-python 2.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from typing import Any

from kafka import KafkaConsumer

from shared.runtime.kafka_clients.connection import answered, build, never_create_topics
from shared.runtime.kafka_clients.member_names import NamesOfMembers
from shared.runtime.kafka_settings import KafkaSettings

JOIN_WAIT_MS = 20


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
        self._names = NamesOfMembers(instance)
        build(
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
        never_create_topics(self._cluster)
        _keep_joins(self._coordinator)
        self.subscribe([topic])

    def heard(self) -> dict[str, Any] | None:
        """Keep the place in the group; the newest membership that was told, None before the first.

        While the group is joined it waits for up to JOIN_WAIT_MS, for in no time at all kafka-python never comes to the
        end of a join. Raises Unanswered where asking again may help, and AccessDenied.
        """
        if self._coordinator.rejoining:
            # What it joins anew for may be gone before the join has ended: a leader whose topics' metadata changed has
            # assigned them by then. kafka-python would leave it at that, without heartbeats, and out of the group.
            self._coordinator.request_rejoin()
        joining = self._coordinator.need_rejoin()
        with answered():
            self.poll(timeout_ms=JOIN_WAIT_MS if joining else 0, max_records=1)
        return self._names.told
