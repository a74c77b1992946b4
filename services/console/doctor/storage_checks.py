"""Checks of what is kept: copies of tasks' files, room on disks, and state that belongs to another log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.console.doctor.facts import Facts, LogLook, ServiceLook
from services.console.doctor.finding import CannotLook, Check, Finding, seen
from shared.contracts.topics import CONTROL
from shared.runtime.about import Disk

_FRESH = "`headrace up --fresh` (with --broker kafka, if that is the broker)"


def copies(facts: Facts) -> Iterator[Finding]:
    """The object store answers, and no task is much further than its newest copy there."""
    for look in facts.answering:
        yield from _old_copies(facts, look)
    if facts.store_fault is not None:
        yield Finding(
            Check.COPIES, "object store", facts.store_fault,
            "no copies of state, no segments and no models can be written or read",
            "bring it back, or check HEADRACE_OBJECT_STORE: all services need the same",
        )  # fmt: skip
        return
    yield from _copies_elsewhere(facts, seen(facts.copies))


def _old_copies(facts: Facts, look: ServiceLook) -> Iterator[Finding]:
    if look.about is None:
        return
    limit_s = facts.limits.copy_age_turns * look.about.copy_every_s + facts.limits.copy_grace_s
    for task in look.tasks:
        if task.copy_age_s > limit_s:
            yield Finding(
                Check.COPIES, task.id,
                f"for {task.copy_age_s:.0f} s it has been further than its newest copy, which is made every "
                f"{look.about.copy_every_s:g} s",
                "were its disk lost now, all since then would be replayed, as long as its log still holds it",
                f"see `no copy of a task's file could be made` in the log of {look.name}: most often the object store "
                "is away or full",
            )  # fmt: skip


def _copies_elsewhere(facts: Facts, stored: Mapping[str, tuple[int, int]]) -> Iterator[Finding]:
    """A task whose process says that its newest copy is as far as itself, twice: the store must have it."""
    for look in facts.answering:
        before = facts.earlier(look)
        for task in before.tasks if before is not None else ():
            if task.copy_age_s == 0.0 and task.position > stored.get(task.id, (0, 0))[0]:
                found = f"stands at {stored[task.id][0]}" if task.id in stored else "is not there"
                yield Finding(
                    Check.COPIES, task.id, f"it was copied at position {task.position}, and that copy {found}",
                    "were its disk lost now, it would begin further back than it says",
                    f"give {look.name} the HEADRACE_OBJECT_STORE of all others, and let nothing else remove copies",
                )  # fmt: skip


def disks(facts: Facts) -> Iterator[Finding]:
    """Room for what comes, wherever state and objects lie."""
    found = {f"{look.name}: {look.about.disk.folder}": look.about.disk for look in facts.answering if look.about}
    found |= {name: disk for name, disk in facts.disks.items() if disk not in found.values()}
    if not found:
        raise CannotLook("no service answers, and none has state on this machine")
    for name, disk in found.items():
        if _nearly_full(disk, facts):
            yield Finding(
                Check.DISKS, name,
                f"{_gib(disk.free_bytes)} of {_gib(disk.total_bytes)} are free",
                "tasks pause when nothing can be written any more, and all behind them wait",
                "free some room on that disk, or move --data to a larger one",
            )  # fmt: skip


def _nearly_full(disk: Disk, facts: Facts) -> bool:
    limits = facts.limits
    little = disk.free_bytes < limits.disk_free_share * disk.total_bytes and disk.free_bytes < limits.disk_enough_bytes
    return little or disk.free_bytes < limits.disk_free_bytes


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"


def state(facts: Facts) -> Iterator[Finding]:
    """Files and processes belong to the log that the broker holds."""
    log = seen(facts.log)
    held = log.history.log_id
    for look in facts.answering:
        its = look.progress["log_id"] if look.progress else None
        if its is not None and its != held:
            yield Finding(
                Check.STATE, look.name, f"it works on log {its}, the broker here holds {_said(held)}",
                "one of the two is another platform's, or the broker has begun anew and forgotten the log",
                f"point HEADRACE_KAFKA_BOOTSTRAP at the same broker for all; if it began anew: {_FRESH}",
            )  # fmt: skip
    yield from _beyond(facts, log)  # before the folders, which may not be here
    for folder in seen(facts.folders):
        if folder.log_id is not None and folder.log_id != held:
            yield Finding(
                Check.STATE, str(folder.path),
                f"the state of {folder.process} was made beside log {folder.log_id}, the broker holds {_said(held)}",
                "the two never mix: that service stops as soon as it is started",
                f"point HEADRACE_KAFKA_BOOTSTRAP at the broker that it belongs to, or set it aside with {_FRESH}",
            )  # fmt: skip


def _beyond(facts: Facts, log: LogLook) -> Iterator[Finding]:
    """A process that has read more of control.v1 than there is."""
    for look in facts.before.values():
        ours = look.progress is not None and look.progress["log_id"] == log.history.log_id
        read = look.progress["control"] if look.progress else 0
        if ours and read > log.history.position and log.broken is None:
            yield Finding(
                Check.STATE, look.name,
                f"it has read {read} entries of {CONTROL.name}, the broker holds {log.history.position}",
                "the broker has lost entries that were acknowledged: what was decided since is gone",
                "bring back the replicas that hold them before anything else is decided; see docs/reliability.md",
            )  # fmt: skip


def _said(log_id: str | None) -> str:
    return "none" if log_id is None else f"log {log_id}"
