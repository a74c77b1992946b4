"""docs/asyncapi.yaml: what the code makes now, valid by the official schema, and true of each message of a history."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, FormatChecker

from deploy.asyncapi.channels import SAMPLE
from deploy.asyncapi.generate import TARGET, asyncapi_yaml
from deploy.asyncapi.messages import message_name
from shared.contracts import control, flow, topics
from shared.contracts.control_writers import CONTROL_WRITERS
from shared.contracts.envelope import Event, Mark, Message
from shared.runtime.dead_letters import dead_letter
from shared.runtime.log import LogRecord
from tests.scenarios.simulated import calm
from tests.scenarios.topic_history import TopicHistory
from tests.scenarios.workload import MODEL, PAYMENTS, TRUTHS, VIEW

Document = dict[str, Any]
OF_EACH_KIND = 25  # messages of a history that are held against their schema


@cache
def official() -> Draft7Validator:
    schema = Path(__file__).parent / "asyncapi" / "schema-3.0.0.json"
    return Draft7Validator(json.loads(schema.read_text()))


def document() -> Document:
    return yaml.safe_load(TARGET.read_text())


def test_the_committed_document_is_what_the_code_makes() -> None:
    assert TARGET.read_text() == asyncapi_yaml(), "run `make docs` and commit docs/asyncapi.yaml"


def test_it_is_valid_by_the_official_schema() -> None:
    assert [error.message for error in official().iter_errors(document())] == []


def _no_version(doc: Document) -> None:
    del doc["info"]["version"]


def _other_action(doc: Document) -> None:
    doc["operations"]["serving_sends_predictions"]["action"] = "publish"


def _mapping(doc: Document) -> None:
    doc["components"]["schemas"]["ApplyDefinitions"]["discriminator"] = {"propertyName": "kind"}


def _unknown_member(doc: Document) -> None:
    doc["channels"]["intake"]["topic"] = "intake"


@pytest.mark.parametrize("damage", [_no_version, _other_action, _mapping, _unknown_member])
def test_the_official_schema_finds_what_is_wrong(damage: Callable[[Document], None]) -> None:
    damaged = document()
    damage(damaged)
    assert not official().is_valid(damaged)


def _references(node: Any) -> Iterator[str]:
    match node:
        case {"$ref": str(reference)}:
            yield reference
        case dict():
            for value in node.values():
                yield from _references(value)
        case list():
            for value in node:
                yield from _references(value)
        case _:
            return


def test_every_reference_leads_somewhere_and_every_parameter_is_one_of_its_address() -> None:
    doc = document()
    for reference in _references(doc):
        node = doc
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    for channel in doc["channels"].values():
        named = set(channel.get("parameters", {}))
        assert named == {part.partition("}")[0] for part in channel["address"].split("{")[1:]}


def test_every_topic_and_family_has_a_channel_and_every_event_a_message() -> None:
    doc = document()
    addresses = {channel["address"] for channel in doc["channels"].values()}
    families = [one for one in vars(topics).values() if isinstance(one, topics.TopicFamily)]
    single = [one for one in vars(topics).values() if isinstance(one, topics.Topic)]
    assert len(addresses) == len(families) + len(single) + 2
    assert {one.name for one in single} < addresses
    assert all(any(address.startswith(f"{one.prefix}.{{") for address in addresses) for one in families)
    events = {one.ce_type for part in (control, flow) for one in vars(part).values() if _is_event(one)}
    assert {message.get("name") for message in doc["components"]["messages"].values()} - {None} == events


def _is_event(one: object) -> bool:
    return isinstance(one, type) and issubclass(one, Event) and one is not Event


def test_every_service_and_every_event_of_the_control_log_has_its_writer() -> None:
    senders = {name.split("_")[0] for name in document()["operations"]}
    assert senders == {*CONTROL_WRITERS, "features"}
    assert {event for events in CONTROL_WRITERS.values() for event in events} == set(topics.CONTROL.events)


# --- held against what really stands in the topics


class Checked:
    """The document, asked about one message after the other."""

    def __init__(self) -> None:
        self.doc = document()
        self._validators: dict[str, Draft7Validator] = {}

    def channel(self, topic: str) -> str:
        """The channel of a topic of the simulated platform."""
        for family in (one for one in vars(topics).values() if isinstance(one, topics.TopicFamily)):
            subject = family.subject(topic)
            if subject in (PAYMENTS, TRUTHS, VIEW, MODEL):
                return family.prefix
        return {topics.CONTROL.name: "control", topics.REJECTED.name: "records_rejected"}[topic]

    def problems(self, key: str, headers: dict[str, str], payload: Any) -> list[str]:
        message = self.doc["components"]["messages"][key]
        found = [*self._errors(f"{key} headers", message["headers"], headers)]
        return [*found, *self._errors(f"{key} payload", message["payload"], payload)]

    def sends(self, service: str, channel: str) -> set[str]:
        operation = self.doc["operations"].get(f"{service}_sends_{channel}", {"messages": []})
        everything = {"messages": [{"$ref": key} for key in self.doc["channels"][channel]["messages"]]}
        return {one["$ref"].rpartition("/")[2] for one in {**everything, **operation}["messages"]}

    def _errors(self, name: str, schema: Any, value: Any) -> Iterator[str]:
        if name not in self._validators:
            whole = {**schema, "components": self.doc["components"]} if "$ref" not in schema else {
                "allOf": [schema], "components": self.doc["components"],
            }  # fmt: skip
            self._validators[name] = Draft7Validator(whole, format_checker=FormatChecker())
        yield from (f"{name}: {error.message}" for error in self._validators[name].iter_errors(value))


def test_what_stands_in_the_topics_of_a_run_is_what_the_document_says() -> None:
    checked, history = Checked(), TopicHistory.of_memory(calm(2).world.broker)
    seen: Counter[str] = Counter()
    for tp in history.logs:
        if tp.topic in (PAYMENTS, TRUTHS) or tp.topic.endswith(".dead.v1"):
            continue
        channel = checked.channel(tp.topic)
        for record, entry in history.entries(tp):
            key = "mark" if isinstance(entry, Mark) else message_name(type(entry.event))
            service = entry.source.removeprefix("headrace/").partition("/")[0]
            if service != "simulation":
                assert key in checked.sends(service, channel), f"{service} sends {key} to {channel}"
            seen[key] += 1
            if seen[key] <= OF_EACH_KIND:
                headers = {name: value.decode() for name, value in record.headers}
                payload = json.loads(record.value or b"") if isinstance(entry, Message) else ""
                assert checked.problems(key, headers, payload) == []
    assert len(seen) > 25
    assert seen["mark"] > 1_000


def test_a_header_or_a_payload_that_does_not_fit_is_found() -> None:
    checked = Checked()
    assert checked.problems("tick", {"ce_type": "headrace.tick.v1"}, {"clock": "wall"})
    history = TopicHistory.of_memory(calm(2).world.broker)
    read, _ = next(history.events(topics.RECORDS.of(PAYMENTS).name, flow.RecordAccepted))
    record = history.logs[read.tp][read.offset]
    headers, payload = {name: value.decode() for name, value in record.headers}, json.loads(record.value or b"")
    assert checked.problems("recordAccepted", headers, payload) == []
    assert checked.problems("recordAccepted", {**headers, "traceparent": "00-1"}, payload)
    assert checked.problems("recordAccepted", {**headers, "ce_time": "yesterday"}, payload)
    assert checked.problems("recordAccepted", headers, {**payload, "late": "no"})
    assert checked.problems("labelObserved", headers, payload)


def test_a_dead_letter_has_the_headers_that_are_told() -> None:
    checked, task = Checked(), SAMPLE.tasks[-1]
    record = LogRecord(task.topic, 0, 7, 0, b"k", b"v" * 70_000, (("of", b"their own"),))
    for which, limit in ((record, 1_000_000), (record, 10_000), (None, 1_000_000)):
        letter = dead_letter(task, which, ValueError("no"), "trace", None, limit).encoded
        headers = {name: value.decode() for name, value in letter.headers}
        assert checked.problems("deadLetter", headers, "anything") == []
    assert checked.problems("deadLetter", {**headers, "__connect.errors.offset": "seven"}, "")
    assert checked.problems("deadLetter", {"of": "their own"}, "")
