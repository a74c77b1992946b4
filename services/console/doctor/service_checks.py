"""Checks of the processes: whether they answer, what they wait for, and whether their tasks move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from services.console.doctor.facts import Facts, ServiceLook
from services.console.doctor.finding import CannotLook, Check, Finding, Unseen, seen
from shared.contracts.topology import TaskSpec
from shared.runtime.written_topics import HOW_TO_MEND

# By what waits; its reason may name a topic or the object store as well. See FollowedLogs.
_TABLE = (
    "nothing is answered from a part of a table: what needs it is refused until it is whole",
    "bring the object store back, or check HEADRACE_OBJECT_STORE: it goes on by itself with a copy that can be read; "
    "where entries are in no copy and in no log any more, declare the view under a new name, see docs/operations.md, "
    "Copies",
)
# What a reason says, why it matters, and what mends it; see DiskFull, ArtifactMissing and Process.awaited.
_REASONS = (
    (
        "cannot be written", "the task pauses, and all behind it wait; nothing is lost",
        "free some room on that disk, or move --data to a larger one: it goes on by itself",
    ),
    (
        "object store", "the task does not begin, for a copy of its file may be further than an empty one",
        "bring the object store back, or check HEADRACE_OBJECT_STORE: all services need the same",
    ),
    (
        "does not exist yet", "the task begins when its topic is there",
        "start the service that writes the topic; see the findings about topics",
    ),
    (
        "joins the others", "an instance that is not in its group does no work",
        "check HEADRACE_SHARE of all its instances, and, in a group, that the broker answers",
    ),
    (
        "its definition says", "the tasks that write the topic do not begin; all others go on",
        HOW_TO_MEND,
    ),
    ("registry", "nothing begins before the platform is founded", "start the registry"),
)  # fmt: skip
_OTHERWISE = ("its work stands still meanwhile", "see the log of the service, and docs/operations.md")


def services(facts: Facts) -> Iterator[Finding]:
    """Each process answers, turns, and waits for nothing."""
    if not facts.services:
        raise CannotLook("no URL of a service is known: name the console with --console")
    for look in facts.services.values():
        if look.away is not None:
            yield _away(look)
        elif not look.live:
            yield Finding(
                Check.SERVICES, look.name, f"its loop has not turned for {look.silent_s:.0f} s",
                "it does no work, though its process runs", "kill it and start it again: it goes on from its files",
            )  # fmt: skip
        else:
            yield from _waits(facts, look)


def _away(look: ServiceLook) -> Finding:
    last = f"; its log ends with: {look.log_line}" if look.log_line else ""
    mend = (
        "mend what its log ends with, then start it" if look.log_line else "start it, or see why its log says it ended"
    )
    return Finding(
        Check.SERVICES, look.name, f"{look.away}{last}", "what it should do waits; it goes on from its files",
        f"{mend}; if it runs elsewhere, say where in HEADRACE_SERVICE_URLS",
    )  # fmt: skip


def _waits(facts: Facts, look: ServiceLook) -> Iterator[Finding]:
    """What it waits for at both looks. That the broker is away is told of the broker, unless we reach it."""
    before = facts.before.get(look.name)
    for what, reason in look.reasons.items():
        lasting = before is not None and what in before.reasons
        if lasting and not (what == "kafka" and isinstance(facts.log, Unseen)):
            matters, mend = _advice(what, reason)
            yield Finding(Check.SERVICES, look.name, f"{what} waits: {reason}", matters, mend)


def _advice(what: str, reason: str) -> tuple[str, str]:
    if what.startswith("table "):
        return _TABLE
    return next(((matters, mend) for said, matters, mend in _REASONS if said in reason), _OTHERWISE)


def tasks(facts: Facts) -> Iterator[Finding]:
    """Each task that the definitions call for is somebody's, and moves while its input holds something."""
    if not facts.answering:
        raise CannotLook("no service answers")
    yield from _stuck(facts)
    yield from _misowned(facts)


def _stuck(facts: Facts) -> Iterator[Finding]:
    for look in facts.answering:
        if "kafka" in look.reasons:
            continue  # it waits for the broker, and all of its tasks with it
        before = facts.earlier(look)
        stood = {task.id: task for task in before.tasks} if before is not None else {}
        for task in look.tasks:
            then = stood.get(task.id)
            if then is None or not then.lag or not task.lag or then.position != task.position:
                continue
            why = task.held or look.reasons.get(task.id)
            yield Finding(
                Check.TASKS, task.id,
                f"{task.lag} entries of its input are not applied, and none was for {facts.apart_s:g} s"
                + (f": {why}" if why else ""),
                "its outputs stand still, and all behind it with them",
                "bring what it waits for" if why
                else f"see the log of {look.name}; start it again if it does not go on by itself",
            )  # fmt: skip


def _misowned(facts: Facts) -> Iterator[Finding]:
    definitions = seen(facts.log).history.newest.definitions
    now, then = _owners(facts.services), _owners(facts.before)
    waiting = {what for look in facts.services.values() for what in look.reasons}
    whole = _answer_in_full(facts) - facts.of_two_releases
    for spec in definitions.tasks:
        if spec.service not in whole:
            continue
        if not now[spec.id] and not then[spec.id] and spec.id not in waiting:
            yield _nobodys(spec)
        elif now[spec.id] > 1 and then[spec.id] > 1:
            yield Finding(
                Check.TASKS, spec.id, f"{now[spec.id]} instances of {spec.service} work on it",
                "they say the same, and readers count it once, but the work is done twice",
                "give all instances the same HEADRACE_SHARE (machine or group), and each an instance name of its own",
            )  # fmt: skip


def _owners(looks: Mapping[str, ServiceLook]) -> Counter[str]:
    return Counter(task.id for look in looks.values() for task in look.tasks)


def _answer_in_full(facts: Facts) -> set[str]:
    """Services of which every process that is known answered at both looks."""
    silent = {look.service for looks in (facts.services, facts.before) for look in looks.values() if look.away}
    return {look.service for look in facts.services.values()} - silent


def _nobodys(spec: TaskSpec) -> Finding:
    return Finding(
        Check.TASKS, spec.id, f"no instance of {spec.service} works on it, though all that are known answer",
        "its input is not read, and all behind it wait",
        f"see the logs of {spec.service}; with HEADRACE_SHARE an instance that is not known here may hold it",
    )  # fmt: skip
