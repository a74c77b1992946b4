"""The composition of features: one step, the tables that it answers from, and the worker that copies them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from fastapi import APIRouter
from prometheus_client import CollectorRegistry

from services.features.compute import compute_step
from services.features.http import router
from services.features.settings import FeaturesSettings
from services.features.table_copier import CopyPolicy, TableCopier
from shared.runtime.process import Process
from shared.runtime.service import Service
from shared.runtime.tables import TableFollower


def build(settings: FeaturesSettings) -> Service:
    step = compute_step()
    policy = CopyPolicy(
        settings.entries_between_table_copies, settings.copy_tables_every_s * 1_000,
        settings.table_copies_apart_s * 1_000,
    )  # fmt: skip
    copier = partial(TableCopier, policy=policy)
    return Service("features", {step.name: step}, workers=(copier,), followers=(TableFollower,))


def routers(process: Process, metrics: CollectorRegistry) -> Sequence[APIRouter]:
    """What features answers over HTTP."""
    return (router(process),)
