"""What happened to a customer: the values that changed, and the consents that were given and withdrawn."""

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field
from pydantic_core import from_json

from crm_service.customers.model import NoSuchCustomer
from crm_service.customers.personal import Eyes
from crm_service.customers.views import ConsentView
from crossdock_chassis import Cursor, Page

HISTORY: Final = """
    SELECT version, name, at, who, before::text, after::text FROM customer_changes
    WHERE customer_id = $1 AND ($2::bigint IS NULL OR (version, name) < ($2, $3))
    ORDER BY version DESC, name DESC LIMIT $4
"""
SAID: Final = """
    SELECT customer_id, version, purpose, channel, state, source, at, who FROM consents
    WHERE customer_id IN (SELECT id FROM customers WHERE root = (SELECT root FROM customers WHERE id = $1))
          AND ($2::timestamptz IS NULL OR (at, customer_id, version) < ($2, $3, $4))
    ORDER BY at DESC, customer_id DESC, version DESC LIMIT $5
"""
SAYINGS: Final = Cursor("consents", tuple[datetime, UUID, int])
CHANGES: Final = Cursor("customer-changes", tuple[int, str])


class SaidView(ConsentView):
    """A consent as it was given or withdrawn."""

    customer_id: Annotated[UUID, Field(description="The customer that gave or withdrew it, before any merge")]
    version: int
    who: str


class ChangeView(BaseModel):
    """A value that changed. `registered` has all values that the customer began with."""

    version: int
    name: str
    at: datetime
    who: str
    before: Any
    after: Any


async def history(sql: asyncpg.Connection, id: UUID, cursor: str | None, limit: int, eyes: Eyes) -> Page[ChangeView]:
    """Return the changes of a customer, the newest first. Raise NoSuchCustomer."""
    after = CHANGES.decode(cursor) or (None, None)
    if not await sql.fetchval("SELECT true FROM customers WHERE id = $1", id):
        raise NoSuchCustomer(f"No customer has the id {id}")
    rows = await sql.fetch(HISTORY, id, *after, limit + 1)
    shown = rows[:limit]
    items = [ChangeView(**{**row, **{each: _value(row[each], eyes) for each in ("before", "after")}}) for row in shown]
    following = CHANGES.encode((shown[-1]["version"], shown[-1]["name"])) if len(rows) > limit else None
    return Page(items=items, next=following)


async def said(sql: asyncpg.Connection, id: UUID, cursor: str | None, limit: int) -> Page[SaidView]:
    """Return the consents of a customer and of those merged into it, the newest first. Raise NoSuchCustomer."""
    after = SAYINGS.decode(cursor) or (None, None, None)
    if not await sql.fetchval("SELECT true FROM customers WHERE id = $1", id):
        raise NoSuchCustomer(f"No customer has the id {id}")
    rows = await sql.fetch(SAID, id, *after, limit + 1)
    shown = rows[:limit]
    last = (shown[-1]["at"], shown[-1]["customer_id"], shown[-1]["version"]) if len(rows) > limit else None
    return Page(items=[SaidView(**dict(row)) for row in shown], next=None if last is None else SAYINGS.encode(last))


def _value(document: str | None, eyes: Eyes) -> Any:
    return None if document is None else eyes.any(from_json(document))
