"""What a process tells others about itself: progress, readiness and counts, taken by the driver between turns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import BaseModel

from shared.contracts.envelope import NEVER_MS

if TYPE_CHECKING:
    from shared.runtime.process import Process


class Progress(BaseModel):
    """`GET /progress`. Ends and positions are offsets of the next entry, by `topic/partition`.

    `membership` names what the instance knows of the others of its service; None while it has not joined them.
    A platform has settled when no process has `pending` or `doing`, and every log that one has `sent` to is `applied`
    that far by all who read it, twice in a row.
    """

    service: str
    instance: str
    membership: str | None
    incarnation: str
    log_id: str | None
    control: int
    applied: dict[str, int]
    sent: dict[str, int]
    pending: int
    doing: list[str]
    waiting: dict[str, str]


@dataclass(frozen=True, slots=True)
class TaskFigures:
    """`GET /tasks`. `position` is the offset of the next entry, `held` why it is not taken."""

    id: str
    position: int
    held: str | None
    step: str
    subject: str
    partition: int
    read: int
    skipped: int
    derived: int
    dead: int
    behind_watermark: int
    lag: int
    peak_lag: int
    watermark_ms: int | None
    outbox: int
    copy_age_s: float
    damaged: int = 0
    disk_full: bool = False


@dataclass(frozen=True, slots=True)
class Rests:
    """A task; or another file, of which `step` says what it is."""

    step: str
    subject: str
    partition: int | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`without_room`: what else rests for want of room on a disk: tasks that are not open, files that are no task's."""

    progress: Progress
    tasks: list[TaskFigures] = field(default_factory=list[TaskFigures])
    without_room: list[Rests] = field(default_factory=list["Rests"])


def snapshot(process: Process, incarnation: str) -> Snapshot:
    """Everything at one moment; called on the driver's thread."""
    progress = Progress(
        service=process.service.name,
        instance=process.instance,
        membership=process.membership,
        incarnation=incarnation,
        log_id=process.history.log_id,
        control=process.history.position,
        applied={f"{topic}/{p}": end for (topic, p), end in process.applied().items()},
        sent={f"{topic}/{p}": end for (topic, p), end in process.sent().items() if end},
        pending=process.pending,
        doing=process.doing(),
        waiting=dict(process.awaited),
    )
    return Snapshot(progress, _figures(process), _without_room(process))


def _without_room(process: Process) -> list[Rests]:
    resting = process.full_disks.said.keys() - process.tasks.keys()
    if not resting:
        return []  # as on almost every turn
    specs = {spec.id: spec for spec in process.history.newest.definitions.tasks}
    return [
        Rests(spec.step, spec.subject, spec.partition) if (spec := specs.get(what)) else Rests(what, "", None)
        for what in sorted(resting)
    ]


def _figures(process: Process) -> list[TaskFigures]:
    return [_task_figures(process, task_id) for task_id in process.tasks]


def _task_figures(process: Process, task_id: str) -> TaskFigures:
    task = process.tasks[task_id]
    spec, counts = task.spec, task.counts
    return TaskFigures(
        id=task_id,
        position=task.position,
        held=task.held,
        step=spec.step,
        subject=spec.subject,
        partition=spec.partition,
        read=counts.read,
        skipped=counts.skipped,
        derived=counts.derived,
        dead=counts.dead,
        behind_watermark=counts.behind_watermark,
        lag=process.intake.lag(task_id),
        peak_lag=process.intake.take_peak_lag(task_id),
        watermark_ms=None if task.watermark_ms == NEVER_MS else task.watermark_ms,
        outbox=process.owned.relays[task_id].pending,
        copy_age_s=process.owned.copier.age_s(task_id, task.reached),
        damaged=counts.damaged,
        disk_full=task_id in process.full_disks.said,
    )
