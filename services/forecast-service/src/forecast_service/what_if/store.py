"""The statements on what-ifs: ask, claim under a lease, answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid5

import asyncpg
from pydantic_core import from_json, to_json

from crossdock_chassis import Database, Unit, columns
from forecast_service.places import series_id
from forecast_service.runs import store as runs
from forecast_service.what_if.model import Question

SPACE: Final = UUID("5f0c6b1e-58d0-5c38-8f6e-0d3c2f9f7a40")
LEASE_SECONDS: Final = 60.0
FRESH_SECONDS: Final = 60.0
"""The same question gets the same answer for so long, so that a client may send it again after a time-out."""
MAX_ATTEMPTS: Final = 2
PEERS: Final = 8
"""Other series that are forecast with it, so that it borrows their effects and errors. More would take too long."""

KNOWN: Final = "SELECT item_id FROM demand_items WHERE item_id = ANY ($1::text[])"

REGISTER: Final = """
    INSERT INTO series (id, item_id, location_id, region)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS new (id, item_id, location_id, region)
    ORDER BY id
    ON CONFLICT (id) DO NOTHING
"""

ASK: Final = """
    INSERT INTO what_ifs (id, question, asked_at) VALUES ($1, $2::jsonb, $3)
    ON CONFLICT (id) DO UPDATE SET asked_at = excluded.asked_at, attempts = 0, leased_until = NULL, answer = NULL
    WHERE what_ifs.asked_at < excluded.asked_at - make_interval(secs => $4)
"""

CLAIM: Final = """
    UPDATE what_ifs AS old SET leased_until = now() + make_interval(secs => $1), attempts = attempts + 1
    FROM (
        SELECT id FROM what_ifs
        WHERE answer IS NULL AND attempts < $2 AND (leased_until IS NULL OR leased_until < now())
              AND asked_at > now() - make_interval(secs => $3)
        ORDER BY asked_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
    ) AS next
    WHERE old.id = next.id
    RETURNING old.id, old.question::text AS question
"""

HAND_BACK: Final = "UPDATE what_ifs SET leased_until = NULL, attempts = attempts - 1 WHERE id = $1 AND answer IS NULL"
ANSWER: Final = "UPDATE what_ifs SET answer = $2::jsonb, leased_until = NULL WHERE id = $1"
LOOK: Final = "SELECT answer::text AS answer FROM what_ifs WHERE id = $1 AND answer IS NOT NULL"

# The series that were forecast with it when its last forecast was published.
COMPANY: Final = """
    SELECT run_chunks.series FROM series JOIN run_chunks ON run_chunks.run_id = series.published_run
    WHERE series.id = $1 AND series.id = ANY (run_chunks.series) LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Asked:
    id: UUID
    question: Question


async def unknown(sql: asyncpg.Connection, items: Sequence[str]) -> list[str]:
    """Return those of the items that are not registered."""
    known = {row["item_id"] for row in await sql.fetch(KNOWN, items)}
    return [each for each in items if each not in known]


async def ask(unit: Unit, question: Question) -> UUID:
    """Store a question and wake the runners. The same question within a minute is the same row."""
    series = [(question.item_id, question.location_id, question.region)]
    if question.like is not None:
        series.append((question.like.item_id, "", ""))
    await unit.sql.execute(REGISTER, *columns([(series_id(*each), *each) for each in series]))
    document = to_json(question.document()).decode()
    id = uuid5(SPACE, document)
    await unit.sql.execute(ASK, id, document, unit.now, FRESH_SECONDS)
    await runs.wake(unit)
    return id


async def claim(database: Database) -> Asked | None:
    for row in await database.fetch(CLAIM, LEASE_SECONDS, MAX_ATTEMPTS, FRESH_SECONDS):
        return Asked(row["id"], Question.of(from_json(row["question"])))
    return None


async def hand_back(database: Database, asked: Asked) -> None:
    await database.fetch(HAND_BACK, asked.id)


async def answer(database: Database, asked: Asked, document: Mapping[str, Any]) -> None:
    await database.fetch(ANSWER, asked.id, to_json(document).decode())


async def look(database: Database, id: UUID) -> dict[str, Any] | None:
    """Return the answer, None while there is none."""
    for row in await database.fetch(LOOK, id):
        found: dict[str, Any] = from_json(row["answer"])
        return found
    return None


async def peers(sql: asyncpg.Connection, series: UUID) -> list[UUID]:
    """Return some of the series that were forecast with this one, evenly over their order."""
    company = [each for each in await sql.fetchval(COMPANY, series) or () if each != series]
    step = max(1, len(company) // PEERS)
    return company[::step][:PEERS]
