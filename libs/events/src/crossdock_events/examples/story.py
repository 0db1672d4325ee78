"""The helpers of the examples: ids and times that never change."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from crossdock_events._envelope import Cause, Envelope
from crossdock_events._event import Event


@dataclass(frozen=True, slots=True)
class Example:
    label: str
    envelope: Envelope[Event]


BEGIN = datetime(2026, 3, 2, 8, 30, 0, 125000, tzinfo=UTC)
_TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def uuid7(at: datetime, number: int) -> UUID:
    milliseconds = int(at.timestamp() * 1000)
    return UUID(int=(milliseconds << 80) | (0x7 << 76) | (0x2 << 62) | (number * 0x9E3779B97F4A7C15 & (1 << 62) - 1))


def fact(number: int, sequence: int, event: Event, after: Envelope[Event] | None = None) -> Envelope[Event]:
    """Return fact `number` of the story, 40 ms after the previous fact. `after` is the cause."""
    at = BEGIN + timedelta(milliseconds=40 * number)
    id = uuid7(at, number)
    cause = after.as_cause() if after else Cause(uuid7(at, 1000 + number), None, _TRACE)
    return Envelope(event, id, event.topic.owner, at, sequence, cause)


def order_id(story: int) -> UUID:
    return uuid7(BEGIN, 2000 + story)
