"""What a search finds: one statement of limited index scans over the projections and the log."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

import asyncpg
from pydantic import BaseModel, Field

from analytics_service.search.model import By, Kind, Wanted, link
from crossdock_chassis import Database

TIMEOUT_MILLISECONDS: Final = 1_000

# One plan serves all searches of a connection. It may have been made when the tables were empty, so it may neither read
# nor sort whole tables. Making a plan takes longer than a search, because the log has a partition for each day.
PLANNED: Final = f"""
    SET LOCAL statement_timeout = {TIMEOUT_MILLISECONDS}; SET LOCAL plan_cache_mode = force_generic_plan;
    SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off
"""

_TYPED: Final = "unnest($1::text[]) AS typed (text)"
_LAST: Final = "(typed.text || chr(1114111))"
"""No text that begins with the typed one sorts behind it with the last character of Unicode."""

_REFERENCES: Final = f"""
    SELECT 'order' AS kind, 'reference' AS by, order_id::text AS id, reference AS title, partner, status AS detail,
           placed_at AS time
    FROM {_TYPED} CROSS JOIN LATERAL (
        SELECT order_id, reference, partner, status, placed_at FROM orders_now
        WHERE reference ~>=~ typed.text AND reference ~<=~ {_LAST} ORDER BY reference USING ~<~ LIMIT $2
    ) AS found
"""

_ITEMS: Final = f"""
    SELECT 'item', 'id', item_id, item_id, NULL, category, changed_at
    FROM {_TYPED} CROSS JOIN LATERAL (
        SELECT item_id, category, changed_at FROM stock_items
        WHERE item_id ~>=~ typed.text AND item_id ~<=~ {_LAST} ORDER BY item_id USING ~<~ LIMIT $2
    ) AS found
"""

# The next partner is found from the last one, because most partners have many orders.
_PARTNERS: Final = f"""
    SELECT 'partner', 'id', partner, partner, partner, NULL, NULL
    FROM {_TYPED} CROSS JOIN LATERAL (
        WITH RECURSIVE found AS (
            (SELECT partner FROM orders_now
             WHERE partner ~>=~ typed.text AND partner ~<=~ {_LAST} ORDER BY partner USING ~<~ LIMIT 1)
            UNION ALL
            SELECT next.partner FROM found CROSS JOIN LATERAL (
                SELECT partner FROM orders_now
                WHERE partner ~>~ found.partner AND partner ~<=~ {_LAST} ORDER BY partner USING ~<~ LIMIT 1
            ) AS next
        )
        SELECT partner FROM found LIMIT $2
    ) AS named
"""

_ORDERS: Final = """
    SELECT kind, by, id, title, partner, detail, time FROM (
        SELECT 'order' AS kind, 'id' AS by, order_id::text AS id, reference AS title, partner, status AS detail,
               placed_at AS time
        FROM orders_now WHERE order_id >= $3 AND order_id <= $4 ORDER BY order_id DESC LIMIT $2
    ) AS found
"""

# Thousands of records can have one correlation, so the next id is found from the last one. The newest ids come first.
_LOGGED: Final = """
    SELECT '{kind}', 'id', found.id::text, record.type, record.partner, NULL, record.kafka_time
    FROM (
        WITH RECURSIVE found AS (
            (SELECT {column} AS id FROM log WHERE {column} >= $3 AND {column} <= $4 ORDER BY {column} DESC LIMIT 1)
            UNION ALL
            SELECT next.id FROM found CROSS JOIN LATERAL (
                SELECT {column} AS id FROM log WHERE {column} < found.id AND {column} >= $3
                ORDER BY {column} DESC LIMIT 1
            ) AS next
        )
        SELECT id FROM found LIMIT $2
    ) AS found
    CROSS JOIN LATERAL (SELECT type, partner, kafka_time FROM log WHERE {column} = found.id LIMIT 1) AS record
"""

TEXTS: Final[Sequence[tuple[Kind, By]]] = (("order", "reference"), ("item", "id"), ("partner", "id"))
IDS: Final[Sequence[tuple[Kind, By]]] = (("order", "id"), ("event", "id"), ("correlation", "id"), ("trace", "id"))

BY_TEXT: Final = " UNION ALL ".join([_REFERENCES, _ITEMS, _PARTNERS])
BY_TEXT_AND_ID: Final = " UNION ALL ".join(
    [
        BY_TEXT,
        _ORDERS,
        *(_LOGGED.format(kind=kind, column=f"{kind}_id") for kind in ("event", "correlation", "trace")),
    ]
)


class Match(BaseModel):
    """Something that a search found."""

    kind: Kind
    by: Annotated[By, Field(description="Which of its texts was compared")]
    id: str
    title: Annotated[str | None, Field(description="An order's reference, or the type of an event")]
    detail: Annotated[str | None, Field(description="The status of an order, or the category of an item")]
    partner: str | None
    time: Annotated[datetime | None, Field(description="When it was placed, its stock changed, or Kafka stored it")]
    whole: Annotated[bool, Field(description="False if it only begins with what was searched")]
    link: Annotated[str, Field(description="The path of its page in the console")]


class Searched(BaseModel):
    """A kind of thing that was searched."""

    kind: Kind
    by: By
    found: int
    more: Annotated[bool, Field(description="There are more than `limit`: type more of it")]


class Matches(BaseModel):
    """What a search found, whole matches first. Without any, `searched` has what was searched."""

    q: Annotated[str, Field(description="What was searched, without spaces around it")]
    items: list[Match]
    searched: Annotated[
        list[Searched], Field(description="Ids of orders and events are searched only if `q` can begin one")
    ]


async def search(database: Database, text: str, looked_for: Wanted, limit: int) -> Matches:
    """Find the first `limit` of each kind."""
    kinds = [*TEXTS, *(IDS if looked_for.ids else ())]
    found: dict[tuple[str, str], list[Match]] = {each: [] for each in kinds}
    async with database.unit() as unit:
        await unit.sql.execute(PLANNED)
        statement = BY_TEXT_AND_ID if looked_for.ids else BY_TEXT
        for row in await unit.sql.fetch(statement, looked_for.texts, limit + 1, *(looked_for.ids or ())):
            found[row["kind"], row["by"]].append(_match(row, looked_for))
    items = [each for kind in kinds for each in found[kind][:limit]]
    return Matches(
        q=text,
        items=sorted(items, key=lambda each: not each.whole),
        searched=[
            Searched(kind=kind, by=by, found=min(len(found[kind, by]), limit), more=len(found[kind, by]) > limit)
            for kind, by in kinds
        ],
    )


def _match(row: asyncpg.Record, looked_for: Wanted) -> Match:
    compared = row["title"] if row["by"] == "reference" else row["id"]
    return Match(**dict(row), whole=looked_for.whole(compared), link=link(row["kind"], row["id"]))
