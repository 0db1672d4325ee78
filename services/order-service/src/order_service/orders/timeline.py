"""An order's events with their times and causes: one entry each, kept with the order and shown as it was kept."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from pydantic import BaseModel, Field
from pydantic_core import to_json

from crossdock_events import Cause, Envelope, Event
from crossdock_events.orders import OrderBackordered, OrderCancelled, OrderRejected, WaitingLine


class Because(BaseModel):
    """The cause of the event: a request (`id` is its correlation id), an event of another service, or the clock."""

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
    lines: list[WaitingLine] | None = Field(
        default=None, description="The lines that lacked stock, if the order was backordered"
    )


CLOCK: Final[Mapping[str, str]] = {"kind": "clock"}


def requested(cause: Cause) -> Mapping[str, str]:
    return {"kind": "request", "id": str(cause.correlation_id)}


def answered(envelope: Envelope[Event]) -> Mapping[str, str]:
    return {
        "kind": "event",
        "id": str(envelope.id),
        "type": envelope.event.ce_type,
        "time": envelope.time.isoformat(),
    }


def entry(published: Envelope[Event], because: Mapping[str, str]) -> str:
    """An `Entry` as JSON, for the order's `history`. Made of strings: a model would cost what all else of a decision
    does together."""
    event = published.event
    said: dict[str, object] = {
        "type": event.ce_type,
        "id": str(published.id),
        "time": published.time.isoformat(),
        "sequence": published.sequence,
        "because": because,
    }
    if type(event) is OrderCancelled or type(event) is OrderRejected:
        said["reason"] = event.reason
    elif type(event) is OrderBackordered:
        said["lines"] = event.lines
    return to_json(said, exclude_none=True).decode()
