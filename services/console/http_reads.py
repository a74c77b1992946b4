"""What the console answers: `GET /v1/...`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import JSONResponse

from services.console.commands import accepted
from services.console.platform_views import definitions_view, model_view, platform_view
from services.console.read_model import ReadModel
from services.console.record_counts import RawCounts
from services.console.report import counts, model_counts
from services.console.service_progress import ServiceProgress
from services.console.status import status
from shared.contracts.definition_problem import did_you_mean
from shared.contracts.definitions import Model
from shared.contracts.envelope import rfc3339
from shared.contracts.trace_context import trace_id_of
from shared.runtime.process import Process

MOST_ENTRIES = 10_000


def router(
    process: Process, model: ReadModel, raw: RawCounts, services: ServiceProgress, public_urls: Mapping[str, str]
) -> APIRouter:
    """Routes that change nothing. `public_urls`: where clients reach the services."""
    routes = APIRouter()
    history = process.history

    @routes.get("/v1/status")
    def get_status() -> JSONResponse:
        """Services, sources and models with their counts, and the newest decisions."""
        return JSONResponse(status(model, raw, services.ask()))

    @routes.get("/v1/services")
    def get_services() -> JSONResponse:
        """The URL of each service, as clients reach it."""
        return JSONResponse(dict(public_urls))

    @routes.get("/v1/progress")
    def get_progress() -> JSONResponse:
        """How far each service is, by name; `error` where one does not answer."""
        return JSONResponse(services.ask())

    @routes.get("/v1/counts")
    def get_counts() -> JSONResponse:
        """Records and predictions by what became of them, each counted from its own topic, and quality by tenth."""
        return JSONResponse(counts(model, raw))

    @routes.get("/v1/definitions")
    def get_definitions() -> JSONResponse:
        """The definitions in force; `position` is what a change of them is based on."""
        return JSONResponse(definitions_view(history.newest))

    @routes.get("/v1/models")
    def get_models() -> JSONResponse:
        """Every model: versions, rollout, run."""
        platform = history.newest
        return JSONResponse({"models": [model_view(platform, d) for d in platform.definitions.models.values()]})

    @routes.get("/v1/models/{name}")
    def get_model(name: str) -> JSONResponse:
        """One model, with its definition, its counts and its story."""
        definition = defined(process, name)
        with model.lock:
            story = model.story.models()[name]
            found = {
                **model_view(history.newest, definition),
                "definition": definition.model_dump(mode="json"),
                "counts": model_counts(model, definition, story, tenths=True),
                "first_promotion": story.first_promotion,
                "promotions": list(story.promotions),
                "rollbacks": list(story.rollbacks),
                "rollouts": list(story.rollouts),
                "revised_verdicts": list(story.revised),
            }
        return JSONResponse(found)

    @routes.get("/v1/runs")
    def get_runs(model_name: str | None = Query(None, alias="model")) -> JSONResponse:
        """Runs, oldest first, of one model or all."""
        if model_name is not None:
            defined(process, model_name)
        with model.lock:
            runs = [
                run for name, story in model.story.models().items() if model_name in (None, name)
                for run in story.runs.values()
            ]  # fmt: skip
            runs.sort(key=lambda run: run.control)
            return JSONResponse({"runs": [run.shown() for run in runs]})

    @routes.get("/v1/rejected")
    def get_rejected(source: str | None = None, limit: int = Query(50, ge=1, le=1_000)) -> JSONResponse:
        """The newest rejected records with their reasons, newest first."""
        with model.lock:
            found = [m for m in reversed(model.records.newest_rejected) if source in (None, _source_of(m.event))]
        return JSONResponse({"rejected": [_rejected(m) for m in found[:limit]]})

    @routes.get("/v1/control")
    def get_control(
        start: int = Query(0, alias="from", ge=0), limit: int = Query(1_000, ge=1, le=MOST_ENTRIES)
    ) -> JSONResponse:
        """Accepted events above control position `from`; `next` is where to go on."""
        end = min(history.newest.position, start + limit)
        entries = [happened.shown() for happened in accepted(process, start, end)]
        return JSONResponse({"control": history.newest.position, "next": max(start, end), "events": entries})

    @routes.get("/v1/platform/as-of/{position}")
    def get_platform(position: int) -> JSONResponse:
        """The platform as it was at a control position."""
        newest = history.newest.position
        if not 0 <= position <= newest:
            raise HTTPException(404, f"there is no control position {position}: the newest is {newest}")
        return JSONResponse(platform_view(history.at(position)))

    return routes


def defined(process: Process, name: str) -> Model:
    """A model's definition. Raises 404 with the names that are known."""
    models = process.history.newest.definitions.models
    if name not in models:
        raise HTTPException(404, f"no model is called {name!r}; {did_you_mean(name, models)}: headrace models")
    return models[name]


def _source_of(event: Any) -> str | None:
    return getattr(event, "source", None)


def _rejected(message: Any) -> dict[str, Any]:
    named = {"event_id": message.id, "trace_id": trace_id_of(message.trace), "time": rfc3339(message.time_ms)}
    return {**named, **message.event.model_dump(mode="json")}
