"""Writes the tables of docs/settings.md from the settings: `python -m deploy.documents.generate`, or `make docs`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from services.console.settings import ConsoleSettings
from services.features.settings import FeaturesSettings
from services.ingestion.settings import IngestionSettings
from services.monitoring.settings import MonitoringSettings
from services.registry.settings import RegistrySettings
from services.serving.settings import ServingSettings
from services.training.settings import TrainingSettings
from shared.runtime.kafka_settings import KafkaEnvironment
from shared.runtime.settings import DEFAULT_PORTS, ServiceSettings

TARGET = Path(__file__).parents[2] / "docs" / "settings.md"
SERVICES: Mapping[str, type[ServiceSettings]] = {
    "ingestion": IngestionSettings,
    "features": FeaturesSettings,
    "serving": ServingSettings,
    "monitoring": MonitoringSettings,
    "training": TrainingSettings,
    "registry": RegistrySettings,
    "console": ConsoleSettings,
}
_PART = re.compile(r"(<!-- made by deploy/documents: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)


def settings_document(text: str) -> str:
    """The document with each of its tables as the settings are now. Raises KeyError for a table that nobody makes."""
    tables = {
        "every-service": table(ServiceSettings),
        "one-service": "".join(f"### {name}\n\n{_own(settings)}\n" for name, settings in SERVICES.items()),
        "ports": "| service | port |\n|---|---|\n" + "".join(f"| {s} | {p} |\n" for s, p in DEFAULT_PORTS.items()),
        "kafka": table(KafkaEnvironment),
    }
    return _PART.sub(lambda part: f"{part[1]}\n{tables[part[2]].strip()}\n\n{part[3]}", text)


def variables(settings: type[BaseSettings]) -> dict[str, FieldInfo]:
    """The fields of settings by the environment variable that sets each; of a service only its own."""
    inherited = ServiceSettings.model_fields if settings is not ServiceSettings else {}
    prefix = settings.model_config.get("env_prefix", "")
    return {f"{prefix}{name}".upper(): field for name, field in settings.model_fields.items() if name not in inherited}


def table(settings: type[BaseSettings]) -> str:
    """A row for each variable."""
    rows = [f"| `{name}` | {_default(field)} | {field.description} |" for name, field in variables(settings).items()]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows, ""])


def _own(settings: type[ServiceSettings]) -> str:
    return table(settings) if variables(settings) else "None of its own.\n"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{json.dumps(value)}`" if isinstance(value, dict) else f"`{value}`"


if __name__ == "__main__":
    TARGET.write_text(settings_document(TARGET.read_text()))
    sys.stderr.write(f"wrote {TARGET.name}\n")
