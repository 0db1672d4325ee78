"""What a planned driver is, and when an origin knows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from uuid import UUID

from forecast_service.calendar.model import WINDOWS
from forecast_service.fitting.series import PRICE, Elsewhere

MOST_NAMES: Final = 30
"""Drivers that plans may have together, because each is a term of the regressions of every series."""
RESERVED: Final = frozenset(WINDOWS)


class DriverError(Exception):
    """A request about a planned driver that cannot be met.

    - NoSuchDriver
    - TooManyDrivers: its name would be one more than there may be
    """


class NoSuchDriver(DriverError):
    def __init__(self, id: UUID) -> None:
        super().__init__(f"There is no planned driver {id}")


class TooManyDrivers(DriverError):
    def __init__(self, name: str) -> None:
        super().__init__(f"{MOST_NAMES} drivers have plans, and {name} is none of them: withdraw the plans of another")
        self.errors = [{"pointer": "/name", "detail": f"at most {MOST_NAMES} names", "code": "too_many"}]


@dataclass(frozen=True, slots=True)
class Driver:
    """A value on the days from `first_day` to `last_day`, or from then on. Empty texts of the scope mean all."""

    name: str
    item_id: str
    category: str
    location_id: str
    first_day: date
    last_day: date | None
    value: float
    known_from: datetime | None
    elsewhere: Elsewhere | None = None


def faults(driver: Driver) -> Sequence[tuple[str, str]]:
    """Return each field that contradicts another one, and how."""
    found = []
    if driver.name in RESERVED:
        found.append(("name", "is a driver of the calendar"))
    if driver.item_id and driver.category:
        found.append(("category", "must be empty if the plan is for an item"))
    if driver.last_day is not None and driver.last_day < driver.first_day:
        found.append(("last_day", "is before first_day"))
    if driver.name == PRICE and driver.value <= 0:
        found.append(("value", "must be above 0, because it is a price"))
    return found


def elsewhere(driver: Driver) -> Elsewhere:
    """Return what the driver is on days without a plan: zero, but a price is unknown."""
    return driver.elsewhere or ("unknown" if driver.name == PRICE else "zero")


def first_origin(at: datetime) -> int:
    """Return the ordinal of the first origin whose day begins at this time or later, in UTC."""
    at = at.astimezone(UTC)
    return at.toordinal() + (at.time() != time())


def known_by(origin: date, requested_at: datetime) -> datetime:
    """Return until when plans count in a run: until its request, and never after the origin has ended everywhere."""
    return min(requested_at, datetime.combine(origin + timedelta(days=1), time(12), UTC))
