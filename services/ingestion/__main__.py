"""Runs ingestion over Kafka: `python -m services.ingestion`."""

from __future__ import annotations

import sys
from functools import partial

from services.ingestion.app import build, routers
from services.ingestion.settings import IngestionSettings
from shared.runtime.kafka_driver import main

if __name__ == "__main__":
    sys.exit(main("ingestion", IngestionSettings, build, lambda settings: partial(routers, settings)))
