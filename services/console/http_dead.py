"""`/v1/dead`: the dead letters of all services, one of them whole, and back into its task's input."""

from __future__ import annotations

from concurrent.futures import TimeoutError as NotInTime
from typing import Any

import orjson
from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from services.console.commands import ACCEPTED_WITHIN_S, ControlWriter, Happened, NotFounded, NotTaken
from services.console.dead_letter_list import DeadLetters, Letter, LetterExpired, LetterUnknown, read_letter
from services.console.letter_replay import NotReplayable, Replay, replay_of
from services.console.settings import ConsoleSettings
from shared.contracts.control import DeadLetterReplayed
from shared.contracts.envelope import Headers, rfc3339
from shared.runtime.dead_letters import came_with
from shared.runtime.http_access import asks_token
from shared.runtime.log import LogError, LogRecord, RecordTooLarge
from shared.runtime.process import Process

STACK_TRACE = "__connect.errors.exception.stacktrace"


class ReplayRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    by: str = "console"


def router(process: Process, letters: DeadLetters, settings: ConsoleSettings) -> APIRouter:
    """Whoever may change something may replay a letter."""
    routes = APIRouter()
    desk = LetterDesk(process, letters)

    @routes.get("/v1/dead")
    def get_letters(service: str | None = None, limit: int = Query(50, ge=1, le=1_000)) -> JSONResponse:
        """The newest dead letters, newest first, of one service or all."""
        return JSONResponse({"dead": [desk.told(letter) for letter in letters.newest(service)[:limit]]})

    @routes.get("/v1/dead/{letter_id}")
    def get_letter(letter_id: str) -> JSONResponse:
        """One letter: key, value and headers as its record came with them, and the stack trace. The id may be cut
        short."""
        letter = desk.found(letter_id)
        return JSONResponse({**desk.told(letter), **shown(desk.read(letter))})

    @routes.post("/v1/dead/{letter_id}/replay", dependencies=[Depends(asks_token(settings))])
    def post_replay(letter_id: str, body: ReplayRequest | None = None) -> JSONResponse:
        """Append it to its task's input under a new id; a letter that was replayed before is told, and not again.

        409 with the reason for a letter that cannot be replayed.
        """
        letter = desk.found(letter_id)
        happened = desk.replayed(letter) or desk.replay(letter, (body or ReplayRequest()).by)
        return JSONResponse({"letter_id": letter.id, "replayed": told_replay(happened)})

    return routes


class LetterDesk:
    """Finds, reads and replays letters. What it cannot do is an HTTPException with the reason."""

    def __init__(self, process: Process, letters: DeadLetters) -> None:
        self._process, self._letters = process, letters
        self._writer = ControlWriter(process)

    def found(self, letter_id: str) -> Letter:
        try:
            return self._letters.find(letter_id)
        except LetterUnknown as unknown:
            raise HTTPException(404, str(unknown)) from None

    def told(self, letter: Letter) -> dict[str, Any]:
        happened = self.replayed(letter)
        stands = f"{letter.tp.topic}/{letter.tp.partition}@{letter.offset}"
        told = {"letter_id": letter.id, "service": letter.service, "time": rfc3339(letter.time_ms), "stands_at": stands}
        return {**told, **letter.facts, "replayed": None if happened is None else told_replay(happened)}

    def read(self, letter: Letter) -> LogRecord:
        try:
            return read_letter(self._process.broker.reader(), letter)
        except LetterExpired as expired:
            raise HTTPException(410, str(expired)) from None
        except (LogError, TimeoutError) as error:
            raise HTTPException(503, f"letter {letter.id} cannot be read: {error}") from None

    def replayed(self, letter: Letter) -> Happened | None:
        """What control.v1 says of its replay."""
        history = self._process.history
        position = history.position_of(letter.replay_id)
        message = None if position is None else history.entries[position - 1].message
        return None if position is None or message is None else Happened(position, message)

    def replay(self, letter: Letter, by: str) -> Happened:
        """Put it into the input, then say so. Should the second fail, the first counts once when it is asked again."""
        record = self.read(letter)
        try:
            definitions, writer = self._process.history.newest.definitions, self._process.outside.identity
            replay = replay_of(record, definitions, writer)
        except NotReplayable as refused:
            raise HTTPException(409, str(refused)) from None
        fact = DeadLetterReplayed(
            letter_id=letter.id, service=replay.task.service, task=replay.task.id, event_id=replay.event_id,
            topic=replay.tp.topic, partition=replay.tp.partition, offset=self._landed(replay), by=by,
        )  # fmt: skip
        try:
            position = self._writer.write(fact, letter.replay_id, self._process.clock.wall_ms())
        except (NotFounded, NotTaken) as error:
            raise HTTPException(503, str(error)) from None
        message = self._process.history.entries[position - 1].message
        assert message is not None
        return Happened(position, message)

    def _landed(self, replay: Replay) -> int:
        sent = replay.encoded
        future = self._process.outside.publish_raw(replay.tp, sent.key, sent.value, sent.headers)
        try:
            return future.result(ACCEPTED_WITHIN_S)
        except NotInTime:
            future.cancel()
            said = f"{replay.tp.topic} has not taken it within {ACCEPTED_WITHIN_S:g} s, so the broker may be away"
            raise HTTPException(503, f"{said}: ask again, it counts once; see `headrace status`") from None
        except RecordTooLarge as large:
            raise HTTPException(409, str(large)) from None


def told_replay(happened: Happened) -> dict[str, Any]:
    """A replay as control.v1 has it."""
    event = happened.message.event
    assert isinstance(event, DeadLetterReplayed)
    where = {"topic": event.topic, "partition": event.partition, "offset": event.offset}
    named = {"control": happened.control, "time": rfc3339(happened.message.time_ms), "by": event.by}
    return {**named, "event_id": event.event_id, **where}


def shown(record: LogRecord) -> dict[str, Any]:
    """Bytes as JSON or text where they are that, otherwise as hexadecimal digits."""
    return {
        "key": _text(record.key),
        "headers": _headers(came_with(record.headers)),
        **_value(record.value),
        "stack_trace": dict(record.headers)[STACK_TRACE].decode(errors="replace"),
    }


def _headers(headers: Headers) -> list[dict[str, Any]]:
    return [{"name": name, "value": _text(value)} for name, value in headers]


def _value(value: bytes | None) -> dict[str, Any]:
    length = {"length": len(value or b"")}
    try:
        return {"value_as": "json", "value": orjson.loads(value or b""), **length}
    except orjson.JSONDecodeError:
        text = _text(value)
        return {"value_as": "hex" if isinstance(text, dict) else "text", "value": text, **length}


def _text(data: bytes | None) -> str | dict[str, str] | None:
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"hex": data.hex()}
