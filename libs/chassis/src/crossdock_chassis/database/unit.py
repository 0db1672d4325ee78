"""The unit of work: one connection, one transaction, one outbox flush. Only this file begins or commits."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import asyncpg
from pydantic import BaseModel
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from crossdock_chassis.database import effects, outbox
from crossdock_chassis.database.connect import open_engine, reason_of
from crossdock_chassis.database.errors import OVERTAKEN, Moved, NotCommitted, OutcomeUnknown, Overtaken, is_transient
from crossdock_chassis.database.unwritable import Changes
from crossdock_chassis.deadlines import within
from crossdock_chassis.ids import new_id
from crossdock_chassis.observability import metrics
from crossdock_chassis.observability.logging import message_of
from crossdock_chassis.problems import Problems
from crossdock_events import SCHEMA_URN, Cause, Envelope, Event, Message

T = TypeVar("T")
R = TypeVar("R")
E = TypeVar("E", bound=Event)

TRANSACTION_LIMIT_SECONDS = 15
"""PostgreSQL enforces it (`transaction_timeout`). Code that waits for a unit to end waits at least twice as long."""

POOL_SECONDS = 15.0
BARE_CONNECTIONS = 4
"""Connections for optimistic units: the writers of a coalescer, batches of orders, and consumers."""
MANY = 100
"""Elements of an array from which its statements are planned anew."""
STATEMENT_SECONDS = TRANSACTION_LIMIT_SECONDS + 5.0
ROLLBACK_SECONDS = 5.0


class Unit:
    """The changes of one transaction. Leaving its block commits; an exception rolls back.

    `sql` and `session` are two views of the same connection and transaction. Use hand-written set statements for many
    orders at once, and the ORM if a person edits one record. Write each table through only one of the two.

    An `optimistic` unit takes two round trips. It reads without a transaction and without locks, and adds its writes
    with `call`. At its end, one statement makes all calls and commits. Each function compares what was read with what
    is stored then, under locks, and raises an error if it differs.
    """

    def __init__(
        self,
        source: str,
        sql: asyncpg.Connection,
        connection: AsyncConnection | None,
        effect_kinds: Collection[str] = (),
        *,
        schemas: str = SCHEMA_URN,
        optimistic: bool = False,
    ) -> None:
        self.sql, self.optimistic = sql, optimistic
        self.now = datetime.now(UTC)
        self.published: list[Envelope[Event]] = []
        self.mirrored: list[outbox.Row] = []
        self.requested: list[effects.Requested] = []
        self.outcomes: list[tuple[str, int, Exception | None]] = []
        self.notifies = False  # a statement of this unit has notified
        self._rows: dict[UUID, outbox.Row] = {}
        self._source, self._schemas = source, schemas
        self._effect_kinds = effect_kinds
        self._connection = connection
        self._calls: list[tuple[str, Sequence[object]]] = []
        self._session: AsyncSession | None = None
        self._savepoints = 0

    @property
    def session(self) -> AsyncSession:
        if self._session is None:
            if self._connection is None:
                raise Moved("the ORM needs an ordinary unit")
            self._session = AsyncSession(self._connection, expire_on_commit=False)
        return self._session

    def publish(self, event: E, *, sequence: int, cause: Cause | None) -> Envelope[E]:
        """Append to the outbox. One statement writes all events when the unit ends.

        `sequence` is the aggregate's version after the event. `cause` is the event or request that caused it, None for
        a job. The event is encoded here, so that an event which cannot be sent fails alone and names this line. Raise
        MessageTooLarge, ValueError.
        """
        id = new_id()
        envelope = Envelope(event, id, self._source, self.now, sequence, cause or Cause(id))
        self._rows[id] = outbox.row_of(envelope, self._schemas)
        self.published.append(envelope)
        return envelope

    def effect(
        self, kind: str, *, target: str, payload: Mapping[str, object] | BaseModel, key: str | None = None
    ) -> UUID:
        """Request that the worker acts on the world after the commit, at least once. Return the effect's id.

        `target` is a system that fails or recovers as a whole: an endpoint, a mail server. Effects with the same kind,
        target and `key` are performed one after another. Their order is that of their units, if each unit has locked
        the row that the key stands for. Raise NoPerformer, EffectTooLarge, ValueError.
        """
        if kind not in self._effect_kinds:
            raise effects.NoPerformer(f"{self._source} has no performer of {kind!r} in Service(effects=[…])")
        requested = effects.request(kind, target, key, payload)
        self.requested.append(requested)
        return requested.id

    def withdraw(self, ids: Collection[UUID]) -> None:
        """Take back published events by their ids, before the unit ends."""
        self.published = [envelope for envelope in self.published if envelope.id not in ids]

    def mirror(self, message: Message) -> None:
        """Append a raw message to the outbox, for a dead-letter topic."""
        self.mirrored.append(outbox.row_of_message(message))

    def call(self, function: str, *arguments: object) -> None:
        """Call a function of the database at the end of an optimistic unit. Calls are made in their order."""
        self._calls.append((function, arguments))

    async def run(self, function: str, *arguments: object) -> Any:
        """Call a function of the database at once, and return its value."""
        places = ", ".join(f"${n}" for n in range(2, len(arguments) + 2))
        statement = f"SELECT set_config('plan_cache_mode', $1, true), {function}({places})"
        return await self.sql.fetchval(statement, _planning(arguments), *arguments, column=1)

    def count(self, verb: str, items: int, error: Exception | None = None) -> None:
        """Count the outcome of `items` in the metrics of `verb` once this unit has committed."""
        self.outcomes.append((verb, items, error))

    async def finish(self, lock_timeout: float) -> None:
        """Make the calls of an optimistic unit, and commit. Raise Moved, OutcomeUnknown."""
        if self.requested or self.mirrored:
            raise Moved("effects and raw messages need an ordinary unit")
        if self.published:
            self.call(outbox.FUNCTION, *outbox.columns([self._rows[each.id] for each in self.published]))
        arguments = [argument for _, given in self._calls for argument in given]
        calls = tuple((name, len(given)) for name, given in self._calls)
        try:
            await self.sql.fetchrow(_statement(calls), _planning(arguments), f"{int(lock_timeout * 1000)}", *arguments)
        except asyncpg.exceptions.PostgresError as error:
            if getattr(error, "sqlstate", None) == OVERTAKEN:
                raise Overtaken(message_of(error)) from error
            # The server has rolled back, or the driver could not encode an argument and sent nothing.
            if getattr(error, "severity_en", None) == "ERROR" or isinstance(error, asyncpg.exceptions.DataError):
                raise Moved(f"{type(error).__name__}: {message_of(error)}") from error
            raise OutcomeUnknown from error
        except Exception as error:
            raise OutcomeUnknown from error

    async def flush(self) -> None:
        if self._session is not None:
            await self._session.flush()
        if self.requested:
            await effects.append(self.sql, self.requested)
        if self.published or self.mirrored:
            rows = [self._rows[each.id] for each in self.published] + self.mirrored
            await self.run(outbox.FUNCTION, *outbox.columns(rows))
        elif self.notifies:  # for the reason given at `outbox.FUNCTION`
            await self.sql.execute("SET LOCAL lock_timeout = 0")

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Run the block so that it can fail alone. A failure also removes the events and effects of the block.

        The block fails here for all reasons that would otherwise fail the commit: deferred constraints and triggers,
        and a statement whose error the block has swallowed. The inner savepoint restores the mode of the constraints.
        """
        self._savepoints += 1
        name = f"s{self._savepoints}"
        published, mirrored = len(self.published), len(self.mirrored)
        requested, counted = len(self.requested), len(self.outcomes)
        await self.sql.execute(f"SAVEPOINT {name}")
        try:
            yield
            if self._session is not None:
                await self._session.flush()
            await self.sql.execute(
                f"SAVEPOINT checked; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK TO checked; RELEASE SAVEPOINT {name}"
            )
        except BaseException:
            if not self.sql.is_closed():
                await self.sql.execute(f"ROLLBACK TO SAVEPOINT {name}")
            if self._session is not None:
                self._session.expunge_all()
            del self.published[published:], self.mirrored[mirrored:]
            del self.requested[requested:], self.outcomes[counted:]
            raise


@cache
def _statement(calls: Sequence[tuple[str, int]]) -> str:
    """Return a statement that calls functions in their order. Planning and lock timeout are its first parameters."""
    parts, used = ["set_config('plan_cache_mode', $1, true)", "set_config('lock_timeout', $2, true)"], 2
    for name, count in calls:
        parts.append(f"{name}({', '.join(f'${used + n}' for n in range(1, count + 1))})")
        used += count
    return f"SELECT {', '.join(parts)}"


def _planning(arguments: Sequence[object]) -> str:
    """Return how the statements of functions with these arguments are planned.

    A plan for any arguments expects ten elements in an array, and takes quadratic time for many. A plan for these
    arguments knows their number, but takes a millisecond to make.
    """
    many = any(isinstance(each, (list, tuple)) and len(each) > MANY for each in arguments)
    return "force_custom_plan" if many else "auto"


Handler: TypeAlias = Callable[[Unit, Sequence[T]], Awaitable[Sequence[R | Exception]]]
"""Every change of state has this form: a batch in, one result for each item in the same order.

The result of a refused item is its exception, and the other items still commit. Raising fails the whole batch.
"""


def each(one: Callable[[Unit, T], Awaitable[R]]) -> Handler[T, R]:
    """Return a handler that calls a function for each item. Use it for rare commands."""

    async def handler(unit: Unit, batch: Sequence[T]) -> Sequence[R | Exception]:
        return [await one(unit, item) for item in batch]

    return handler


@dataclass(slots=True)
class _Pressure:
    """The depth of the outbox at the last measurement. The coalescers of a process shed if it is high.

    `published` is set when a unit of this process has added to the outbox since the last measurement.
    """

    outbox_depth: int = 0
    outbox_limit: int = 50_000
    published: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def high(self) -> bool:
        return self.outbox_depth > self.outbox_limit


class Database:
    """A service's own database. SQLAlchemy owns the pool; the unit owns the transaction.

    The engine is in AUTOCOMMIT, so SQLAlchemy never begins, commits or rolls back by itself: both views of a
    unit use the one transaction opened below. PostgreSQL 17 or newer (`transaction_timeout`).
    """

    def __init__(self, url: str, *, source: str, pool_size: int = 8, direct: str | None = None) -> None:
        """Connect to `url`. If a pooler in transaction mode answers there, `direct` is the DSN without it."""
        self.source = source
        self.pressure = _Pressure()
        self.effect_kinds: Collection[str] = ()  # set by the service that lists the performers
        self.schemas = SCHEMA_URN  # the beginning of `ce_dataschema`, set by the service
        self.problems = Problems(passing=is_transient)  # the service replaces this value by its own
        self.name, self._pooled = make_url(url).database, direct not in (None, url)
        self.changes = Changes(self.name)
        self.dsn = direct or url  # for connections outside the pool: the relay's lease, notifications, migrations
        limits = {
            "transaction_timeout": f"{TRANSACTION_LIMIT_SECONDS}s",
            "jit": "off",  # compilation takes longer than any statement here
        }
        # A pooler refuses most parameters of a connection, so each transaction sets them.
        self._begun = "".join(f"; SET LOCAL {name} = '{value}'" for name, value in limits.items() if self._pooled)
        settings: dict[str, Any] = {
            "timeout": 5,
            "command_timeout": STATEMENT_SECONDS,
            "server_settings": {"application_name": source, "timezone": "UTC"} | ({} if self._pooled else limits),
        } | ({"statement_cache_size": 0} if self._pooled else {})
        self._bare: asyncpg.Pool | None = None
        self._bare_settings, self._opening = settings, asyncio.Lock()
        self._engine = open_engine(
            url,
            settings,
            pooled=self._pooled,
            isolation_level="AUTOCOMMIT",
            pool_size=pool_size,
            max_overflow=0,
            hide_parameters=True,  # a message with parameters would carry personal data into the log
            pool_timeout=POOL_SECONDS,
        )

    @asynccontextmanager
    async def _transaction(self, begin: str) -> AsyncIterator[tuple[AsyncConnection, asyncpg.Connection]]:
        """Run the block in a transaction, which is rolled back unless the block commits.

        A connection goes back to the pool only if its transaction has certainly ended. Otherwise it is dropped: a BEGIN
        that timed out here may still run on the server.
        """
        connection = await self._connect()
        try:
            sql: Any = (await connection.get_raw_connection()).driver_connection
            try:
                await sql.execute(begin + self._begun)
                yield connection, sql
            except BaseException as error:
                self.changes.failed(error)
                await _roll_back(connection, sql)
                raise
            if sql.is_closed() or sql.is_in_transaction():
                await _roll_back(connection, sql)
        finally:
            await asyncio.shield(connection.close())

    async def _connect(self) -> AsyncConnection:
        """Take a connection from the pool. Raise ConnectionError or TimeoutError, which are transient."""
        try:
            return await self._engine.connect()
        except (DBAPIError, OSError) as error:  # both views raise the same error if the server is away
            raise ConnectionError(f"the database {self.name} cannot be reached: {reason_of(error)}") from error
        except PoolTimeout as error:
            raise TimeoutError(f"no connection to {self.name} was free for {POOL_SECONDS:g} s") from error

    @asynccontextmanager
    async def unit(self, *, lock_timeout: float = 5.0) -> AsyncIterator[Unit]:
        """Run the block in a transaction. A statement waits at most `lock_timeout` seconds for a lock."""
        begin = f"BEGIN; SET LOCAL lock_timeout = {int(lock_timeout * 1000)}"
        async with self._transaction(begin) as (connection, sql):
            unit = Unit(self.source, sql, connection, self.effect_kinds, schemas=self.schemas)
            yield unit
            await unit.flush()
            try:
                outcome = await sql.execute("COMMIT")
            except BaseException as error:
                await _drop(connection, sql)
                if isinstance(error, Exception) and not isinstance(error, asyncpg.IntegrityConstraintViolationError):
                    raise OutcomeUnknown from error
                raise
            if outcome != "COMMIT":
                raise NotCommitted(outcome)
        self._committed(unit)

    @asynccontextmanager
    async def optimistic(self, *, lock_timeout: float = 5.0) -> AsyncIterator[Unit]:
        """Run the block in an optimistic unit. Raise Moved if an ordinary unit must do the work: nothing was done.

        A pooler has no such units, because their reads are not in a transaction.
        """
        if self._pooled:
            raise Moved("a pooler may change the connection between two statements")
        pool = self._bare or await self._open_bare()
        async with pool.acquire() as sql:
            unit = Unit(self.source, sql, None, self.effect_kinds, schemas=self.schemas, optimistic=True)
            try:
                yield unit
                await unit.finish(lock_timeout)
            except (OutcomeUnknown, asyncio.CancelledError):
                with suppress(asyncpg.exceptions.InterfaceError):  # it is closed, and no longer the pool's
                    sql.terminate()
                raise
            except Exception as error:
                self.changes.failed(error)
                raise
        self._committed(unit)

    def _committed(self, unit: Unit) -> None:
        if unit.published or unit.mirrored:
            self.pressure.published.set()
        for counted in unit.outcomes:
            self.count(*counted)

    async def _open_bare(self) -> asyncpg.Pool:
        """Return the pool of the hot path. Taking a connection from SQLAlchemy's costs as much as three round trips."""
        async with self._opening:
            if self._bare is None:
                self._bare = await asyncpg.create_pool(
                    self.dsn,
                    min_size=0,
                    max_size=BARE_CONNECTIONS,
                    max_queries=1 << 31,
                    reset=_keep,
                    **self._bare_settings,
                )
        return self._bare

    @asynccontextmanager
    async def trial(self) -> AsyncIterator[Unit]:
        """Run the block in a unit that never commits, for a dry run."""
        async with self._transaction("BEGIN; SET LOCAL lock_timeout = 5000") as (connection, sql):
            unit = Unit(self.source, sql, connection, self.effect_kinds, schemas=self.schemas)
            yield unit
            await unit.flush()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Open a read-only session. The server refuses every change."""
        async with self._transaction("BEGIN READ ONLY") as (connection, _), AsyncSession(connection) as session:
            yield session

    async def fetch(self, statement: str, *values: object) -> list[asyncpg.Record]:
        """Return the rows of one statement in a transaction of its own, without the round trips of BEGIN and COMMIT."""
        if self._pooled:  # it may change the connection between preparing a statement and its execution
            async with self._transaction("BEGIN") as (_, within_transaction):
                found: list[asyncpg.Record] = await within_transaction.fetch(statement, *values)
                await within_transaction.execute("COMMIT")
                return found
        connection = await self._connect()
        try:
            sql: Any = (await connection.get_raw_connection()).driver_connection
            try:
                rows: list[asyncpg.Record] = await sql.fetch(statement, *values)
            except BaseException as error:
                self.changes.failed(error)
                if not isinstance(error, asyncpg.exceptions.PostgresError):
                    await _drop(connection, sql)
                raise
            return rows
        finally:
            await asyncio.shield(connection.close())

    async def run(self, handler: Callable[[Unit, T], Awaitable[R]], item: T) -> R:
        """Handle one item in its own unit."""
        async with self.unit() as unit:
            return await handler(unit, item)

    def count(self, verb: str, items: int, error: Exception | None = None) -> None:
        """Count `items` of `verb` by outcome: ok, or the type of the problem that `error` is."""
        metrics.verb_outcomes(verb, "ok" if error is None else self.problems.of(error).type).inc(items)

    async def close(self) -> None:
        if self._bare is not None:
            self._bare.terminate()
            self._bare = None
        await self._engine.dispose()


@asynccontextmanager
async def schema_change(url: str) -> AsyncIterator[AsyncConnection]:
    """Open a transaction for migrations, without the time limits of a unit."""
    engine = open_engine(url, {"server_settings": {"timezone": "UTC"}})
    try:
        async with engine.begin() as connection:
            yield connection
    finally:
        await engine.dispose()


async def _roll_back(connection: AsyncConnection, sql: asyncpg.Connection) -> None:
    """Roll back without raising, so that the first error is kept. Remove the connection from the pool if this fails.

    A rollback after a statement that timed out waits until the server has seen its cancellation, which asyncpg does not
    limit. So the deadline is outside, and it also holds if this task is cancelled again.
    """
    rolled_back = False
    try:
        with suppress(Exception):
            await within(ROLLBACK_SECONDS, sql.execute("ROLLBACK"))
            rolled_back = True
    finally:
        if not rolled_back:
            await _drop(connection, sql)


async def _drop(connection: AsyncConnection, sql: asyncpg.Connection) -> None:
    """Close the connection at once and remove it from the pool."""
    sql.terminate()
    await asyncio.shield(connection.invalidate())


async def _keep(connection: asyncpg.Connection) -> None:
    """Leave a connection as it is between two units, because nothing of an optimistic unit outlives its statement."""
