"""Runs the console over Kafka: `python -m services.console`."""

from __future__ import annotations

import sys
from functools import partial

from services.console.app import build, routers
from services.console.settings import ConsoleSettings
from shared.runtime.kafka_driver import main

if __name__ == "__main__":
    sys.exit(main("console", ConsoleSettings, lambda settings: build(), lambda settings: partial(routers, settings)))
