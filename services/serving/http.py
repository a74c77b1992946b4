"""`POST /v1/models/{model}/predict`: one record in, one prediction out."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import orjson
from fastapi import APIRouter, Request, Response

from services.serving.answering import Answering, RecordAnswer, no_output, no_version
from services.serving.http_body import read_body
from services.serving.prediction import Loaded
from services.serving.refused import Refused
from services.serving.standing import Stand
from shared.contracts.definitions import Task
from shared.contracts.envelope import rfc3339
from shared.contracts.flow import VersionOutput
from shared.runtime.http_trace import request_trace

LARGEST_RECORD_BYTES = 256 << 10
LONGEST_REQUEST_ID = 200


def router(answering: Answering) -> APIRouter:
    routes = APIRouter()

    @routes.post("/v1/models/{model}/predict")
    async def predict(model: str, request: Request, at: str | None = None) -> Response:
        """A record of the model's source as a JSON object; only what the model's inputs are made of must be there.

        Features are as of the record's time, else of `at`, else of the newest tick of the source's clock. Each view
        looks up the entity that the record names for it; where it knows none, its features are those of no events: 0
        where counted or summed, else null. `"entity_known"` is false where no view of the model knows its entity.
        `X-Request-Id` names the request; otherwise it gets an id. A W3C `traceparent` is carried on.
        """
        started_s = time.perf_counter()
        request_id = request.headers.get("x-request-id", "")[:LONGEST_REQUEST_ID] or uuid4().hex
        version, known = None, model in answering.models()
        try:
            stand = answering.stand(model)
            body = _parsed(await read_body(request, LARGEST_RECORD_BYTES))
            answer = answering.record(stand, body, at, request_id)
            version = answer.made.answered_by
            await answering.logged(stand, (answer.made,), answer.at_ms, request_trace(request))
            status, content = 200, answer_body(stand, answer)
        except Refused as refused:
            status, content = refused.status, {**refused.body, "request_id": request_id}
        # Not under names that anybody makes up: each would be a time series.
        answering.count(model if known else "", version, status, started_s)
        return Response(orjson.dumps(content), status, media_type="application/json")

    return routes


def answer_body(stand: Stand, answer: RecordAnswer) -> dict[str, Any]:
    """The answer as JSON. Raises Refused: 503 before the first version, 500 if the one that answers has no output."""
    made = answer.made
    if made.answered_by is None:
        raise no_version(stand)
    output = made.outputs.get(made.answered_by)
    if output is None:
        raise no_output(stand, made.answered_by)
    return {
        "model": made.model,
        "version": made.answered_by,
        "prediction": prediction_body(stand, stand.in_play[made.answered_by], output),
        "inputs": made.inputs,
        "entity": made.entity,
        "entity_known": answer.entity_known,
        "at": rfc3339(answer.at_ms),
        "request_id": made.request_id,
    }


def prediction_body(stand: Stand, loaded: Loaded, said: VersionOutput) -> dict[str, Any]:
    """`probability` of class 1 and the likelier class; `probabilities` by class; or the `value`."""
    match stand.definition.task:
        case Task.REGRESSION:
            return {"value": said.output[0]}
        case Task.BINARY:
            return {"probability": said.output[0], "class": int(said.output[0] >= 0.5)}
        case Task.MULTICLASS:
            classes: list[str] = loaded.model.manifest["classes"]
            probabilities = dict(zip(classes, said.output, strict=True))
            return {"class": max(classes, key=probabilities.__getitem__), "probabilities": probabilities}


def _parsed(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"the body is no JSON ({error}): send one record as a JSON object") from error
