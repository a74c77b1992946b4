"""`GET /v1/models/{model}/why`: from a version, or from one prediction, back to the data that led to it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import JSONResponse

from services.console.commands import accepted
from services.console.http_reads import defined
from services.console.prediction_search import SearchTooLong, find_prediction
from shared.contracts.envelope import Message, rfc3339
from shared.contracts.flow import PredictionMade
from shared.contracts.trace_context import trace_id_of
from shared.contracts.why import why
from shared.runtime.log import LogError
from shared.runtime.process import Process


def router(process: Process) -> APIRouter:
    """The chain of reasons. `prediction`: the id of a record, a request or an event; otherwise the version, else the
    one that answers."""
    routes = APIRouter()

    @routes.get("/v1/models/{name}/why")
    def get_why(name: str, version: int | None = Query(None, ge=1), prediction: str | None = None) -> JSONResponse:
        """`{model, version, prediction, reasons}`: each reason is an event of the log, with its position."""
        defined(process, name)
        found = None if prediction is None else _predicted(process, name, prediction)
        if found is not None:
            version = found["answered_by"]
        elif version is None:
            version = process.history.newest.model(name).champion
        if version is None:
            what = "had no answer" if found else "has no version that answers yet"
            said = f"prediction {prediction} {what}" if found else f"{name} {what}"
            raise HTTPException(404, f"{said}: so many rows of how many are labelled says `headrace status`")
        entries = accepted(process, 0, process.history.newest.position)
        reasons = why(((happened.control, happened.message) for happened in entries), name, version)
        if not reasons:
            raise HTTPException(404, f"{name} has no version {version}: see `headrace models`")
        shown = [{**reason.model_dump(mode="json"), "time": rfc3339(reason.time_ms)} for reason in reasons]
        return JSONResponse({"model": name, "version": version, "prediction": found, "reasons": shown})

    return routes


def _predicted(process: Process, model: str, wanted: str) -> dict[str, Any]:
    """One prediction with everything that made it. Raises 404 or 503."""
    try:
        found = find_prediction(process.broker, model, wanted)
    except (SearchTooLong, LogError) as error:
        raise HTTPException(503, str(error)) from None
    if found is None:
        raise HTTPException(
            404, f"{model} has no prediction {wanted!r}: give the id of a record, a request or an event, as published"
        )
    message, partition, offset = found
    return {"partition": partition, "offset": offset, **_shown(message)}


def _shown(message: Message) -> dict[str, Any]:
    event = message.event
    assert isinstance(event, PredictionMade)
    named = {"id": message.id, "trace_id": trace_id_of(message.trace), "time": rfc3339(message.time_ms)}
    return {**named, **event.model_dump(mode="json")}
