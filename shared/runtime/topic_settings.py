"""How long each topic is kept, from the definitions."""

from __future__ import annotations

from collections.abc import Mapping

from shared.contracts.definitions import DAY_MS
from shared.contracts.topics import CONTROL, FEATURES, INTAKE
from shared.contracts.topology import Definitions

_DEFAULT_MS = 7 * DAY_MS


def topic_config(topic: str, definitions: Definitions) -> Mapping[str, str]:
    """Kafka topic settings. `control.v1` never expires; no topic of ours is compacted, tables included."""
    if topic == CONTROL.name:
        return {"cleanup.policy": "delete", "retention.ms": "-1"}
    return {"cleanup.policy": "delete", "retention.ms": str(_retention_ms(topic, definitions))}


def _retention_ms(topic: str, definitions: Definitions) -> int:
    for source in definitions.sources.values():
        stages = (stage.topic.name for stage in definitions.ways[source.name])
        own = (source.topic_name, INTAKE.of(source.name).name, *stages)
        if topic in own:
            return source.retention.topic
    for view in definitions.views.values():
        if topic == FEATURES.of(view.name).name:
            return view.ttl + _DEFAULT_MS
    for model in definitions.models.values():
        if topic.endswith(f".{model.name}.v1"):
            return max(_DEFAULT_MS, model.label.expires_after + _DEFAULT_MS)
    return _DEFAULT_MS
