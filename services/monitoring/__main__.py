"""`python -m services.monitoring`: settings, build, run."""

from __future__ import annotations

import sys

from services.monitoring.app import build
from services.monitoring.settings import MonitoringSettings
from shared.runtime.kafka_driver import main

if __name__ == "__main__":
    sys.exit(main("monitoring", MonitoringSettings, build))
