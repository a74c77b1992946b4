"""Writes docs/asyncapi.yaml: `python -m deploy.asyncapi.generate`, or `make docs`.

Source: https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from deploy.asyncapi.channels import channels
from deploy.asyncapi.messages import messages, schemas
from deploy.asyncapi.operations import operations
from shared.contracts import topics
from shared.contracts.envelope import Event
from shared.contracts.flow import EventBuried, TimerReplayed

TARGET = Path(__file__).parents[2] / "docs" / "asyncapi.yaml"
DESCRIPTION = (
    "The topics of Headrace. Teams publish to the topics of their sources; all others are written by Headrace's own "
    "services alone, and may be read by anybody. Events are CloudEvents 1.0 in binary mode: attributes in headers, "
    "JSON as the value. Between them stand marks. Topics have the prefix of `HEADRACE_KAFKA_TOPIC_PREFIX`, if any. "
    "Made from the contracts by `make docs`."
)


def document() -> dict[str, Any]:
    """The whole document."""
    events = _events()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Headrace",
            "version": version("headrace"),
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels(),
        "operations": operations(),
        "components": {"messages": messages(events), "schemas": schemas(events)},
    }


def asyncapi_yaml() -> str:
    """The document as it is committed."""
    return yaml.dump(document(), Dumper=_WithoutAliases, sort_keys=False, allow_unicode=True, width=140)


class _WithoutAliases(yaml.SafeDumper):
    """Writes what stands twice in full: few tools follow YAML's own references."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _events() -> list[type[Event]]:
    """Every event that may stand in a topic, in the order of the topics."""
    single = [one.events for one in vars(topics).values() if isinstance(one, topics.Topic)]
    families = [one.events for one in vars(topics).values() if isinstance(one, topics.TopicFamily)]
    return list(
        dict.fromkeys(event for events in (*families, (EventBuried, TimerReplayed), *single) for event in events)
    )


if __name__ == "__main__":
    TARGET.write_text(asyncapi_yaml())
    sys.stderr.write(f"wrote {TARGET.name}\n")
