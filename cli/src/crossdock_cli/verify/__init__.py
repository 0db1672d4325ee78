"""`crossdock verify`: the one checker of invariants 1 to 7, for tests, chaos runs and the person at the terminal.

It waits until the stack is at rest (nothing to publish, nothing to consume, nothing to release), takes one read-only
snapshot of each database, reads every topic from offset 0, and compares. It changes nothing and leaves no trace.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import asyncpg
from aiokafka.structs import TopicPartition
from asyncpg.exceptions import PostgresError

from crossdock_cli import discovery
from crossdock_cli.errors import CommandError
from crossdock_cli.installation import Installation
from crossdock_cli.verify import delivery, orders, promises, stock
from crossdock_cli.verify.books import Books, Group
from crossdock_cli.verify.log import Log, Place, Reader
from crossdock_cli.verify.report import Check, Findings, Report
from crossdock_cli.waiting import in_thread
from crossdock_events import CATALOGUE

__all__ = ["Check", "Known", "Report", "Source", "Subject", "examine", "verify"]

SETTLE_SECONDS = 30.0
LOOK_SECONDS = 0.1
ORDERS, INVENTORY = "order-service", "inventory-service"


@dataclass(frozen=True, slots=True)
class Known:
    """What only the caller can know.

    `accepted`: orders that clients were told of, by partner and reference, with the id where they were told one.
    `injected`: records that the caller put on the log himself, which therefore no database accounts for.
    `poison`: those of them that cannot be handled; None does not ask.
    """

    accepted: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    injected: Collection[Place] = ()
    poison: Collection[Place] | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A service to check: its database, and what it reads."""

    name: str
    dsn: str
    groups: tuple[Group, ...]
    dead_letter_topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """All that is compared, and the settings that decide what is right."""

    sources: tuple[Source, ...]
    kafka: str
    earmark_after: timedelta

    @classmethod
    def of(cls, there: Installation) -> "Subject":
        sources, settings = [], dict[str, Any]()
        for each in discovery.installed():
            dsn = there.dsn(each.name)
            service = each.build(
                {"CROSSDOCK_POSTGRES": dsn, "CROSSDOCK_KAFKA": there.kafka, "CROSSDOCK_ISSUER": there.issuer_url}
            )
            groups = tuple(Group(s.group, s.kind, s.topics, s.types) for s in service.subscriptions())
            sources.append(Source(each.name, dsn, groups, tuple(service.dead_letter_topics())))
            settings[each.name] = service.settings
        return cls(tuple(sources), there.kafka, settings[INVENTORY].backorder_earmark_after)

    @property
    def topics(self) -> set[str]:
        own = {topic.name for topic in CATALOGUE.topics()}
        return own.union(*(each.dead_letter_topics for each in self.sources))


def verify(there: Installation, known: Known | None = None, *, settle_seconds: float = SETTLE_SECONDS) -> Report:
    """Raises CommandError when PostgreSQL or Kafka does not answer."""
    subject = Subject.of(there)
    return in_thread(lambda: _verify(subject, known or Known(), settle_seconds))


async def _verify(subject: Subject, known: Known, settle_seconds: float) -> Report:
    begun = time.monotonic()
    async with AsyncExitStack() as exits:
        reader = await exits.enter_async_context(Reader(subject.kafka, subject.topics))
        books = [Books(each.name, each.groups, await _connected(each, exits)) for each in subject.sources]
        deadline = begun + settle_seconds
        while True:
            async with AsyncExitStack() as snapshots:
                for each in books:
                    snapshot = each.sql.transaction(isolation="repeatable_read", readonly=True)
                    await snapshots.enter_async_context(snapshot)
                ends, unsettled = await _at_rest(books, reader)
                if not unsettled or time.monotonic() > deadline:
                    log = Log({}) if unsettled else await reader.read(ends)
                    report = await examine(books, log, known, subject.earmark_after, settled=not unsettled)
                    return replace(report, unsettled=tuple(unsettled), seconds=time.monotonic() - begun)
            await asyncio.sleep(LOOK_SECONDS)


async def _connected(source: Source, exits: AsyncExitStack) -> asyncpg.Connection:
    try:
        connection: asyncpg.Connection = await asyncpg.connect(source.dsn, timeout=10)
    except (OSError, TimeoutError, PostgresError) as error:
        raise CommandError(f"The database of {source.name} does not answer: is everything up?") from error
    exits.push_async_callback(connection.close)
    return connection


async def _at_rest(books: list[Books], reader: Reader) -> tuple[dict[TopicPartition, int], list[str]]:
    """Where the log ends, and what still moves. Nothing does when each snapshot has taken the whole log and has nothing
    to add to it, and the log is no longer afterwards than it was before: then no fact is between two databases."""
    ends = await reader.ends()
    moving: list[str] = []
    for each in books:
        await each.look_at_positions()
        moving += [f"{group} is {lag} messages behind on {topic}" for (group, topic), lag in each.behind(ends).items()]
        if depth := await each.unpublished():
            moving.append(f"{depth} events of {each.service} are not on Kafka yet")
        if each.service == INVENTORY and (queued := await each.sql.fetchval("SELECT count(*) FROM release_queue")):
            moving.append(f"{queued} items of {each.service} are to be released to those who wait")
    if not moving and await reader.ends() != ends:
        moving.append("events keep coming")
    return ends, moving


async def examine(
    books: list[Books], log: Log, known: Known, earmark_after: timedelta, *, settled: bool = True
) -> Report:
    """The checks by themselves, on snapshots that are open and a log that was read. Not settled: without the log."""
    found = Findings()
    by_name = {each.service: each for each in books}
    placing, keeping = by_name[ORDERS].sql, by_name[INVENTORY].sql
    placed = await orders.read(placing)
    orders.check_clients(placed, known.accepted, found)
    orders.check_states(placed, found)
    await stock.check_levels(keeping, found)
    await stock.check_reservations(keeping, found)
    if settled:
        for each in books:
            await each.read()
        own = log.without(known.injected)
        stuck = {key for each in books for key in each.stuck}
        held = await promises.read(keeping)
        delivery.check(books, log, own, known.poison, found)
        orders.check_events(placed, own, stuck, found)
        await orders.check_items(placing, own, stuck, found)
        await stock.check_said(keeping, own, found)
        await stock.check_items(keeping, own, found)
        promises.check_agreement(placed, held, stuck, found)
        promises.check_said(held, own, found)
        await promises.check_waiting(keeping, earmark_after, found)
    return Report(found.by_check, orders=len(placed), events=len(log))
