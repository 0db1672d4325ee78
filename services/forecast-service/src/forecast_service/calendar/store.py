"""Read and write the calendar."""

from collections.abc import Sequence
from datetime import date
from typing import Final

import asyncpg

from crossdock_chassis import Unit
from forecast_service.calendar.model import Calendar, OwnDay

COUNTRIES: Final = "SELECT name FROM calendar_countries ORDER BY name"
DAYS: Final = "SELECT day, name, kind FROM calendar_days ORDER BY day"
KEEP_DAY: Final = """
    INSERT INTO calendar_days (day, name, kind) VALUES ($1, $2, $3)
    ON CONFLICT (day) DO UPDATE SET name = excluded.name, kind = excluded.kind
"""


async def read(sql: asyncpg.Connection) -> Calendar:
    countries, days = await sql.fetch(COUNTRIES), await sql.fetch(DAYS)
    return Calendar(
        tuple(row["name"] for row in countries), tuple(OwnDay(row["day"], row["name"], row["kind"]) for row in days)
    )


async def set_countries(unit: Unit, names: Sequence[str]) -> None:
    await unit.sql.execute("DELETE FROM calendar_countries WHERE name <> ALL ($1::text[])", names)
    await unit.sql.execute(
        "INSERT INTO calendar_countries (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING", names
    )


async def set_day(unit: Unit, day: OwnDay) -> None:
    await unit.sql.execute(KEEP_DAY, day.day, day.name, day.kind)


async def remove_day(unit: Unit, day: date) -> None:
    await unit.sql.execute("DELETE FROM calendar_days WHERE day = $1", day)
