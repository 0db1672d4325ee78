"""What keeps a customer from being erased. Pure."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal, NamedTuple
from uuid import UUID

from crm_service.customers.model import CustomerError

ORDER_ENDS: Final = timedelta(days=180)
CASE_ENDS: Final = timedelta(days=365)
IMPORT_ENDS: Final = timedelta(days=1)
"""An order or a case that is never decided, or an import that never ends, holds for so long."""


class Hold(NamedTuple):
    """`of` is the order, the case, the import, or the hold that staff placed. It ends by itself at `until`.

    An import holds everybody back: nobody knows whom its file has before it is read.
    """

    kind: Literal["order", "case", "import", "legal"]
    of: UUID
    reason: str
    until: datetime


class NoSuchHold(CustomerError):
    pass


class NoSuchErasure(CustomerError):
    pass


def end_of(day: date) -> datetime:
    """Return the end of a day everywhere: noon of the next day in UTC."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC) + timedelta(days=1)


def in_force(holds: Iterable[Hold], now: datetime) -> list[Hold]:
    """Return the holds that have not ended, the longest last."""
    return sorted((each for each in holds if each.until > now), key=lambda each: each.until)
