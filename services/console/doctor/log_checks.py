"""Checks of the log: the broker, control.v1, the topics and how long they keep what they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.console.doctor.facts import Facts, LogLook
from services.console.doctor.finding import CannotLook, Check, Finding, Unseen, seen
from services.console.doctor.log_look import wanted_topics
from shared.contracts.topics import CONTROL
from shared.contracts.topology import Definitions
from shared.runtime.log import TopicPartition
from shared.runtime.topic_settings import topic_config
from shared.runtime.written_topics import HOW_TO_MEND


def broker(facts: Facts) -> Iterator[Finding]:
    """It answers, and lets us in."""
    if isinstance(facts.log, Unseen):
        yield Finding(
            Check.BROKER, facts.bootstrap, facts.log.reason,
            "every service waits for it; nothing is lost meanwhile, and all go on by themselves",
            "bring the broker back, or look where the services do: HEADRACE_KAFKA_* as theirs, or --data",
        )  # fmt: skip


def control_log(facts: Facts) -> Iterator[Finding]:
    """`control.v1` is there, whole and founded."""
    log = seen(facts.log)
    if log.broken is not None:
        yield Finding(
            Check.LOG, CONTROL.name, log.broken, "no service starts without all that was decided",
            "restore the topic from a backup of the cluster, or found the platform anew: `headrace up --fresh`",
        )  # fmt: skip
    elif not log.founded:
        there = log.partitions.get(CONTROL.name) is not None
        yield Finding(
            Check.LOG, CONTROL.name, "it holds no founding" if there else "the broker has no such topic",
            "all services wait for it", "start the registry, which founds the platform, beside this broker",
        )  # fmt: skip


def topics(facts: Facts) -> Iterator[Finding]:
    """Each topic that the definitions call for is there, with its partitions."""
    log = seen(facts.log)
    for topic, expected in sorted(wanted_topics(log.history.newest.definitions).items()):
        found = log.partitions.get(topic)
        if found is None and (topic != CONTROL.name or log.founded):
            yield Finding(
                Check.TOPICS, topic, "it does not exist", "whoever reads it waits, and so do all behind it",
                f"start {_writers(log, topic)}, which creates it; if it was deleted, its records are gone",
            )  # fmt: skip
        elif found is not None and found != expected:
            yield Finding(
                Check.TOPICS, topic, f"it has {found} partitions, the definitions say {expected}",
                "the tasks that write it do not begin, for keys would lie where nobody looks for them",
                HOW_TO_MEND,
            )  # fmt: skip


def _writers(log: LogLook, topic: str) -> str:
    tasks = log.history.newest.definitions.tasks
    writers = {task.service for task in tasks for output in task.outputs if output.topic == topic}
    heads = {task.service for task in tasks if task.head and task.topic == topic}
    own = {topic.removesuffix(".dead.v1")} if topic.endswith(".dead.v1") else set[str]()
    return " or ".join(sorted(writers | heads | own)) or "the registry"


def lost_records(facts: Facts) -> Iterator[Finding]:
    """No log has let go of what a task has not read, as far as it is told over HTTP, by files or by copies."""
    log = seen(facts.log)
    reached = _reached(facts)
    if not reached and log.history.newest.definitions.sources:
        raise CannotLook("no service answers, and neither files nor copies are here: how far tasks got is not known")
    for task in log.history.newest.definitions.tasks:
        position, ordinal = reached.get(task.id, (0, 0))
        beginning = log.beginnings.get(TopicPartition(task.topic, task.partition), 0)
        # One that has never done anything begins where its log does.
        if (position, ordinal) != (0, 0) and position < beginning:
            yield Finding(
                Check.LOST_RECORDS, task.id,
                f"it has read {task.topic}/{task.partition} up to {position}, and what that log still holds begins at "
                f"{beginning}: {beginning - position} records are gone",
                f"{task.service} stops, for without them what it derives would be wrong",
                "make a replica that still holds them the leader; otherwise rebuild with `headrace archive`, see "
                "docs/operations.md, Records that are gone",
            )  # fmt: skip


def _reached(facts: Facts) -> dict[str, tuple[int, int]]:
    """How far each task got (position, outbox ordinal), by whatever tells most of it; HTTP tells of positions only."""
    found = {} if isinstance(facts.copies, Unseen) else dict(facts.copies)
    folders = [] if isinstance(facts.folders, Unseen) else facts.folders
    told = [(task.id, (task.position, 0)) for look in facts.answering for task in look.tasks]
    for task, reached in [*(item for folder in folders for item in folder.reached.items()), *told]:
        found[task] = max(found.get(task, (0, 0)), reached)
    return found


def retention(facts: Facts) -> Iterator[Finding]:
    """No topic of ours lets go of records earlier than its definition says. Users' own topics are theirs to set."""
    log = seen(facts.log)
    settings, definitions = seen(log.settings), log.history.newest.definitions
    users = {source.topic_name for source in definitions.sources.values()}
    for topic in sorted(settings.keys() - users):
        yield from _wrong_settings(topic, settings[topic], definitions)


def _wrong_settings(topic: str, found: Mapping[str, str], definitions: Definitions) -> Iterator[Finding]:
    wanted = topic_config(topic, definitions)
    if "compact" in found.get("cleanup.policy", "delete"):
        yield _setting(
            topic, "cleanup.policy", found, wanted["cleanup.policy"],
            "of the records of a key all but the newest go: readers take that for a gap, and wait for ever",
        )  # fmt: skip
    if _shorter(found.get("retention.ms", "-1"), wanted["retention.ms"]):
        yield _setting(
            topic, "retention.ms", found, wanted["retention.ms"],
            "what was decided would go, and with it the platform" if topic == CONTROL.name
            else "a service that is away for longer finds records gone that it has not read",
        )  # fmt: skip
    if _shorter(found.get("retention.bytes", "-1"), "-1"):
        yield _setting(
            topic, "retention.bytes", found, "-1", "a burst of records lets older ones go before they are read"
        )
    if _shorter(found.get("max.message.bytes", wanted["max.message.bytes"]), wanted["max.message.bytes"]):
        yield _setting(
            topic, "max.message.bytes", found, wanted["max.message.bytes"],
            "an event that needs more stops the service that writes it",
        )  # fmt: skip


def _shorter(found: str, wanted: str) -> bool:
    """-1 is without end."""
    return int(found) != -1 and (int(wanted) == -1 or int(found) < int(wanted))


def _setting(topic: str, name: str, found: Mapping[str, str], wanted: str, matters: str) -> Finding:
    return Finding(
        Check.RETENTION, topic, f"{name} is {found[name]}, and should be {wanted}", matters,
        f"kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config {name}={wanted}, with your "
        "--bootstrap-server and the prefix of the topics",
    )  # fmt: skip
