"""Distinguish what the log has of a topic: records, no record, or nothing that is certain."""

from collections.abc import Mapping, Sequence
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
        Reading,
        Field(
            description="`current`: the log has all records of the topic; `behind`: it lacks some that are older than "
            "a minute; `unknown`: its consumer has not reported for three minutes"
        ),
    ]
    rate: Annotated[
        float | None,
        Field(
            description="Records a second over the last minute, or a shorter time if many come; null if it is not known"
        ),
    ]
    rates: Annotated[dict[str, float] | None, Field(description="The same by type; types without a record are absent")]
    last: Annotated[
        LastRecord | None,
        Field(description="Null while `current`: no record in the 30 days that the log keeps. Null otherwise: unknown"),
    ]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the log has read one partition. A value is None if no consumer has stored it."""

    position: int | None
    end: int | None
    handled_to: datetime | None
    seen_at: datetime | None

    @property
    def lag(self) -> int | None:
        """Return how many records are not read. A group has no position in a partition that never had a record."""
        if self.end == 0:
            return 0
        return None if self.end is None or self.position is None else max(0, self.end - self.position)


@dataclass(frozen=True, slots=True)
class Recent:
    """The records of the last minute, by topic and type, and the seconds in which Kafka stored them."""

    counts: Mapping[str, Mapping[str | None, int]]
    seconds: float


def reading_of(partitions: Sequence[Progress], expected: int, now: datetime) -> Reading:
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
