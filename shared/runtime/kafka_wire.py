"""What passes between kafka-python, whose types end here, and the reader, writer or admin that owns a client."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from shared.runtime.kafka_clients.wire_partition import WirePartition
from shared.runtime.log import Forked, OnDone, SendError, TopicPartition

DAMAGE_TRIES = 3  # what was damaged on its way is whole the next time; what is damaged at the broker is not


class Answer(NamedTuple):
    """What one fetch said about one log; `error_code` 0 is none."""

    wire: WirePartition
    fetch: int
    offset: int
    high_watermark: int
    error_code: int


class FetchPlan(NamedTuple):
    """What the next fetch will ask for: see FetchWait.choose_ms."""

    asked: list[WirePartition]
    left_out: bool
    prefetching: bool
    paused: bool


class PositionLost(Exception):
    """The broker has no record at this position any more, or never had."""

    def __init__(self, wire: WirePartition, asked: int) -> None:
        super().__init__(wire, asked)
        self.wire, self.asked = wire, asked


class Unanswered(Exception):
    """The connection ended, or time was up, before the broker had answered."""


class Ticket(NamedTuple):
    """One send: where to, how much, and whom to tell."""

    tp: TopicPartition
    size_bytes: int
    on_done: OnDone


class Completion(NamedTuple):
    """Sends that were answered together: all failed, or all stand in their log, one by one from offset `first` on."""

    tickets: Sequence[Ticket]
    first: int
    error: SendError | None = None


class Home:
    """The process that a port was made in. kafka-python's clients do not survive a fork: used there, they hang."""

    def __init__(self) -> None:
        self._process = os.getpid()

    def require(self) -> None:
        """Raises Forked anywhere else."""
        if os.getpid() != self._process:
            raise Forked(self._process, os.getpid())
