"""Read and write queues and agents, and find what is to be assigned."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from crm_service.clocks.model import Calendar, openings_of
from crm_service.queues.model import Agent, Waiting
from crossdock_chassis import Unit

QUEUES: Final = "SELECT name, kind, category, skill FROM queues ORDER BY name"
KEEP_QUEUE: Final = """
    INSERT INTO queues (name, kind, category, skill) VALUES ($1, $2, $3, $4)
    ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, category = excluded.category, skill = excluded.skill
"""
AGENTS: Final = """
    SELECT who, skills, capacity, present, calendar,
           (SELECT count(*) FROM cases
            WHERE assignee = who AND status IN ('new', 'open', 'waiting', 'reopened')) AS load
    FROM agents ORDER BY who
"""
KEEP_AGENT: Final = """
    INSERT INTO agents (who, skills, capacity, present, calendar) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (who) DO UPDATE SET skills = excluded.skills, capacity = excluded.capacity, present = excluded.present,
        calendar = excluded.calendar
"""
LEFT: Final = """
    SELECT id FROM cases
    WHERE assignee = ANY ($1::text[]) AND queue <> '' AND status IN ('new', 'open', 'waiting', 'reopened')
    ORDER BY id LIMIT $2
"""
WAITING: Final = """
    SELECT oldest.id, skill FROM queues CROSS JOIN LATERAL (
        SELECT id FROM cases
        WHERE queue = name AND assignee IS NULL AND queue <> '' AND status IN ('new', 'open', 'waiting', 'reopened')
        ORDER BY id LIMIT $2
    ) AS oldest
    WHERE skill = '' OR skill = ANY ($1::text[]) ORDER BY oldest.id LIMIT $2
"""


class Queue(NamedTuple):
    """Cases of a kind and category, each empty for any, and the skill that they need."""

    name: str
    kind: str
    category: str
    skill: str


class StoredAgent(NamedTuple):
    """`calendar` has the shifts; without one the agent is always on shift."""

    who: str
    skills: list[str]
    capacity: int
    present: bool
    calendar: str | None
    load: int = 0

    def at(self, now: datetime, calendars: Mapping[str, Calendar]) -> Agent:
        shift = None if self.calendar is None else openings_of(calendars[self.calendar], now.year)
        available = self.present and (shift is None or shift.is_open(now))
        return Agent(self.who, frozenset(self.skills), self.capacity, self.load, available)


async def queues(sql: asyncpg.Connection) -> list[Queue]:
    return [Queue(*row) for row in await sql.fetch(QUEUES)]


async def agents(sql: asyncpg.Connection) -> list[StoredAgent]:
    return [StoredAgent(*row) for row in await sql.fetch(AGENTS)]


async def keep_queue(unit: Unit, queue: Queue) -> None:
    await unit.sql.execute(KEEP_QUEUE, *queue)


async def keep_agent(unit: Unit, agent: StoredAgent) -> None:
    await unit.sql.execute(KEEP_AGENT, *agent[:-1])


async def forget_queue(unit: Unit, name: str) -> bool:
    """Delete a queue. Return whether there was one. Its cases stay with the people who have them."""
    return bool(await unit.sql.fetchval("DELETE FROM queues WHERE name = $1 RETURNING true", name))


async def left(unit: Unit, who: set[str], limit: int) -> list[UUID]:
    """Return active cases of queues that these agents have."""
    return [row["id"] for row in await unit.sql.fetch(LEFT, sorted(who), limit)]


async def waiting(unit: Unit, skills: set[str], limit: int) -> list[Waiting]:
    """Return the oldest cases of queues that nobody works on, and whose skill is among these."""
    return [Waiting(row["id"], row["skill"]) for row in await unit.sql.fetch(WAITING, sorted(skills), limit)]
