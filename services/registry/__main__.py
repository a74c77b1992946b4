"""`python -m services.registry` runs the registry over Kafka."""

from __future__ import annotations

import sys

from services.registry.app import build
from services.registry.settings import RegistrySettings
from shared.runtime.kafka_driver import run


def main() -> int:
    """The exit status."""
    settings = RegistrySettings()
    return run(build(settings), settings)


if __name__ == "__main__":
    sys.exit(main())
