"""Open Inference Protocol v2: raw inputs of a model in, its outputs out; no features are looked up.

Source: github.com/kserve/open-inference-protocol, REST. A request without a version is answered by the split and
logged, each row a prediction; the split's entity is its parameter `entity`, else its id. One that names a version goes
round the split: it is answered and measured, and is no fact of the platform.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from services.serving.answering import Answering, no_output, no_version
from services.serving.execution import output_of
from services.serving.http_body import read_body
from services.serving.inference_tensors import InferRequest, read_request, rows_of, write_response
from services.serving.prediction import Loaded
from services.serving.refused import Refused
from services.serving.standing import Stand
from shared.contracts.definitions import Task
from shared.contracts.flow import Inputs
from shared.runtime.http_trace import request_trace
from shared.runtime.onnx_model import CATEGORY, OUTPUT_TENSOR

NAME, VERSION = "headrace", "0.1.0"
JSON_LENGTH = "Inference-Header-Content-Length"
LARGEST_BODY_BYTES = 32 << 20


def router(answering: Answering) -> APIRouter:
    routes = APIRouter(prefix="/v2")

    @routes.get("")
    def server() -> dict[str, Any]:
        """What this server is."""
        return {"name": NAME, "version": VERSION, "extensions": ["binary_tensor_data"]}

    @routes.get("/health/live")
    def live() -> dict[str, bool]:
        """It answers."""
        return {"live": True}

    @routes.get("/health/ready")
    def ready() -> Response:
        """Every model answers under the newest decisions; otherwise 400 and why not."""
        missing = answering.missing()
        return _json({"ready": True}) if missing is None else _json({"ready": False, "error": missing}, 400)

    @routes.get("/models/{model}")
    @routes.get("/models/{model}/versions/{version}")
    def metadata(model: str, version: str | None = None) -> Response:
        """Inputs, one tensor a column, and the output."""
        try:
            stand = answering.stand(model)
            if version is not None:
                _named(stand, version)
        except Refused as refused:
            return _error(refused)
        return _json(_metadata(stand))

    @routes.get("/models/{model}/ready")
    @routes.get("/models/{model}/versions/{version}/ready")
    def model_ready(model: str, version: str | None = None) -> Response:
        """The model, or one version of it, answers; otherwise 400 and why not."""
        try:
            stand = answering.stand(model)
            if version is not None:
                _named(stand, version)
            elif stand.state.champion is None:
                raise no_version(stand)
        except Refused as refused:
            return _json({"name": model, "ready": False, **refused.body}, 400)
        return _json({"name": model, "ready": True})

    @routes.post("/models/{model}/infer")
    @routes.post("/models/{model}/versions/{version}/infer")
    async def infer(model: str, request: Request, version: str | None = None) -> Response:
        """Tensors [n] or [n, 1] by input name; the output is [n, K]."""
        inference = _Inference(answering, model, version)
        try:
            response = await inference.answer(request)
        except Refused as refused:
            response = _error(refused)
        inference.count(response.status_code)
        return response

    return routes


class _Inference:
    """One `infer` request."""

    def __init__(self, answering: Answering, model: str, version: str | None) -> None:
        self._answering, self._model, self._named = answering, model, version
        self._started_s = time.perf_counter()
        self._known = model in answering.models()
        self._version: int | None = None

    def count(self, code: int) -> None:
        self._answering.count(self._model if self._known else "", self._version, code, self._started_s)

    async def answer(self, http: Request) -> Response:
        stand = self._answering.stand(self._model)
        body = await read_body(http, LARGEST_BODY_BYTES)
        # Decoding and running thousands of rows must not hold up other requests.
        request, rows = await run_in_threadpool(_read, body, http.headers.get(JSON_LENGTH), stand)
        request_id = request.id or uuid4().hex
        if self._named is None:
            outputs = await self._by_split(stand, request, rows, request_id, request_trace(http))
        else:
            self._version, loaded = _named(stand, self._named)
            outputs = await run_in_threadpool(_outputs, stand, self._version, loaded, rows)
        header = {"model_name": self._model, "model_version": str(self._version), "id": request_id}
        content, json_length = write_response(header, outputs, request.binary)
        if json_length is None:
            return Response(content, media_type="application/json")
        return Response(content, headers={JSON_LENGTH: str(json_length)}, media_type="application/octet-stream")

    async def _by_split(
        self, stand: Stand, request: InferRequest, rows: Sequence[Inputs], request_id: str, trace: str | None
    ) -> list[tuple[float, ...]]:
        entity = str(request.parameters.get("entity") or request_id)
        made, at_ms = await run_in_threadpool(self._answering.rows, stand, entity, rows, request_id)
        # All rows have one subject, so that one version answers them all.
        self._version = made[0].answered_by
        await self._answering.logged(stand, made, at_ms, trace)
        if self._version is None:
            raise no_version(stand)
        outputs = [one.outputs.get(self._version) for one in made]
        found = [output.output for output in outputs if output is not None]
        if len(found) < len(outputs):
            raise no_output(stand, self._version)
        return found


def _read(body: bytes, json_length: str | None, stand: Stand) -> tuple[InferRequest, list[Inputs]]:
    if json_length is not None and not json_length.isdecimal():
        raise Refused(400, f"{JSON_LENGTH} is no number: {json_length!r}")
    request = read_request(body, None if json_length is None else int(json_length))
    return request, rows_of(request, stand.plan.inputs.names_and_kinds)


def _named(stand: Stand, version: str) -> tuple[int, Loaded]:
    loaded = stand.versions.get(int(version)) if version.isdecimal() else None
    if loaded is None:
        here = ", ".join(map(str, sorted(stand.versions))) or "none"
        raise Refused(404, f"version {version} of {stand.definition.name} is not loaded; loaded are: {here}")
    return int(version), loaded


def _outputs(stand: Stand, version: int, loaded: Loaded, rows: Sequence[Inputs]) -> list[tuple[float, ...]]:
    outputs = [output_of(loaded.model, inputs) for inputs in rows]
    found = [output for output in outputs if output is not None]
    if len(found) < len(outputs):
        raise no_output(stand, version)
    return found


def _metadata(stand: Stand) -> dict[str, Any]:
    width = 1
    if stand.definition.task is Task.MULTICLASS:
        champion = stand.in_play.get(stand.state.champion or 0)
        width = len(champion.model.manifest["classes"]) if champion else -1
    inputs = [
        {"name": name, "datatype": "BYTES" if kind == CATEGORY else "FP32", "shape": [-1, 1]}
        for name, kind in stand.plan.inputs.names_and_kinds
    ]
    return {
        "name": stand.definition.name,
        "versions": [str(number) for number in sorted(stand.versions)],
        "platform": "onnx_onnxv1",
        "inputs": inputs,
        "outputs": [{"name": OUTPUT_TENSOR, "datatype": "FP32", "shape": [-1, width]}],
    }


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def _error(refused: Refused) -> Response:
    return _json({"error": str(refused)}, refused.status)
