"""What a process of a service runs on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from shared.runtime.artifacts import ArtifactStore
from shared.runtime.log import Broker, DamagedBatch
from shared.runtime.open_files import Files
from shared.runtime.ownership import Membership
from shared.runtime.service import Executor
from shared.runtime.settings import COPY_EVERY_S
from shared.runtime.task_file import OutboxRow

BATCH = 1_000


class Clock(Protocol):
    """Time for what is measured, coalesced or waited for; nothing that is decided reads it."""

    def now_s(self) -> float: ...

    def wall_ms(self) -> int: ...


@dataclass(frozen=True)
class Host:
    """The ports of a process, and its bounds."""

    broker: Broker
    clock: Clock
    files: Files
    executor: Executor
    artifacts: ArtifactStore
    instance: str
    folder: Path | None = None
    largest_event_bytes: int = 1_000_000
    batch: int = BATCH  # the most entries of a log that one turn takes, and one transaction holds
    copy_every_s: float = COPY_EVERY_S
    membership: Membership | None = None  # None: there is no other instance
    set_aside: Callable[[OutboxRow], None] = lambda row: None  # told once of each dead letter and each rejected record
    passed_over: Callable[[DamagedBatch], None] = lambda damage: None  # told of what users wrote and nobody can read
