"""`python -m services.training`: run the service over Kafka."""

from __future__ import annotations

import sys

from services.training.app import build
from services.training.settings import TrainingSettings
from shared.runtime.kafka_driver import main

if __name__ == "__main__":
    sys.exit(main("training", TrainingSettings, lambda settings: build()))
