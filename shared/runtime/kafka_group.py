"""Knows the other instances of a service by a Kafka consumer group, which reads nothing."""

from __future__ import annotations

import time

from shared.contracts.topics import CONTROL
from shared.runtime.kafka_clients.group_consumer import GroupConsumer
from shared.runtime.kafka_reader import reachable
from shared.runtime.kafka_settings import KafkaSettings
from shared.runtime.kafka_wire import Home, Unanswered
from shared.runtime.log import BrokerAway
from shared.runtime.ownership import Members

_LOOK_EVERY_S = 0.1


class KafkaGroup:
    """One instance's place in the group of its service. While the broker is away, what was last known holds."""

    def __init__(self, settings: KafkaSettings, service: str, instance: str, session_timeout_s: float) -> None:
        self._settings, self._service, self._instance = settings, service, instance
        self._session_timeout_ms = round(session_timeout_s * 1000)
        self._home = Home()
        self._consumer: GroupConsumer | None = None
        self._members: Members | None = None
        self._look_s = float("-inf")

    def members(self) -> Members | None:
        """Who is there; asks the broker ten times a second. Raises BrokerAway and AccessDenied."""
        self._home.require()
        now_s = time.monotonic()
        if now_s < self._look_s:
            return self._members
        self._look_s = now_s + _LOOK_EVERY_S
        consumer = self._connected()
        try:
            told = consumer.heard()
        except Unanswered:
            return self._members
        if told is not None:
            self._members = Members(told["id"], tuple(told["names"]), tuple(told["before"]))
        return self._members

    def leave(self) -> None:
        """Leave the group, so that the others take over at once."""
        if self._consumer is not None:
            self._consumer.close(autocommit=False, timeout_ms=2_000)
            self._consumer = None

    def _connected(self) -> GroupConsumer:
        if self._consumer is None:
            if not reachable(self._settings):
                raise BrokerAway(self._settings.bootstrap)
            prefix = self._settings.topic_prefix
            self._consumer = GroupConsumer(
                self._settings, f"{prefix}headrace.{self._service}", self._instance, prefix + CONTROL.name,
                self._session_timeout_ms,
            )  # fmt: skip
        return self._consumer
