"""The composition of the console: what it follows, and what it answers. It derives nothing, so it has no steps."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter
from prometheus_client import CollectorRegistry

from services.console import http_changes, http_dead, http_reads, http_why
from services.console.platform_metrics import PlatformMetrics
from services.console.read_model import ReadModel
from services.console.record_counts import RawCounts
from services.console.service_progress import ServiceProgress
from services.console.settings import ConsoleSettings
from shared.runtime.process import Process
from shared.runtime.service import Service


def build() -> Service:
    """The service, for either driver."""
    return Service(
        "console",
        followers=(lambda process: ReadModel(process.history),),
        raw_followers=(lambda process: RawCounts(),),
    )


def routers(
    settings: ConsoleSettings, process: Process, metrics: CollectorRegistry, services: ServiceProgress | None = None
) -> Sequence[APIRouter]:
    """The console's HTTP interface over its process. `services`: who is asked for progress."""
    model, raw = read_model(process), raw_counts(process)
    metrics.register(PlatformMetrics(process.history))
    asked = services or ServiceProgress(settings.service_urls)
    return (
        http_reads.router(process, model, raw, asked, {**asked.urls, **settings.public_urls}),
        http_why.router(process),
        http_dead.router(process, raw.letters, settings),
        http_changes.router(process, settings),
    )


def read_model(process: Process) -> ReadModel:
    return next(follower for follower in process.followers if isinstance(follower, ReadModel))


def raw_counts(process: Process) -> RawCounts:
    return next(follower for follower in process.raw_followers if isinstance(follower, RawCounts))
