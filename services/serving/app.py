"""The composition of serving: scoring, the models that it needs, requests, and the tables that they look up."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from fastapi import APIRouter
from prometheus_client import CollectorRegistry

from services.serving import http, open_inference
from services.serving.answering import Answering
from services.serving.loaded_models import LoadedModels
from services.serving.loader import Loader
from services.serving.request_log import RequestLog
from services.serving.score import score_step
from services.serving.settings import ServingSettings
from services.serving.sign_of_life import SignOfLife
from shared.runtime.process import Process
from shared.runtime.service import Service
from shared.runtime.tables import TableFollower


def build(settings: ServingSettings) -> Service:
    """One for each process: its step and its loader share the models in memory."""
    models = LoadedModels()
    step = score_step(models)
    loader = partial(Loader, models=models, spare=settings.spare_models)
    return Service("serving", {step.name: step}, workers=(loader, SignOfLife, RequestLog), followers=(TableFollower,))


def routers(process: Process, metrics: CollectorRegistry) -> Sequence[APIRouter]:
    """What serving answers over HTTP."""
    answering = Answering(process, metrics)
    return (http.router(answering), open_inference.router(answering))
