"""Feeds of changes in commit order, which a client polls with one cursor and in which it misses no row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, and_, text, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from crossdock_chassis.database.commit_order import GENERATION_BITS
from crossdock_chassis.http.conventions import Cursor
from crossdock_chassis.problems import CURSOR_EXPIRED, Refusal

T = TypeVar("T")
K = TypeVar("K")

HORIZON: Final = text("SELECT commit_horizon()")


class Changes(BaseModel, Generic[T]):
    """A page of a feed."""

    items: list[T]
    next: Annotated[str, Field(description="Send it as `cursor` of the next request, also if `items` is empty")]


@dataclass(frozen=True, slots=True)
class Span(Generic[K]):
    """The part of a feed that a page may have: above `after`, a position and a key, and below `horizon`."""

    cursor: Cursor[tuple[int, int, K]]
    after: tuple[int, K]
    horizon: int

    def holds(self, position: Any, key: Any) -> ColumnElement[bool]:
        return and_(tuple_(position, key) > self.after, position < self.horizon)

    def next(self, read: Sequence[tuple[int, K]]) -> str:
        """Return the cursor after the rows that were read, each a position and a key. It stays if there are none."""
        return self.cursor.encode((self.horizon >> GENERATION_BITS, *(read[-1] if read else self.after)))


class Feed(Generic[K]):
    """A feed by position and key. The key orders the rows of one transaction, and `first` is below every key.

    FEED = Feed("orders", tuple[int, int, UUID], UUID(int=0))

    span = await FEED.span(session, cursor)
    query = select(…).where(span.holds(Row.changed_in, Row.id)).order_by(Row.changed_in, Row.id).limit(limit)
    """

    def __init__(self, name: str, cursor: type[tuple[int, int, K]], first: K) -> None:
        self._cursor, self._first = Cursor(f"{name}-changes", cursor), first

    async def span(self, session: AsyncSession, cursor: str | None) -> Span[K]:
        """Return the part that a page may have now. Without a cursor, the feed begins at the first change.

        Raise Refusal 400 for another cursor, 410 for a cursor from before the database was restored.
        """
        sent = self._cursor.decode(cursor)
        horizon: int = (await session.execute(HORIZON)).scalar_one()
        if sent is None:
            return Span(self._cursor, (0, self._first), horizon)
        generation, position, key = sent
        if generation != horizon >> GENERATION_BITS:
            raise Refusal(CURSOR_EXPIRED)
        return Span(self._cursor, (position, key), horizon)
