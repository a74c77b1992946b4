"""Whether memory stays flat while one task copies many records: its slope, and what waits for Python's collector."""

from __future__ import annotations

import argparse
import gc
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from shared.runtime.kafka_settings import KafkaSettings
from tests.benchmarks._task_copy import TaskCopy
from tests.benchmarks._throughput import Platform, apache_kafka
from tests.reports import Report, Row, resident_mb

LAP, UNCOLLECTED = 50_000, 30_000
FLAT = 1.0  # megabytes a million records: what a leak of a byte a record would come to
# Some hundred megabytes stay; the rest of what is copied goes.
RETENTION = {"retention.bytes": str(200_000_000), "segment.bytes": str(50_000_000)}


def memory(given: argparse.Namespace, report: Report) -> None:
    """`--records` through a task in laps; resident memory after each, and the slope of its floor in the second half.

    What a fetch holds for a moment comes and goes by some megabytes; what is never let go raises the floor.
    """
    laps = max(4, given.records // LAP)
    step = max(1, laps // 20)
    floors: list[float] = []
    taken: list[float] = []
    rates: list[float] = []
    with apache_kafka() as bootstrap:
        with ExitStack() as ends:
            platform = Platform(bootstrap, "memory.", given.seed, RETENTION)
            ends.callback(platform.log.close)
            ours = ends.enter_context(platform.ours(1_000))
            for number in range(1, laps + 1):
                platform.log.write(LAP)
                rates.append(ours.lap(LAP).rate)
                taken.append(resident_mb(ours.pid))
                if number % step == 0:
                    floors.append(min(taken[-step:]))
                    print(f"{number * LAP:>12,} records: at least {floors[-1]:.1f} MB since the last line", flush=True)
        # Its clients are closed: the collector counts what they leave in this process as well.
        left = _left_for_the_collector(bootstrap, given.seed)
    half = len(floors) // 2
    slope = float(np.polyfit(np.arange(half, len(floors)) * step * LAP / 1e6, floors[half:], 1)[0])
    told = f"over {laps * LAP:,} records"
    report.add(
        Row.of(f"resident memory {told}", taken, "MB"),
        Row.of(f"slope of its floor in the second half {told}", [slope], "MB a million records", most=FLAT),
        Row.of(f"rate {told}", rates, "records/s"),
        Row.of(f"left for the collector by {UNCOLLECTED:,} records", [left], "objects", most=0),
    )


def _left_for_the_collector(bootstrap: str, seed: int) -> int:
    """What a task in this process left that only the collector frees, which is off meanwhile."""
    settings = KafkaSettings(bootstrap=bootstrap, topic_prefix="uncollected.")
    log = Platform(bootstrap, settings.topic_prefix, seed).log
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as executor:
        task = TaskCopy(settings, Path(folder), executor, 1_000)
        for entries in (1_000, UNCOLLECTED):  # the first ones cost connections
            log.write(entries)
            gc.collect()
            gc.disable()
            task.copy(entries)
            left = gc.collect()
        gc.enable()
        task.process.close()
    log.close()
    return left
