"""The log over HTTP: one event, a feed to poll, and a live stream."""

from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query, Request, Response

from analytics_service.log import views
from analytics_service.log.stream import EventStream, Filters
from analytics_service.log.tail import Tail
from analytics_service.log.views import BAD_CURSOR, EXPIRED, NO_SUCH_EVENT, Events, RecordView
from crossdock_chassis import (
    INVALID,
    Caller,
    Database,
    OpsReader,
    Refusal,
    Timestamp,
    errors,
    limited,
    provided,
    requires,
)

MAX_TYPES: Final = 50
STREAMS_AT_ONCE: Final = 20
"""Streams of one caller that a process serves. A person has a stream in each open tab that is visible."""
_ID: Final = r"^([0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-f]{8}-[0-9]{1,9}\.[0-9]{1,18})$"


@dataclass(frozen=True, slots=True)
class Log:
    """The dependency of the routes."""

    database: Database
    tail: Tail


LogDep = Annotated[Log, provided(Log)]
Reader = Annotated[Caller, requires("events:read", operators="ops:read")]
Cursor = Annotated[str | None, Query(max_length=100, description="`next` of the previous page, or the id of a message")]
router = APIRouter(prefix="/v1", tags=["events"])


@router.get(
    "/events",
    dependencies=[limited("events")],
    response_model=Events,
    responses=errors(BAD_CURSOR, EXPIRED),
    summary="Poll the events of the last 30 days",
)
async def get_events(
    caller: Reader,
    log: LogDep,
    after: Cursor = None,
    since: Annotated[Timestamp | None, Query(description="Begin with what arrived after this time")] = None,
    types: Annotated[
        list[Annotated[str, Query(max_length=255)]] | None,
        Query(max_length=MAX_TYPES, description="Only events of this type; repeat it for several"),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="The most events in the page")] = 100,
) -> Response:
    """Return the events that follow `after`, each once, those of one key in their order. The first request begins with
    the oldest event, or with `since`.

    Send `next` as `after` of the next request, also if `items` is empty. A page may be short and still not be the last:
    the feed has ended for now if `next` stays the same. A partner gets its own events, an operator those of all.
    """
    if after is not None and since is not None:
        detail = "Send `after` or `since`, not both"
        raise Refusal(INVALID, errors=[{"in": "query", "parameter": "since", "detail": detail, "code": "conflict"}])
    head = await views.head(log.database)
    if after is not None:
        position = head.position_of(after, "after")
    else:
        position = head.forgotten if since is None else await views.at_time(log.database, head, since)
    partner = caller.partner or None
    body = await views.page(log.database, head, position, partner=partner, types=types, limit=limit)
    return Response(body, media_type="application/json")


@router.get(
    "/events/{id}",
    response_model=RecordView,
    responses=errors(NO_SUCH_EVENT, EXPIRED),
    summary="Show a record, whole",
)
async def get_event(
    id: Annotated[str, Path(pattern=_ID, max_length=64, description="The id of an event, or a cursor")],
    caller: Reader,
    log: LogDep,
) -> Response:
    """Return the first record with this event id, or the record at a cursor: a record that is no event has no id."""
    head = await views.head(log.database)
    wanted = head.position_of(id, "id", "path") if "." in id else UUID(id)
    found = await views.find(log.database, head, wanted, caller.partner or None)
    if found is None:
        raise Refusal(NO_SUCH_EVENT, f"No event {id}")
    return Response(found, media_type="application/json")


@router.get(
    "/stream",
    dependencies=[limited("stream", at_once=STREAMS_AT_ONCE)],
    response_class=EventStream,
    status_code=200,
    responses={200: {"description": "Server-sent events"}, **errors(BAD_CURSOR, EXPIRED)},
    summary="Follow the log live",
)
async def get_stream(
    request: Request,
    caller: OpsReader,
    log: LogDep,
    filters: Annotated[Filters, Query()],
    last_event_id: Annotated[
        str | None, Header(max_length=100, description="The id of the last message; it wins over `after`")
    ] = None,
) -> Response:
    """Send each record as a message whose `id` is its cursor and whose `data` is the event as `/v1/events` shows it.

    Without a cursor or `since` the stream begins with the next record. Data of more than 32 KiB is null:
    `/v1/events/{id}` has it.
    Comments come every 15 seconds. A message `searching` has the place that a filter has reached in older records. A
    message `behind` is the last one of a stream whose client reads too slowly. The stream ends when the token expires.
    """
    head = await views.head(log.database)
    cursor = last_event_id or filters.after
    name, where = ("Last-Event-ID", "header") if last_event_id else ("after", "query")
    if cursor is not None:
        position = head.position_of(cursor, name, where)
    elif filters.since is not None:
        position = await views.at_time(log.database, head, filters.since)
    else:
        position = head.position
    return EventStream(log.database, log.tail, request, head, position, filters)
