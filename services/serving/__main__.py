"""Runs serving over Kafka: `python -m services.serving`."""

from __future__ import annotations

import sys

from services.serving.app import build, routers
from services.serving.settings import ServingSettings
from shared.runtime.kafka_driver import run


def main() -> int:
    return run(build(ServingSettings()), ServingSettings(), routers)


if __name__ == "__main__":
    sys.exit(main())
