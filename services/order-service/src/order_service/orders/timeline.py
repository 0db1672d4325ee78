"""An order's events with their times and causes: one entry each, kept with the order and shown as it was kept."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from crossdock_events import Cause, Envelope, Event
from crossdock_events.orders import OrderBackordered, OrderCancelled, OrderRejected, WaitingLine


class Because(BaseModel):
    """What made it happen: a request (its correlation id), another service's event, or time that had passed."""

    kind: Literal["request", "event", "clock"]
    id: UUID | None = None
    type: str | None = None
    time: datetime | None = None


class Entry(BaseModel):
    type: str = Field(examples=["crossdock.OrderConfirmed.v1"])
    id: UUID
    time: datetime
    sequence: int
    because: Because
    reason: str | None = None
    lines: list[WaitingLine] | None = Field(default=None, description="What was missing, of a backorder")


CLOCK = Because(kind="clock")


def requested(cause: Cause) -> Because:
    return Because(kind="request", id=cause.correlation_id)


def answered(envelope: Envelope[Event]) -> Because:
    return Because(kind="event", id=envelope.id, type=envelope.event.ce_type, time=envelope.time)


def first_entry(published: Envelope[Event]) -> str:
    """The same as `entry` for an order that a request has just placed, in a fifth of the time."""
    return (
        f'{{"type":"{published.event.ce_type}","id":"{published.id}","time":"{published.time.isoformat()}",'
        f'"sequence":{published.sequence},"because":{{"kind":"request","id":"{published.cause.correlation_id}"}}}}'
    )


def entry(published: Envelope[Event], because: Because) -> str:
    """As JSON, for the order's `history`."""
    event = published.event
    return Entry(
        type=event.ce_type,
        id=published.id,
        time=published.time,
        sequence=published.sequence,
        because=because,
        reason=event.reason if isinstance(event, (OrderCancelled, OrderRejected)) else None,
        lines=list(event.lines) if isinstance(event, OrderBackordered) else None,
    ).model_dump_json(exclude_none=True)
