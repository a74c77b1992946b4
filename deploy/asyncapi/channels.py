"""Channels: one for each topic, and one for each family of topics, whose address has the name that it is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.asyncapi.messages import LETTER, MARK, RECORD, message_name
from shared.contracts import topics
from shared.contracts.definitions import FeatureView, Model, Source
from shared.contracts.envelope import Event
from shared.contracts.flow import EventBuried, TimerReplayed
from shared.contracts.topology import NO_DEFINITIONS, Definitions
from shared.runtime.topic_settings import topic_config

_OF_SOURCE: Mapping[str, Any] = {"key": "k", "id": "i", "time": {"field": "t"}}
_FIELDS = {"k": "string", "i": "string", "e": "string", "y": "boolean"}
_VIEW = {"source": "records", "ttl": "1d", "features": {"n": {"aggregate": "count", "over": "1h"}}}
_MODEL = {
    "scores": "records",
    "task": "binary",
    "inputs": {"views": ["view", "other"]},
    "label": {"source": "labels", "field": "y", "joins": "k", "matures_after": "1h", "expires_after": "1d"},
}
# One of each kind, with what each of them calls for. Their names stand for any other.
SAMPLE: Definitions = NO_DEFINITIONS.with_applied(
    (
        Source.written({"name": "records", "topic": "published", "fields": _FIELDS, **_OF_SOURCE}),
        Source.written({"name": "labels", "fields": _FIELDS, **_OF_SOURCE}),
        FeatureView.written({"name": "view", "entity": "k", **_VIEW}),
        FeatureView.written({"name": "other", "entity": "e", **_VIEW}),
        Model.written({"name": "model", **_MODEL}),
    )
)
PARAMETERS: Mapping[str, str] = {
    "topic": "A source's `topic`, which is its name unless the definition says another.",
    "source": "The name of a source.",
    "view": "The name of a feature view.",
    "entity": "The name of a source, and after a hyphen the field that names an entity which is not its key.",
    "model": "The name of a model.",
    "service": "The name of a service.",
}


@dataclass(frozen=True, slots=True)
class Channel:
    """`messages`: the keys of all that may stand in it. `parameter`: the name within its address."""

    key: str
    address: str
    messages: tuple[str, ...]
    parameter: str | None = None
    description: str = ""


def channel_of(topic: str) -> Channel:
    """The channel of a topic of the sample. Raises KeyError for one that the definitions do not call for."""
    published = {source.topic_name for source in SAMPLE.sources.values()}
    if topic in published:
        return Channel("published", "{topic}", (RECORD,), "topic", "What users publish. The others are ours alone.")
    if topic in {topics.dead_letters(task.service) for task in SAMPLE.tasks}:
        return Channel("dead", topics.dead_letters("{service}"), (LETTER,), "service")
    for one in (topics.CONTROL, topics.REJECTED):
        if topic == one.name:
            return Channel(topic.removesuffix(".v1").replace(".", "_"), topic, _keys((*one.events, EventBuried)))
    for family in _families():
        subject = family.subject(topic)
        if subject is not None:
            parameter = _parameter(subject)
            marked = any(where == topic for where, _ in SAMPLE.writers)
            # What a task reads may hold dead letters that come back, timers among them.
            keys = (*_keys((*family.events, EventBuried)), *((*_keys((TimerReplayed,)), MARK) if marked else ()))
            return Channel(family.prefix, family.of(f"{{{parameter}}}").name, keys, parameter)
    raise KeyError(topic)


def channels() -> dict[str, dict[str, Any]]:
    """Every channel by its key."""
    dead = (topics.dead_letters(task.service) for task in SAMPLE.tasks)
    made = [channel_of(topic) for topic in (*SAMPLE.partitions, *dead)]
    return {channel.key: _shown(channel) for channel in made}


def services() -> list[str]:
    """The services that have tasks, and so dead letters."""
    return sorted({task.service for task in SAMPLE.tasks})


def _shown(channel: Channel) -> dict[str, Any]:
    shown: dict[str, Any] = {"address": channel.address}
    if channel.description:
        shown["description"] = channel.description
    if channel.parameter:
        choice = {"enum": services()} if channel.parameter == "service" else {}
        shown["parameters"] = {channel.parameter: {"description": PARAMETERS[channel.parameter], **choice}}
    shown["messages"] = {key: {"$ref": f"#/components/messages/{key}"} for key in channel.messages}
    if channel.address == topics.CONTROL.name:
        config = topic_config(channel.address, SAMPLE)
        settings = {"cleanup.policy": [config["cleanup.policy"]], "retention.ms": int(config["retention.ms"])}
        shown["bindings"] = {"kafka": {"partitions": 1, "topicConfiguration": settings, "bindingVersion": "0.5.0"}}
    return shown


def _keys(events: Sequence[type[Event]]) -> tuple[str, ...]:
    return tuple(message_name(event) for event in events)


def _families() -> list[topics.TopicFamily]:
    return [one for one in vars(topics).values() if isinstance(one, topics.TopicFamily)]


def _parameter(subject: str) -> str:
    if subject in SAMPLE.sources:
        return "source"
    if subject in SAMPLE.views:
        return "view"
    return "model" if subject in SAMPLE.models else "entity"
