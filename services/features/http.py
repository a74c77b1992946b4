"""`GET /v1/features/{view}/{entity}`: the features of an entity as of a time, by the function that streams use."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from shared.contracts.definitions import FeatureView
from shared.contracts.envelope import rfc3339
from shared.contracts.instants import parse_instant_ms
from shared.contracts.topology import clock_of
from shared.inputs.windows import WindowState, evaluate
from shared.runtime.process import Process
from shared.runtime.tables import TableFollower


def router(process: Process) -> APIRouter:
    routes = APIRouter()
    tables = TableFollower.of(process)

    @routes.get("/v1/features/{view}/{entity:path}")
    async def features(view: str, entity: str, at: str | None = None) -> JSONResponse:
        """Features as of `at` (RFC 3339 or epoch milliseconds), else of the newest tick of the source's clock, else
        of the entity's newest record: nothing with that event time or later counts.

        An entity that is not known has `"known": false` and the values of no events: 0 where counted or summed, else
        null. Until the view's table has been read whole, the answer is 503.
        """
        definition = process.history.newest.definitions.views.get(view)
        if definition is None:
            return _unknown_view(process, view)
        unread = tables.why_unread(view)
        if unread is not None:
            return _error(503, f"{unread}; ask again")
        at_ms = _as_of_ms(process, tables, definition, entity) if at is None else parse_instant_ms(at)
        if at is not None and at_ms is None:
            return _error(422, f"at: expected RFC 3339 or epoch milliseconds, found {at!r}")
        row = tables.row(view, entity)
        state = None if row is None else WindowState.from_json(row.state)
        return JSONResponse(
            {
                "view": view,
                "entity": entity,
                "known": state is not None,
                "at": None if at_ms is None else rfc3339(at_ms),
                "at_ms": at_ms,
                "features": evaluate(definition, state, at_ms or 0),
            }
        )

    return routes


def _as_of_ms(process: Process, tables: TableFollower, view: FeatureView, entity: str) -> int | None:
    platform = process.history.newest
    ticked_ms = platform.ticks.get(clock_of(platform.definitions, view.source))
    return tables.newest_ms(view.name, entity) if ticked_ms is None else ticked_ms


def _unknown_view(process: Process, view: str) -> JSONResponse:
    views = sorted(process.history.newest.definitions.views)
    if views:
        return _error(404, f"view {view!r} is not declared; declared are {', '.join(views)}")
    return _error(404, f"view {view!r} is not declared, and no other is: apply one with `headrace apply -f FILE`")


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status)
