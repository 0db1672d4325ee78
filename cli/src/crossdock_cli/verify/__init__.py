"""`crossdock verify`: check invariants 1 to 7. Tests, chaos runs and operators use the same checker.

It waits until the installation is at rest: nothing to publish, nothing to consume, and no service has unfinished work.
Then it takes one read-only snapshot of each database, reads every topic from offset 0, and runs three kinds of checks:
the delivery of every service's events, each service's own `checks`, and the agreement of topics with each other. It
writes nothing and commits no offsets.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

import asyncpg
from aiokafka.structs import TopicPartition
from asyncpg.exceptions import DataError, PostgresError

from crossdock_chassis import AtRest, Check, CheckAtRest, Snapshot, Violation
from crossdock_cli import discovery
from crossdock_cli.errors import CommandError
from crossdock_cli.installation import Installation
from crossdock_cli.verify import agreement, delivery
from crossdock_cli.verify.books import Books, Group, Source
from crossdock_cli.verify.log import Log, Place
from crossdock_cli.verify.reader import Reader
from crossdock_cli.verify.report import Findings, Report
from crossdock_cli.waiting import in_thread
from crossdock_events import CATALOGUE

__all__ = ["Known", "Report", "Source", "Subject", "Violation", "examine", "verify"]

SETTLE_SECONDS = 30.0
LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Known:
    """Facts that only the caller can know.

    `accepted`: orders whose acceptance a client received, by partner and reference, with the id if it was received.
    `injected`: records that the caller wrote to Kafka directly, so that no database explains them.
    `poison`: injected records that cannot be handled. None skips this check.
    """

    accepted: Mapping[tuple[str, str], str | None] = field(default_factory=dict)
    injected: Collection[Place] = ()
    poison: Collection[Place] | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """The databases and the Kafka cluster to compare."""

    sources: tuple[Source, ...]
    kafka: str

    @classmethod
    def of(cls, there: Installation) -> "Subject":
        return cls(_with_all_topics([_source(each, there) for each in discovery.installed()]), there.kafka)

    @property
    def topics(self) -> set[str]:
        own = {topic.name for topic in CATALOGUE.topics()}
        return own.union(*(each.dead_letter_topics for each in self.sources))


def _with_all_topics(sources: Sequence[Source]) -> tuple[Source, ...]:
    """Add the dead-letter topics of all services to the topics of logs, which keep them too."""
    mirrors = frozenset(topic for each in sources for topic in each.dead_letter_topics)
    return tuple(
        replace(
            each,
            groups=tuple(
                replace(group, topics=group.topics | mirrors) if group.kind == "log" else group for group in each.groups
            ),
        )
        for each in sources
    )


def _source(installed: discovery.Installed, there: Installation) -> Source:
    dsn = there.dsn(installed.name)
    environment = {"CROSSDOCK_POSTGRES": dsn, "CROSSDOCK_KAFKA": there.kafka, "CROSSDOCK_ISSUER": there.issuer_url}
    service = installed.build(environment)
    return Source(
        installed.name,
        dsn,
        tuple(Group(each.group, each.kind, each.topics, each.types) for each in service.subscriptions()),
        tuple(service.dead_letter_topics()),
        tuple(service.invariants),
        tuple(service.unsettled),
    )


def verify(there: Installation, known: Known | None = None, *, settle_seconds: float = SETTLE_SECONDS) -> Report:
    """Check the installation. Raise CommandError if PostgreSQL or Kafka does not answer."""
    subject = Subject.of(there)
    return in_thread(lambda: _verify(subject, known or Known(), settle_seconds))


async def _verify(subject: Subject, known: Known, settle_seconds: float) -> Report:
    deadline = time.monotonic() + settle_seconds
    async with AsyncExitStack() as exits:
        reader = await exits.enter_async_context(Reader(subject.kafka, subject.topics))
        books = [Books(each, await _connected(each, exits)) for each in subject.sources]
        while True:
            async with AsyncExitStack() as snapshots:
                for each in books:
                    snapshot = each.sql.transaction(isolation="repeatable_read", readonly=True)
                    await snapshots.enter_async_context(snapshot)
                ends, unsettled = await _at_rest(books, reader)
                if not unsettled or time.monotonic() > deadline:
                    report = await examine(books, None if unsettled else await reader.read(ends), known)
                    return replace(report, unsettled=tuple(unsettled))
            await asyncio.sleep(LOOK_SECONDS)


async def _connected(source: Source, exits: AsyncExitStack) -> asyncpg.Connection:
    try:
        connection: asyncpg.Connection = await asyncpg.connect(source.dsn, timeout=10)
    except (OSError, TimeoutError, PostgresError) as error:
        raise CommandError(f"The database of {source.name} does not answer: is everything up?") from error
    exits.push_async_callback(connection.close)
    return connection


async def _at_rest(books: list[Books], reader: Reader) -> tuple[dict[TopicPartition, int], list[str]]:
    """Return the end of each partition, and the reasons why the installation is not at rest.

    At rest, each snapshot has consumed the whole log and has nothing to publish, and the log has not grown meanwhile.
    Otherwise a fact could be in one database and not yet in another one.
    """
    ends = await reader.ends()
    moving: list[str] = []
    for each in books:
        await each.look_at_positions()
        moving += [f"{group} is {lag} messages behind on {topic}" for (group, topic), lag in each.behind(ends).items()]
        if depth := await each.unpublished():
            moving.append(f"{depth} events of {each.service} are not on Kafka yet")
        moving += await each.unsettled()
    if not moving and await reader.ends() != ends:
        moving.append("events are still being published")
    return ends, moving


async def examine(books: list[Books], log: Log | None, known: Known) -> Report:
    """Run the checks on open snapshots and on the log. No log means not at rest: skip the checks that need it."""
    found = Findings()
    for each in books:
        snapshot = Snapshot(each.sql, known.accepted)
        for check in each.source.checks:
            if isinstance(check, Check):
                await _run(check, check.differences(snapshot), each.sql, found)
    if log is not None:
        await _examine_at_rest(books, log, known, found)
    return Report(found.by_check)


async def _examine_at_rest(books: list[Books], log: Log, known: Known, found: Findings) -> None:
    for each in books:
        await each.read()
    own = log.without(known.injected)
    stuck = {key for each in books for key in each.stuck}
    await delivery.check(books, log, own, known.poison, found)
    agreement.check(own, stuck, found)
    for each in books:
        at_rest = AtRest(each.sql, known.accepted, own, stuck, log)
        for check in each.source.checks:
            if isinstance(check, CheckAtRest):
                await _run(check, check.differences(at_rest), each.sql, found)


async def _run(check: Violation, differences: AsyncIterator[str], sql: asyncpg.Connection, found: Findings) -> None:
    """Add the differences. If a row or a record has a form that the check cannot read, that is a difference too."""
    try:
        async with sql.transaction():  # a savepoint, so that an error of SQL does not end the snapshot
            async for difference in differences:
                found.add(check, difference)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, DataError) as error:
        found.add(check, f"the check ended at a value that it cannot read: {type(error).__name__}: {error}")
