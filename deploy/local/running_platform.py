"""A note in the data folder of what runs from it, so that other commands find its broker."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ValidationError

from shared.runtime.kafka_settings import KafkaSettings

_NOTE = "running.json"


class RunningPlatform(BaseModel):
    """Where a platform of this machine listens. Only brokers of our own are noted: they need no credentials.

    `services`: the URL of each process by name; `data`: the folder of their state and objects.
    """

    console: str
    bootstrap: str
    embedded: bool
    services: dict[str, str] = {}
    data: str = ""

    def write(self, folder: Path) -> None:
        (folder / _NOTE).write_text(self.model_dump_json())

    @classmethod
    def noted(cls, folder: Path) -> RunningPlatform | None:
        """What runs from the folder; None if there is no note, or none that can be read."""
        try:
            return cls.model_validate_json((folder / _NOTE).read_bytes())
        except (OSError, ValidationError):
            return None

    @staticmethod
    def remove(folder: Path) -> None:
        (folder / _NOTE).unlink(missing_ok=True)


def noted_broker(folder: Path, console: str) -> KafkaSettings | None:
    """The broker of the platform that `console` belongs to; None if none was started from the folder."""
    found = RunningPlatform.noted(folder)
    if found is None or found.console != console.rstrip("/"):
        return None
    return KafkaSettings(bootstrap=found.bootstrap, embedded=found.embedded)
