"""Runs serving over Kafka: `python -m services.serving`."""

from __future__ import annotations

import sys

from services.serving.app import build, routers
from services.serving.settings import ServingSettings
from shared.runtime.kafka_driver import main

if __name__ == "__main__":
    sys.exit(main("serving", ServingSettings, build, lambda settings: routers))
