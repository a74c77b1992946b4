"""`python -m services.registry` runs the registry over Kafka."""

from __future__ import annotations

import sys

from services.registry.app import build
from services.registry.settings import RegistrySettings
from shared.runtime.kafka_driver import main

if __name__ == "__main__":
    sys.exit(main("registry", RegistrySettings, build))
