"""Read and write planned drivers, and read the drivers of series as each origin knew them."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime
from itertools import groupby
from typing import Any, Final
from uuid import UUID

import asyncpg

from crossdock_chassis import Unit, columns
from forecast_service.drivers.model import MOST_NAMES, Driver, elsewhere, first_origin, known_by
from forecast_service.fitting.series import PRICE, Plan

PROMOTION: Final = "promotion"

# Without $12, a plan equal to the newest one for its days is not inserted.
INSERT: Final = """
    INSERT INTO planned_drivers (id, name, item_id, category, location_id, first_day, last_day, value, elsewhere,
                                 known_from, planned_by)
    SELECT new.*, $11 FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::date[], $7::date[],
                                  $8::float8[], $9::text[], $10::timestamptz[])
         AS new (id, name, item_id, category, location_id, first_day, last_day, value, elsewhere, known_from)
    WHERE $12 OR NOT EXISTS (
        SELECT FROM (
            SELECT value, elsewhere FROM planned_drivers AS old
            WHERE old.item_id = new.item_id AND old.category = new.category AND old.name = new.name
                  AND old.first_day = new.first_day AND old.location_id = new.location_id
                  AND old.last_day IS NOT DISTINCT FROM new.last_day AND old.withdrawn_at IS NULL
                  AND old.known_from <= new.known_from
            ORDER BY old.known_from DESC, old.id DESC LIMIT 1
        ) AS newest WHERE newest.value = new.value AND newest.elsewhere = new.elsewhere
    )
    RETURNING id
"""

LOCK: Final = "SELECT withdrawn_at FROM planned_drivers WHERE id = $1 FOR UPDATE"
WITHDRAW: Final = "UPDATE planned_drivers SET withdrawn_at = $2 WHERE id = $1"

# One step of the index for each name: DISTINCT would read all rows.
NAMES: Final = """
    WITH RECURSIVE names AS (
        (SELECT name FROM planned_drivers WHERE withdrawn_at IS NULL ORDER BY name LIMIT 1)
        UNION ALL
        SELECT (SELECT name FROM planned_drivers AS next
                WHERE next.withdrawn_at IS NULL AND next.name > names.name ORDER BY next.name LIMIT 1)
        FROM names WHERE names.name IS NOT NULL
    )
    SELECT name FROM names WHERE name IS NOT NULL
"""

# Plans of an item come after those of its category, and those of all items first. The newest comes last.
PLANNED: Final = """
    SELECT series.id AS series_id, plan.name, plan.first_day, plan.last_day, plan.value, plan.elsewhere,
           plan.known_from, plan.withdrawn_at
    FROM series LEFT JOIN demand_items USING (item_id)
         JOIN planned_drivers AS plan
         ON plan.item_id IN (series.item_id, '') AND plan.category IN (demand_items.category, '')
            AND plan.location_id IN (series.location_id, '')
    WHERE series.id = ANY ($1::uuid[]) AND plan.item_id = ANY ($2::text[]) AND plan.known_from <= $3
          AND uuid_extract_timestamp(plan.id) <= $5
          AND plan.first_day <= $4
    ORDER BY series.id, plan.item_id <> '', plan.category <> '', plan.location_id <> '', plan.known_from, plan.id
"""

ITEMS: Final = "SELECT DISTINCT item_id FROM series WHERE id = ANY ($1::uuid[])"

# Each statement reads one large table once, because PostgreSQL has no statistics of tables that were just imported. A
# second pass in one statement took minutes, as a nested loop.
TOLD: Final = """
    SELECT DISTINCT item_id FROM imported_demand
    WHERE item_id = ANY ($1::text[]) AND day < $2 AND (price IS NOT NULL OR promotion)
"""

IMPORTED: Final = """
    SELECT series.id AS series_id, part.day, sum(part.quantity) = 0 AS empty, avg(part.price)::float8 AS price,
           coalesce(avg(part.promotion::int), 0)::float8 AS promotion
    FROM series JOIN imported_demand AS part USING (item_id)
    WHERE series.id = ANY ($1::uuid[]) AND part.item_id = ANY ($2::text[]) AND part.day < $3
          AND ((series.location_id, series.region) = ('', '')
               OR (series.location_id, series.region) = (part.location_id, part.region))
    GROUP BY series.id, part.day
    ORDER BY series.id, part.day
"""

PAID: Final = """
    SELECT series.id AS series_id, prices.day, prices.currency, prices.quantity,
           round(prices.amount / prices.quantity, 6)::float8 AS price
    FROM series JOIN demand_prices AS prices USING (item_id)
    WHERE series.id = ANY ($1::uuid[]) AND prices.item_id = ANY ($2::text[]) AND prices.day < $3
    ORDER BY series.id
"""


async def insert(unit: Unit, rows: Sequence[tuple[UUID, Driver]], by: str, *, always: bool = False) -> int:
    """Insert plans, all or those that change something. Return how many."""
    values = [
        (
            *(id, each.name, each.item_id, each.category, each.location_id, each.first_day, each.last_day, each.value),
            *(elsewhere(each), each.known_from or unit.now),
        )
        for id, each in rows
    ]
    return len(await unit.sql.fetch(INSERT, *columns(values), by, always))


async def beyond(sql: asyncpg.Connection, names: Iterable[str]) -> set[str]:
    """Return the names that would be more than MOST_NAMES together with those that have plans."""
    known = {row["name"] for row in await sql.fetch(NAMES)}
    new = sorted(set(names) - known)
    return set(new[max(0, MOST_NAMES - len(known)) :])


async def plans(
    sql: asyncpg.Connection, series: Sequence[UUID], origin: date, last: date, at: datetime, closed: Collection[date]
) -> Mapping[str, Sequence[Plan]]:
    """Return the plans of each series until `last`, those that take precedence last.

    Plans that were stored after `at`, when a run was requested, do not count: a run that is resumed has the same ones.
    Earlier origins know what was planned before their day.
    """
    known = known_by(origin, at)
    items = [row["item_id"] for row in await sql.fetch(ITEMS, series)]
    found: dict[str, list[Plan]] = defaultdict(list)
    told = [row["item_id"] for row in await sql.fetch(TOLD, items, origin)]
    imported = _by_series(await sql.fetch(IMPORTED, series, told, origin) if told else ())
    paid = _by_series(await sql.fetch(PAID, series, items, origin))
    for id in imported.keys() | paid.keys():
        days = imported.get(id, [])
        prices = {row["day"]: row["price"] for row in days if row["price"]}
        found[id] += [*_carried_forward(prices | _in_main_currency(paid.get(id, []))), *_promoted(days, closed)]
    for row in await sql.fetch(PLANNED, series, [*items, ""], known, last, at):
        withdrawn = row["withdrawn_at"]
        found[str(row["series_id"])].append(
            Plan(
                row["name"],
                row["first_day"].toordinal(),
                None if row["last_day"] is None else row["last_day"].toordinal(),
                row["value"],
                min(first_origin(row["known_from"]), origin.toordinal()),
                None if withdrawn is None else _ended(withdrawn, known, origin),
                row["elsewhere"],
            )
        )
    return found


def _ended(withdrawn: datetime, known: datetime, origin: date) -> int:
    """Return the first origin that does not see a plan any more. The origin of the run sees the state at `known`."""
    ended = first_origin(withdrawn)
    return min(ended, origin.toordinal()) if withdrawn <= known else max(ended, origin.toordinal() + 1)


def _by_series(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    return {str(id): list(of_series) for id, of_series in groupby(rows, key=lambda row: row["series_id"])}


def _in_main_currency(rows: Sequence[Mapping[str, Any]]) -> dict[date, float]:
    """Return the prices in the currency of most units. Those in others cannot be compared."""
    units = Counter[str]()
    for row in rows:
        units[row["currency"]] += row["quantity"]
    main = max(sorted(units), key=lambda currency: units[currency], default=None)
    return {row["day"]: row["price"] for row in rows if row["currency"] == main}


def _carried_forward(prices: Mapping[date, float]) -> list[Plan]:
    """Return the prices of a series, each from the day after it was seen on.

    Its own day may have a price only because something was sold, so that the price would give away the sale.
    """
    found: list[Plan] = []
    for each in sorted(prices):
        day, price = each.toordinal() + 1, prices[each]
        if not found or found[-1].value != price:
            found.append(Plan(PRICE, day, None, price, known=day, elsewhere="unknown"))
    return found


def _promoted(days: Sequence[Mapping[str, Any]], closed: Collection[date]) -> list[Plan]:
    """Return the promotions of the imported days of a series. They were planned before their day.

    Without rows for days without sales, a promotion would give away that something was sold: then there is none.
    """
    if not days or not (any(row["empty"] for row in days) or _whole([row["day"] for row in days], closed)):
        return []
    found: list[Plan] = []
    promoted = [(row["day"].toordinal(), row["promotion"]) for row in days if row["promotion"]]
    for _, run in groupby(enumerate(promoted), key=lambda each: (each[1][0] - each[0], each[1][1])):
        of_run = [each for _, each in run]
        found.append(Plan(PROMOTION, of_run[0][0], of_run[-1][0], of_run[0][1]))
    return found


def _whole(days: Sequence[date], closed: Collection[date]) -> bool:
    """Return whether each day from the first to the last one is there, or closed."""
    between = sum(days[0] < day < days[-1] and day not in days for day in closed)
    return len(days) + between > (days[-1] - days[0]).days
