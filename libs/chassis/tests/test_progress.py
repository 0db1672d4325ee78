"""How far a consumer is: stored seldom, only what has changed, and never at the cost of its work."""

from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest
from aiokafka.structs import TopicPartition

from crossdock_chassis import Database, Service
from crossdock_chassis.messaging.progress import ALIVE_SECONDS, STORE_SECONDS, Progress, Seen

ONE, TWO = TopicPartition("t", 1), TopicPartition("t", 2)


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Counted:
    """A database that counts the statements."""

    database: Database
    statements: list[tuple[Any, ...]] = field(default_factory=list)

    async def fetch(self, *arguments: Any) -> list[asyncpg.Record]:
        self.statements.append(arguments)
        return await self.database.fetch(*arguments)


@dataclass
class Member:
    service: Service
    clock: Clock
    counted: Counted
    progress: Progress

    async def look(self, seconds: int, **seen: Seen) -> int:
        """Look once a second, as a consumer does. Return the number of statements."""
        before = len(self.counted.statements)
        for _ in range(seconds):
            await self.progress.store({TopicPartition("t", int(name[1:])): each for name, each in seen.items()})
            self.clock.now += 1
        return len(self.counted.statements) - before

    async def rows(self) -> dict[int, Any]:
        async with self.service.database.unit() as unit:
            rows = await unit.sql.fetch("SELECT * FROM consumer_progress ORDER BY partition")
        return {row["partition"]: row for row in rows}


@pytest.fixture
def member(service: Service) -> Member:
    clock, counted = Clock(), Counted(service.database)
    return Member(service, clock, counted, Progress(counted, "g", clock))  # type: ignore[arg-type]


async def test_progress_has_end_and_rates_of_the_last_seconds(member: Member) -> None:
    await member.look(5, p1=Seen(100, 150, 1e9))
    (row,) = (await member.rows()).values()
    assert (row["log_end"], row["rate"], row["inflow"], row["handled_to"].timestamp()) == (150, None, None, 1e9)
    await member.look(1, p1=Seen(200, 160, None))
    row = (await member.rows())[1]
    assert (row["log_end"], row["rate"], row["inflow"]) == (160, 20.0, 2.0)
    assert row["handled_to"].timestamp() == 1e9, "unknown after a restart, and stored before"


async def test_changes_are_stored_in_one_statement_every_few_seconds(member: Member) -> None:
    count = 0
    for n in range(60):
        count += await member.look(1, p1=Seen(n, n, None), p2=Seen(2 * n, 2 * n, None))
    assert count == 60 / STORE_SECONDS


async def test_unchanged_partition_is_left_out(member: Member) -> None:
    for position in (1, 1, 2):
        await member.look(5, p1=Seen(position, position, None), p2=Seen(1, 1, None))
    _, group, topics, partitions, *_ = member.counted.statements[-1]
    assert (group, topics, partitions) == ("g", ["t"], [1])


async def test_idle_member_stores_rate_zero_then_a_row_a_minute(member: Member) -> None:
    await member.look(5, p1=Seen(1, 1, None))
    await member.look(5, p1=Seen(9, 9, None))
    assert await member.look(5, p1=Seen(9, 9, None)) == 1
    assert (await member.rows())[1]["rate"] == 0
    assert await member.look(int(10 * ALIVE_SECONDS), p1=Seen(9, 9, None)) == 10


async def test_partition_that_comes_back_has_no_rate_at_first(member: Member) -> None:
    await member.look(5, p1=Seen(1, 1, None))
    await member.look(5)
    await member.look(5, p1=Seen(5_000, 5_000, None))
    assert (await member.rows())[1]["rate"] is None


async def test_database_that_is_away_does_not_end_the_consumer(unused_tcp_port: int, service: Service) -> None:
    away = Database(f"postgresql://nobody@127.0.0.1:{unused_tcp_port}/none", source="tests")
    clock = Clock()
    progress = Progress(away, "g", clock)
    await progress.store({ONE: Seen(1, 1, None)})
    clock.now += STORE_SECONDS
    progress._database = service.database
    await progress.store({ONE: Seen(1, 1, None)})
    async with service.database.unit() as unit:
        assert await unit.sql.fetchval("SELECT count(*) FROM consumer_progress") == 1
    await away.close()
