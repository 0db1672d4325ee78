"""What is known about an order when its diagnosis is decided. Nothing here asks anybody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

ORDERS: Final = "order-service"
INVENTORY: Final = "inventory-service"

Status = Literal["placed", "confirmed", "backordered", "rejected", "cancelled"]


@dataclass(frozen=True, slots=True)
class Silent:
    """A service that was asked and did not answer, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line that lacks stock. Its place in the queue is None if inventory-service did not answer."""

    line_id: str
    item_id: str
    requested: int
    reserved: int
    missing: int
    orders_ahead: int | None = None
    units_ahead: int | None = None
    complete: bool | None = None
    available: int | None = None
    discontinued: bool | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """The order as order-service shows it, or, if it is silent, as its events left it."""

    id: UUID
    status: Status
    version: int
    placed_at: datetime
    since: datetime
    partial: bool | None = None
    until: datetime | None = None
    reason: str | None = None
    lines: Sequence[Line] = ()
    lines_left_out: int = 0
    from_events: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """An event of the order in the log."""

    id: UUID | None
    type: str
    sequence: int
    at: datetime
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Queue:
    """What inventory-service has decided for the order."""

    status: Literal["open", "waiting", "released", "rejected"]
    version: int
    changed_at: datetime
    partial: bool = False
    lines: Sequence[Line] = ()
    lines_left_out: int = 0


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a consumer group, or one partition of it, is stopped."""

    id: int
    kind: str
    reason: str
    since: datetime
    decision: str | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """An event of the order that a service could not handle yet."""

    id: int
    state: str
    topic: str
    reason: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Place:
    """How far a service is in a partition."""

    position: int | None = None
    seconds_to_clear: float | None = None
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """The state of a service. `places` has the partitions that it reads, `stops` those of whole groups too."""

    runs: bool = True
    outbox_depth: int = 0
    outbox_seconds: float = 0.0
    places: Mapping[tuple[str, int], Place] = field(default_factory=dict)
    stops: Mapping[tuple[str, int] | None, Sequence[Stop]] = field(default_factory=dict)
    letters: Sequence[Letter] = ()


@dataclass(frozen=True, slots=True)
class LogState:
    """How far the log is behind Kafka. `seen_at` is when its worker last stored these figures."""

    runs: bool = True
    lag: int | None = 0
    seconds: float | None = 0.0
    seen_at: datetime | None = None
    stopped_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """`records` are the newest events of the order in the log, the newest first.

    `queue` is None if inventory-service does not know the order. `parts` are asked only if something may be stuck.
    """

    now: datetime
    order: Order
    records: Sequence[Sent]
    queue: Queue | Silent | None
    parts: Mapping[str, Part | Silent]
    log: LogState
    order_service: Silent | None = None
    overdue_after: timedelta = timedelta(seconds=65)
