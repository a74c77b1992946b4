"""The composition of ingestion: its steps, and the worker that writes the archive."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from fastapi import APIRouter
from prometheus_client import CollectorRegistry

from services.ingestion.accept import accept_step
from services.ingestion.archive import archive_worker
from services.ingestion.http import router
from services.ingestion.intake import intake_step
from services.ingestion.memory_guard import local_memory_guard, no_limit
from services.ingestion.settings import IngestionSettings
from shared.runtime.process import Process
from shared.runtime.service import Service


def build(settings: IngestionSettings) -> Service:
    steps = (intake_step(settings.largest_record_bytes), accept_step())
    return Service(
        "ingestion",
        {step.name: step for step in steps},
        workers=(partial(archive_worker, rows_per_segment=settings.rows_per_segment),),
    )


def routers(settings: IngestionSettings, process: Process, metrics: CollectorRegistry) -> Sequence[APIRouter]:
    """What ingestion answers over HTTP."""
    pid = settings.local_broker_pid
    return (router(process, settings, local_memory_guard(pid, settings.local_memory) if pid else no_limit),)
