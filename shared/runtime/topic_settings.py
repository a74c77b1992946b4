"""How long each topic is kept, from the definitions."""

from __future__ import annotations

from collections.abc import Mapping

from shared.contracts.definitions import DAY_MS
from shared.contracts.topics import CONTROL, FEATURES, INTAKE
from shared.contracts.topology import Definitions

_DEFAULT_MS = 7 * DAY_MS
# Of tables. A new reader begins with a copy, so this need not be as long as rows live. It must be longer than the time
# from one copy to the next but one: should the newest be damaged, the log must go on from the one before it.
TABLE_MS = 7 * DAY_MS
MOST_BETWEEN_COPIES_MS = 3 * DAY_MS
MAX_MESSAGE_BYTES = 1_048_588  # what Apache Kafka takes unless it is told otherwise; we write no more than 1,000,000


def topic_config(topic: str, definitions: Definitions) -> Mapping[str, str]:
    """Kafka topic settings. `control.v1` never expires; no topic of ours is compacted, tables included.

    What we derive fits into them, whatever the broker's own limit; how large users' records may be is theirs to say.
    """
    kept = "-1" if topic == CONTROL.name else str(_retention_ms(topic, definitions))
    config = {"cleanup.policy": "delete", "retention.ms": kept}
    if topic not in {source.topic_name for source in definitions.sources.values()}:
        config["max.message.bytes"] = str(MAX_MESSAGE_BYTES)
    return config


def _retention_ms(topic: str, definitions: Definitions) -> int:
    for source in definitions.sources.values():
        stages = (stage.topic.name for stage in definitions.ways[source.name])
        own = (source.topic_name, INTAKE.of(source.name).name, *stages)
        if topic in own:
            return source.retention.topic
    for view in definitions.views.values():
        if topic == FEATURES.of(view.name).name:
            return TABLE_MS
    for model in definitions.models.values():
        if topic.endswith(f".{model.name}.v1"):
            return max(_DEFAULT_MS, model.label.expires_after + _DEFAULT_MS)
    return _DEFAULT_MS
