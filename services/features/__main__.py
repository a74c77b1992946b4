"""Runs features over Kafka: `python -m services.features`."""

from __future__ import annotations

import sys

from services.features.app import build, routers
from services.features.settings import FeaturesSettings
from shared.runtime.kafka_driver import main

if __name__ == "__main__":
    sys.exit(main("features", FeaturesSettings, build, lambda settings: routers))
