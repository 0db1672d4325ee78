"""The trace of an order over HTTP, for operators."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import asyncpg
from fastapi import APIRouter
from pydantic import AwareDatetime, TypeAdapter, ValidationError

from analytics_service.log import views
from analytics_service.log.views import Head
from analytics_service.trace.model import Found, Trace, trace
from crossdock_chassis import Database, OpsReader, Problem, Refusal, errors, limited, provided

MOST: Final = 1_000
"""Records of one order that are shown. An order has more only if it waits for stock for long."""

NO_SUCH_ORDER: Final = Problem(404, "no-such-order", "The log has no record of this order; it keeps 30 days")
TIME: Final[TypeAdapter[datetime]] = TypeAdapter(AwareDatetime)


@dataclass(frozen=True, slots=True)
class Traces:
    """The dependency of the route."""

    database: Database


TracesDep = Annotated[Traces, provided(Traces)]
router = APIRouter(prefix="/v1/orders", tags=["orders"])


@router.get(
    "/{order_id}/trace",
    dependencies=[limited("events")],
    responses=errors(NO_SUCH_ORDER),
    summary="Show the way of an order through the services",
)
async def get_trace(order_id: UUID, caller: OpsReader, traces: TracesDep) -> Trace:
    """Return each record of the order, with the time that it took in Kafka, and in the reaction and its outbox.

    All of it comes from the headers of the records. Missing events, repeats and dead letters are marked. Clocks that
    disagree are named.
    """
    head = await views.head(traces.database)
    rows = await views.behind(traces.database, 0, MOST + 1, "order_id", order_id)
    if not rows:
        raise Refusal(NO_SUCH_ORDER, f"No record of order {order_id}")
    correlation = next((row["correlation_id"] for row in rows if row["correlation_id"] is not None), None)
    return trace(order_id, correlation, [_found(row, head) for row in rows[:MOST]], more=len(rows) > MOST)


def _found(row: asyncpg.Record, head: Head) -> Found:
    return Found(
        cursor=head.cursor(row["position"]),
        topic=row["topic"],
        key=views.text_of(row["key"]),
        kafka_time=row["kafka_time"],
        event_time=_time(views.header(row, "ce_time")),
        type=row["type"],
        id=row["event_id"],
        source=row["source"],
        sequence=row["sequence"],
        causation_id=row["causation_id"],
        repeat=row["repeat"],
    )


def _time(text: str | None) -> datetime | None:
    """Return a time with its zone, None for other text: any client may write any header."""
    try:
        return None if text is None else TIME.validate_python(text)
    except ValidationError:
        return None
