"""What models and planners add: the errors of naive, of the model, and of what was published."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Final, Literal, TypeAlias

import asyncpg
from pydantic import BaseModel, Field

from forecast_service.accuracy.pairs import PAIRS
from forecast_service.demand.censored import out_of_stock
from forecast_service.demand.history import fetch_over_all_days

By: TypeAlias = Literal["total", "category", "item"]

SUMS: Final = f"""
    SELECT sums.*, demand_items.category
    FROM (
        SELECT item_id, count(*) AS count, count(*) FILTER (WHERE overridden) AS overridden,
               sum(actual)::float8 AS actual, sum(abs(naive - actual))::float8 AS naive,
               sum(abs(mean - actual))::float8 AS model, sum(abs(published - actual))::float8 AS published
        FROM ({PAIRS}) AS pairs
        WHERE NOT EXISTS (
            SELECT FROM unnest($8::text[], $9::date[]) AS out (item_id, day)
            WHERE out.item_id = pairs.item_id AND out.day = pairs.day
        )
        GROUP BY item_id
    ) AS sums
    LEFT JOIN demand_items USING (item_id)
    WHERE $7::text IS NULL OR demand_items.category = $7
"""

CURRENCY: Final = """
    SELECT currency FROM demand_prices WHERE item_id = ANY ($1::text[])
    GROUP BY currency ORDER BY sum(quantity) DESC, currency LIMIT 1
"""

# A price of a day that has both is that of orders, as in the drivers.
PRICES: Final = """
    SELECT item_id, price FROM unnest($1::text[]) AS items (item_id)
    CROSS JOIN LATERAL (
        SELECT * FROM (
            (SELECT day, 0 AS by_orders, price::float8 FROM imported_demand AS old
             WHERE old.item_id = items.item_id AND price > 0 ORDER BY day DESC LIMIT 1)
            UNION ALL
            (SELECT day, 1, (amount / quantity)::float8 FROM demand_prices AS paid
             WHERE paid.item_id = items.item_id AND currency = $2 AND amount > 0 AND quantity > 0
             ORDER BY day DESC LIMIT 1)
        ) AS known ORDER BY day DESC, by_orders DESC LIMIT 1
    ) AS last
"""


class Errors(BaseModel):
    """Sums of absolute errors. `model_added` is naive - model, and `planner_added` is model - published.

    Above zero, it was better than without.
    """

    naive: float
    model: float
    published: float
    model_added: float
    planner_added: float


class Added(BaseModel):
    """An item, a category, or all. `category` is null for items without one."""

    item_id: str | None
    category: str | None
    days: Annotated[int, Field(description="Days of series that had a forecast, and stock")]
    overridden: Annotated[int, Field(description="Of them, days whose forecast had an override")]
    actual: Annotated[float, Field(description="What was asked for, in base units")]
    units: Annotated[Errors, Field(description="In base units")]
    money: Annotated[
        Errors | None,
        Field(description="At the last price of each item: of orders in `currency`, or imported; null without any"),
    ]
    without_price: Annotated[int, Field(description="Items that are not in `money`")]


class ValueAdded(BaseModel):
    since: date
    until: date
    lag: Annotated[int, Field(description="Each day was forecast at least so many days ahead")]
    currency: Annotated[
        str | None, Field(description="That of most units of orders for these items; null if no order had a price")
    ]
    total: Added
    groups: Annotated[
        list[Added], Field(description="Those whose published error differs most from the naive one come first")
    ]


@dataclass(frozen=True, slots=True)
class Question:
    """Which forecasts are compared, and by what they are grouped."""

    since: date
    until: date
    lag: int
    by: By
    item_id: str | None = None
    category: str | None = None
    location_id: str = ""
    region: str = ""


async def value_added(sql: asyncpg.Connection, asked: Question, limit: int, zone: str) -> ValueAdded:
    """Return the value added of all forecasts that fit, and of at most `limit` groups of them.

    `zone` is that of their days. A day on which an item was out of stock does not count.
    """
    place = asked.location_id, asked.region
    censored = await out_of_stock(sql, asked.since, asked.until, asked.item_id, *place, zone)
    left_out = [item for item, _ in censored], [day for _, day in censored]
    sums = await fetch_over_all_days(
        sql, SUMS, asked.since, asked.until, asked.lag, asked.item_id, *place, asked.category, *left_out
    )
    items = [row["item_id"] for row in sums]
    currency = await sql.fetchval(CURRENCY, items)
    prices = {row["item_id"]: row["price"] for row in await sql.fetch(PRICES, items, currency)}
    rows = [{**row, "price": prices.get(row["item_id"])} for row in sums]
    groups: dict[str | None, list[Any]] = defaultdict(list)
    for row in rows if asked.by != "total" else ():
        groups[row["item_id"] if asked.by == "item" else row["category"]].append(row)
    added = [
        _added(of_group, name if asked.by == "item" else None, of_group[0]["category"])
        for name, of_group in groups.items()
    ]
    added.sort(key=lambda each: (-abs(each.units.naive - each.units.published), each.item_id or each.category or ""))
    return ValueAdded(
        since=asked.since,
        until=asked.until,
        lag=asked.lag,
        currency=currency,
        total=_added(rows, asked.item_id, asked.category),
        groups=added[:limit],
    )


def _added(rows: Sequence[Any], item_id: str | None, category: str | None) -> Added:
    priced = [row for row in rows if row["price"] is not None]
    return Added(
        item_id=item_id,
        category=category,
        days=sum(row["count"] for row in rows),
        overridden=sum(row["overridden"] for row in rows),
        actual=sum(row["actual"] for row in rows),
        units=_errors([(row, 1.0) for row in rows]),
        money=_errors([(row, row["price"]) for row in priced]) if priced else None,
        without_price=len(rows) - len(priced),
    )


def _errors(rows: Sequence[tuple[Any, float]]) -> Errors:
    naive, model, published = (
        sum(row[name] * factor for row, factor in rows) for name in ("naive", "model", "published")
    )
    return Errors(
        naive=naive, model=model, published=published, model_added=naive - model, planner_added=model - published
    )
