"""Messages and their schemas: events from the contracts, and the three that are none: records, marks and letters."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from pydantic.json_schema import models_json_schema

from deploy.asyncapi.headers import event_headers, letter_headers, mark_headers
from shared.contracts.envelope import Event

Schema = dict[str, Any]
RECORD, MARK, LETTER = "record", "mark", "deadLetter"
SCHEMAS = "#/components/schemas/"


def message_name(event: type[Event]) -> str:
    """The key of an event's message: `recordAccepted`."""
    return event.__name__[0].lower() + event.__name__[1:]


def messages(events: Iterable[type[Event]]) -> dict[str, Schema]:
    """Every message by its key."""
    return {
        RECORD: {
            "title": "A record of a user's",
            "summary": "What its source declares, as plain JSON or as a CloudEvent with JSON data, under any key.",
            "contentType": "application/json",
            "payload": {"type": "object"},
        },
        **{message_name(event): _message(event) for event in events},
        MARK: {
            "title": "Mark",
            "summary": "How far time and configuration are: it stands between events, and has no data.",
            "headers": {"$ref": f"{SCHEMAS}MarkHeaders"},
            "payload": {"type": "string", "maxLength": 0},
        },
        LETTER: {
            "title": "Dead letter",
            "summary": "What a handler could not take: key, value and headers as they were, and why.",
            "headers": {"$ref": f"{SCHEMAS}DeadLetterHeaders"},
            "payload": {"description": "The value as it was, or its first 64 kB."},
        },
    }


def schemas(events: Iterable[type[Event]]) -> dict[str, Schema]:
    """Payloads as readers take them: what has a default may be missing, and what is not named is ignored."""
    _, made = models_json_schema([(event, "validation") for event in events], ref_template=f"{SCHEMAS}{{model}}")
    headers = {"EventHeaders": event_headers(), "MarkHeaders": mark_headers(), "DeadLetterHeaders": letter_headers()}
    return {**headers, **{name: _as_asyncapi(schema) for name, schema in made["$defs"].items()}}


def _message(event: type[Event]) -> Schema:
    said = inspect.cleandoc(event.__doc__ or "") if "__doc__" in vars(event) else ""
    constant = {"type": "object", "properties": {"ce_type": {"const": event.ce_type}}}
    return {
        "name": event.ce_type,
        "title": event.__name__,
        **({"summary": said.split("\n\n")[0].replace("\n", " ")} if said else {}),
        "contentType": "application/json",
        "headers": {"allOf": [{"$ref": f"{SCHEMAS}EventHeaders"}, constant]},
        "payload": {"$ref": f"{SCHEMAS}{event.__name__}"},
    }


def _as_asyncapi(schema: Any, *, names: bool = False) -> Any:
    """JSON Schema as AsyncAPI has it: of OpenAPI's `discriminator` only the name of the property. The titles that
    pydantic gives to fields are left out. `names`: the keys are names of fields."""
    match schema:
        case dict():
            return {
                key: value["propertyName"]
                if key == "discriminator" and not names
                else _as_asyncapi(value, names=key == "properties" and not names)
                for key, value in schema.items()
                if key != "title" or names
            }
        case list():
            return [_as_asyncapi(item) for item in schema]
        case _:
            return schema
