"""Tell apart what the log knows of a topic: its events, that it has none, and that nobody knows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field

WINDOW: Final = timedelta(seconds=60)
STALE: Final = timedelta(minutes=3)
"""A consumer stores its progress at least once a minute."""

Reading = Literal["current", "behind", "unknown"]


class LastRecord(BaseModel):
    """The newest record of a topic. `/v1/events/{cursor}` has it whole."""

    cursor: str
    time: Annotated[datetime, Field(description="When Kafka stored it")]
    type: Annotated[str | None, Field(description="Null if it is no readable event")]
    key: str | None


class Activity(BaseModel):
    """What the log has of a topic."""

    reading: Annotated[
        Reading, Field(description="Whether the log has all records of the topic; unknown if its consumer is silent")
    ]
    rate: Annotated[float | None, Field(description="Records a second in the last minute; null if it is not known")]
    rates: Annotated[dict[str, float] | None, Field(description="The same by type; types without a record are absent")]
    last: Annotated[
        LastRecord | None,
        Field(description="Null and `current`: no record in the 30 days that the log keeps. Null otherwise: unknown"),
    ]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the log has read one partition. A value is None if no consumer has stored it."""

    lag: int | None
    handled_to: datetime | None
    seen_at: datetime | None


@dataclass(frozen=True, slots=True)
class Recent:
    """The records of the last minute, by topic and type, and the seconds in which Kafka stored them."""

    counts: Mapping[str, Mapping[str | None, int]]
    seconds: float


def reading_of(partitions: list[Progress], expected: int, now: datetime) -> Reading:
    """Return whether the log has all records of a topic with at least the expected partitions."""
    if len(partitions) < expected:
        return "unknown"
    if any(each.lag is None or each.seen_at is None or now - each.seen_at > STALE for each in partitions):
        return "unknown"
    behind = [each for each in partitions if each.lag]
    return "behind" if any(each.handled_to is None or now - each.handled_to > WINDOW for each in behind) else "current"


def activity_of(topic: str, reading: Reading, recent: Recent, last: LastRecord | None) -> Activity:
    """Return the activity of a topic. A log that is behind has not seen the last minute, so its rate is unknown."""
    if reading != "current":
        return Activity(reading=reading, rate=None, rates=None, last=last)
    counts = recent.counts.get(topic, {})
    rates = {type: _rate(number, recent) for type, number in counts.items() if type is not None}
    return Activity(reading=reading, rate=_rate(sum(counts.values()), recent), rates=rates, last=last)


def _rate(number: int, recent: Recent) -> float:
    return round(number / recent.seconds, 3)
