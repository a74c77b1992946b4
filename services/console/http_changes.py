"""What the console is asked to change: `POST /v1/...`. Every request has an id; the same one again counts once."""

from __future__ import annotations

from typing import Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.console.commands import (
    ControlWriter,
    Happened,
    ModelCommand,
    NotFounded,
    NotTaken,
    answers_command,
    answers_definitions,
)
from services.console.http_reads import defined
from services.console.settings import ConsoleSettings
from shared.contracts import control as c
from shared.contracts.definition_checks import difference, refusals
from shared.contracts.definition_notes import notes
from shared.contracts.definitions import Clock
from shared.contracts.identity import derived_id
from shared.contracts.services import SERVICES
from shared.runtime.http_access import asks_token
from shared.runtime.process import Process


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")

    request_id: str = Field(default_factory=lambda: str(uuid4()), min_length=1)


class DefinitionsRequest(_Request):
    """`based_on`: the position of the definitions that these were compared with; None: the newest."""

    definitions: list[dict[str, Any]] = Field(min_length=1)
    based_on: int | None = Field(None, ge=0)
    by: str = "console"
    dry_run: bool = False


class CommandRequest(_Request):
    command: Literal["retrain", "approve", "promote", "rollback"]
    model: str
    version: int | None = Field(None, ge=1)
    by: str = "console"


class TickRequest(_Request):
    """Event time of sources with `clock: events`. `ends`: the offset after the last record that it stands behind."""

    sources: list[str] = Field(min_length=1)
    time_ms: int
    ends: dict[str, dict[int, int]] = {}
    adopt: int | None = Field(None, ge=0)


class ReleaseRequest(BaseModel):
    """`release`: the one that comes next."""

    model_config = ConfigDict(extra="forbid")

    service: str
    release: int = Field(ge=2)


def router(process: Process, settings: ConsoleSettings) -> APIRouter:
    """Routes that change something: on loopback open to all, elsewhere to whoever knows the token."""
    routes = APIRouter(dependencies=[Depends(asks_token(settings))])
    writer = ControlWriter(process)

    @routes.post("/v1/definitions")
    def post_definitions(body: DefinitionsRequest) -> JSONResponse:
        """Ask for definitions to be put in force; answered once they are, or with every reason why not."""
        event, shown = _checked(process, body)
        if body.dry_run:
            return JSONResponse({"request_id": body.request_id, "applied": False, **shown})
        position = _written(lambda: writer.apply(event))
        answer = writer.answer_to(position, answers_definitions(body.request_id), settings.definitions_wait_s)
        if answer is None:
            return _error(
                504,
                f"the registry has not answered within {settings.definitions_wait_s:g} s: see whether it runs with "
                "`headrace status`; the request stands in the log, and counts once if it is sent again",
                request_id=body.request_id,
            )
        if isinstance(answer.message.event, c.DefinitionsRefused):
            return _error(409, answer.message.event.reason, request_id=body.request_id)
        return JSONResponse({"request_id": body.request_id, "applied": True, "control": answer.control, **shown})

    @routes.post("/v1/commands")
    def post_command(body: CommandRequest) -> JSONResponse:
        """Ask something about a model: 200 with what happened, 202 if that takes longer, 409 with why not."""
        command = _command(process, body)
        position = _written(lambda: writer.command(command))
        answer = writer.answer_to(position, answers_command(command, position), settings.decision_wait_s)
        return _told(body.request_id, position, answer)

    @routes.post("/v1/ticks")
    def post_tick(body: TickRequest) -> JSONResponse:
        """Write a tick of sources with `clock: events`; answered once the log has it."""
        sources = process.history.newest.definitions.sources
        for name in body.sources:
            if name not in sources or sources[name].time.clock is not Clock.EVENTS:
                why = "is not declared" if name not in sources else "goes by the wall clock"
                raise HTTPException(422, f"source {name!r} {why}: a tick moves sources with `clock: events`")
        tick = c.Tick(clock=Clock.EVENTS, sources=tuple(body.sources), ends=body.ends, adopt=body.adopt)
        control = _written(lambda: writer.write(tick, derived_id(body.request_id, tick.ce_type), body.time_ms))
        return JSONResponse({"request_id": body.request_id, "control": control})

    @routes.post("/v1/releases")
    def post_release(body: ReleaseRequest) -> JSONResponse:
        """Declare the next release of a service's code: its tasks stop where their logs show it."""
        if body.service not in SERVICES:
            raise HTTPException(422, f"there is no service {body.service!r}: it is one of {', '.join(SERVICES)}")
        newest = process.history.newest.release(body.service)
        if body.release not in (newest, newest + 1):
            raise HTTPException(422, f"{body.service} runs release {newest}: the next one is {newest + 1}")
        event = c.ReleaseDeclared(service=body.service, release=body.release)
        event_id = event.id_in(process.history.log_id or "")
        control = _written(lambda: writer.write(event, event_id, process.clock.wall_ms()))
        return JSONResponse({"service": body.service, "release": body.release, "control": control})

    return routes


def _checked(process: Process, body: DefinitionsRequest) -> tuple[c.ApplyDefinitions, dict[str, list[str]]]:
    """The request as a command; what it changes (`difference`), and what to know of it (`notes`).

    Raises 409 or 422 with every problem.
    """
    platform = process.history.newest
    based_on = platform.definitions_at if body.based_on is None else body.based_on
    try:
        fields = {"request_id": body.request_id, "based_on": based_on, "definitions": body.definitions, "by": body.by}
        event = c.ApplyDefinitions.written(fields)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False)]
        raise HTTPException(422, "\n".join(problems)) from None
    applied = process.history.position_of(derived_id(body.request_id, event.ce_type)) is not None
    found = [] if applied else refusals(platform.definitions, event.definitions)
    if found:
        raise HTTPException(422, "\n".join(map(str, found)))
    shown = difference(platform.definitions, event.definitions)
    return event, {"difference": shown, "notes": notes(event.definitions)}


def _command(process: Process, body: CommandRequest) -> ModelCommand:
    defined(process, body.model)
    about = {"model": body.model, "by": body.by, "request_id": body.request_id}
    if body.command in ("approve", "promote"):
        if body.version is None:
            raise HTTPException(422, f"{body.command} needs a version: headrace {body.command} {body.model} VERSION")
        kind = c.ApproveVersion if body.command == "approve" else c.PromoteVersion
        return kind.written({**about, "version": body.version})
    kind = c.RetrainModel if body.command == "retrain" else c.RollBackModel
    return kind.written(about)


def _written(write: Any) -> int:
    try:
        return write()
    except (NotFounded, NotTaken) as error:
        raise HTTPException(503, str(error)) from None


def _told(request_id: str, position: int, answer: Happened | None) -> JSONResponse:
    if answer is None:
        waits = "it stands in the log, and takes effect when what it needs is there: headrace status"
        return JSONResponse({"request_id": request_id, "control": position, "decided": None, "waits": waits}, 202)
    if isinstance(answer.message.event, c.CommandRefused):
        return _error(409, answer.message.event.reason, request_id=request_id)
    return JSONResponse({"request_id": request_id, "control": position, "decided": answer.shown()})


def _error(status: int, message: str, **more: Any) -> JSONResponse:
    return JSONResponse({"error": message, **more}, status)
