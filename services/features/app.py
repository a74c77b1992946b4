"""The composition of features: one step, and the tables that it answers from."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter
from prometheus_client import CollectorRegistry

from services.features.compute import compute_step
from services.features.http import router
from shared.runtime.process import Process
from shared.runtime.service import Service
from shared.runtime.tables import TableFollower


def build() -> Service:
    step = compute_step()
    return Service("features", {step.name: step}, followers=(TableFollower,))


def routers(process: Process, metrics: CollectorRegistry) -> Sequence[APIRouter]:
    """What features answers over HTTP."""
    return (router(process),)
