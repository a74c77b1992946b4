"""What can be seen of a platform: the facts that checks assess. No I/O here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.console.dead_letter_list import Letter
from services.console.doctor.finding import Unseen
from shared.runtime.about import About, Disk
from shared.runtime.history import ControlHistory
from shared.runtime.log import TopicPartition


@dataclass(frozen=True, slots=True)
class TaskLook:
    """A task as its process tells of it; see TaskFigures."""

    id: str
    position: int
    lag: int
    held: str | None
    copy_age_s: float


@dataclass(frozen=True, slots=True)
class ServiceLook:
    """One process over HTTP. `away`: why nothing was heard; `log_line`: the last error in its log, where that is here.

    `ahead_s`: how far its clock is ahead of ours, 0 within the time that the answer took.
    """

    name: str
    url: str
    away: str | None = None
    log_line: str | None = None
    silent_s: float = 0.0
    live: bool = True
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])
    progress: Mapping[str, Any] | None = None
    tasks: Sequence[TaskLook] = ()
    about: About | None = None
    ahead_s: float | None = None

    @property
    def service(self) -> str:
        """Replicas are called `serving-1`."""
        return self.name.partition("-")[0]


@dataclass(frozen=True, slots=True)
class LogLook:
    """What the broker holds. `broken`: why `control.v1` could not be read to its end; `unread`: the same of letters.

    `partitions` is None for a topic that the definitions call for and that is not there, even after a while.
    """

    history: ControlHistory
    broken: str | None
    newest_ms: int | None
    partitions: Mapping[str, int | None]
    settings: Mapping[str, Mapping[str, str]] | Unseen
    beginnings: Mapping[TopicPartition, int]
    letters: Sequence[Letter] | Unseen

    @property
    def founded(self) -> bool:
        return self.history.log_id is not None


@dataclass(frozen=True, slots=True)
class StateFolder:
    """The files of one process: the log beside which they were made, and how far each task got.

    `reached`: (position, outbox ordinal), as of copies; (0, 0) is a task that has never done anything.
    """

    path: Path
    log_id: str | None
    reached: Mapping[str, tuple[int, int]]

    @property
    def process(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}"


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on something is wrong."""

    clocks_apart_s: float = 3.0
    disk_free_bytes: int = 1 << 30
    disk_free_share: float = 0.05
    disk_enough_bytes: int = 10 << 30  # of a large disk five hundredths are room enough
    copy_age_turns: float = 2.0
    copy_grace_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was seen. `before`: the services a few seconds, `apart_s`, earlier."""

    bootstrap: str
    now_ms: int
    apart_s: float
    services: Mapping[str, ServiceLook]
    before: Mapping[str, ServiceLook]
    log: LogLook | Unseen
    copies: Mapping[str, tuple[int, int]] | Unseen
    store_fault: str | None
    folders: Sequence[StateFolder] | Unseen
    disks: Mapping[str, Disk]
    limits: Limits = field(default_factory=Limits)

    @property
    def answering(self) -> list[ServiceLook]:
        return [look for look in self.services.values() if look.away is None]

    @property
    def of_two_releases(self) -> set[str]:
        """Services whose processes are of different releases: each release has all tasks, and code of its own."""
        told = {(look.service, look.about.release) for look in self.answering if look.about is not None}
        return {service for service, count in Counter(service for service, _ in told).items() if count > 1}

    def earlier(self, look: ServiceLook) -> ServiceLook | None:
        """The same process at the first look, if it answered and was not started again since."""
        before = self.before.get(look.name)
        if before is None or before.away is not None or before.progress is None or look.progress is None:
            return None
        return before if before.progress.get("incarnation") == look.progress.get("incarnation") else None
