"""The events of an order with their times and causes. Each entry is stored with the order and shown as stored."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import BaseModel, Field
from pydantic_core import to_json

from crossdock_events import Cause, Envelope, Event
from crossdock_events.orders import OrderBackordered, OrderCancelled, OrderRedacted, OrderRejected, WaitingLine


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
    note: Annotated[str | None, Field(description="The partner's note on its cancel")] = None
    parts: Annotated[list[str] | None, Field(description="What was removed from a redacted order")] = None
    lines: list[WaitingLine] | None = Field(
        default=None,
        description="If the order was backordered: the lines that changed since the entry before. At first these are "
        "all lines that lacked stock. A line with `backordered` 0 lacks no stock any more",
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


def entry(
    published: Envelope[Event],
    because: Mapping[str, str],
    note: str | None = None,
    waited_for: Sequence[WaitingLine] = (),
) -> str:
    """Return an `Entry` as JSON, for the order's `history`. `waited_for` are the lines that lacked stock before.

    The entry is built without the model because the model would double the cost of a decision.
    """
    event = published.event
    said: dict[str, object] = {
        "type": event.ce_type,
        "id": str(published.id),
        "time": published.time.isoformat(),
        "sequence": published.sequence,
        "because": because,
        "note": note,
    }
    if type(event) is OrderCancelled or type(event) is OrderRejected:
        said["reason"] = event.reason
    elif type(event) is OrderBackordered:
        said["lines"] = _changes(waited_for, event.lines)
    elif type(event) is OrderRedacted:
        said["parts"] = event.parts
    return to_json(said, exclude_none=True).decode()


def _changes(before: Sequence[WaitingLine], after: Sequence[WaitingLine]) -> list[WaitingLine]:
    """Return the lines that changed. With all lines in each entry, a history would grow quadratically."""
    known, left = {line.line_id: line for line in before}, {line.line_id for line in after}
    served = [
        line.model_copy(update={"reserved": line.requested, "backordered": 0})
        for line in before
        if line.line_id not in left
    ]
    return [line for line in after if known.get(line.line_id) != line] + served
