"""Runs the console over Kafka: `python -m services.console`."""

from __future__ import annotations

import sys
from functools import partial

from services.console.app import build, routers
from services.console.settings import ConsoleSettings
from shared.runtime.kafka_driver import run


def main() -> int:
    settings = ConsoleSettings()
    return run(build(), settings, partial(routers, settings))


if __name__ == "__main__":
    sys.exit(main())
