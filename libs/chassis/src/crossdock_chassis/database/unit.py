"""The unit of work: one connection, one transaction, one outbox flush. Only this file begins or commits."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar
from uuid import UUID

import asyncpg
from pydantic import BaseModel
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine

from crossdock_chassis.database import effects, outbox
from crossdock_chassis.deadlines import Interrupted, within
from crossdock_chassis.ids import new_id
from crossdock_chassis.observability import metrics
from crossdock_chassis.problems import Problems
from crossdock_events import Cause, Envelope, Event, Message

T = TypeVar("T")
R = TypeVar("R")
E = TypeVar("E", bound=Event)

TRANSACTION_LIMIT_SECONDS = 15
"""PostgreSQL enforces it (`transaction_timeout`). Code that waits for a unit to end waits at least twice as long."""

POOL_SECONDS = 15.0
STATEMENT_SECONDS = TRANSACTION_LIMIT_SECONDS + 5.0
ROLLBACK_SECONDS = 5.0

CONNECTION_LOST = (
    OSError,
    TimeoutError,
    asyncpg.exceptions.InterfaceError,
    asyncpg.exceptions.InternalClientError,  # the server closed the connection between two statements
    asyncpg.PostgresConnectionError,
)
"""The server is away or went away; the statement itself is not at fault."""

SERVER_STOPPING = (
    asyncpg.exceptions.AdminShutdownError,
    asyncpg.exceptions.CrashShutdownError,
    asyncpg.exceptions.CannotConnectNowError,
    asyncpg.exceptions.TooManyConnectionsError,
)


_CONTENTION = (asyncpg.LockNotAvailableError, asyncpg.TransactionRollbackError)

_PASSING = (
    *_CONTENTION,
    asyncpg.TransactionTimeoutError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)


class OutcomeUnknown(Exception):
    """The connection broke during COMMIT. The unit is not retried: the client retries with its idempotency key."""


class NotCommitted(Exception):
    """The server answered COMMIT with a rollback, because the handler continued after a failed statement."""


class Unit:
    """The changes of one transaction. Leaving its block commits; an exception rolls back.

    `sql` and `session` are two views of the same connection and transaction. Use hand-written set statements for many
    orders at once, and the ORM if a person edits one record. Write each table through only one of the two.
    """

    def __init__(
        self, source: str, sql: asyncpg.Connection, connection: AsyncConnection, effect_kinds: Collection[str] = ()
    ) -> None:
        self.sql = sql
        self.now = datetime.now(UTC)
        self.published: list[Envelope[Event]] = []
        self.mirrored: list[outbox.Row] = []
        self.requested: list[effects.Requested] = []
        self.outcomes: list[tuple[str, int, Exception | None]] = []
        self._rows: dict[UUID, outbox.Row] = {}
        self._source = source
        self._effect_kinds = effect_kinds
        self._connection = connection
        self._session: AsyncSession | None = None
        self._savepoints = 0

    @property
    def session(self) -> AsyncSession:
        if self._session is None:
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
        self._rows[id] = outbox.row_of(envelope)
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

    def count(self, verb: str, items: int, error: Exception | None = None) -> None:
        """Count the outcome of `items` in the metrics of `verb` once this unit has committed."""
        self.outcomes.append((verb, items, error))

    async def flush(self) -> None:
        if self._session is not None:
            await self._session.flush()
        if self.requested:
            await effects.append(self.sql, self.requested)
        if self.published or self.mirrored:
            await outbox.append(self.sql, [self._rows[each.id] for each in self.published] + self.mirrored)

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
    """The depth of the outbox at the last measurement. The coalescers of a process shed if it is high."""

    outbox_depth: int = 0
    outbox_limit: int = 50_000

    @property
    def high(self) -> bool:
        return self.outbox_depth > self.outbox_limit


class Database:
    """A service's own database. SQLAlchemy owns the pool; the unit owns the transaction.

    The engine is in AUTOCOMMIT, so SQLAlchemy never begins, commits or rolls back by itself: both views of a
    unit use the one transaction opened below. PostgreSQL 17 or newer (`transaction_timeout`).
    """

    def __init__(self, url: str, *, source: str, pool_size: int = 8) -> None:
        self.source = source
        self.pressure = _Pressure()
        self.effect_kinds: Collection[str] = ()  # set by the service that lists the performers
        self.problems = Problems(passing=is_transient)  # the service replaces this value by its own
        self._url = make_url(url)
        self._engine = create_async_engine(
            self._url.set(drivername="postgresql+asyncpg"),
            isolation_level="AUTOCOMMIT",
            pool_size=pool_size,
            max_overflow=0,
            hide_parameters=True,  # a message with parameters would carry personal data into the log
            pool_timeout=POOL_SECONDS,
            connect_args={
                "timeout": 5,
                "command_timeout": STATEMENT_SECONDS,
                "server_settings": {
                    "application_name": source,
                    "timezone": "UTC",
                    "transaction_timeout": f"{TRANSACTION_LIMIT_SECONDS}s",
                    "jit": "off",  # compilation takes longer than any statement here
                },
            },
        )
        event.listen(self._engine.sync_engine, "checkout", _refuse_closed)

    @property
    def dsn(self) -> str:
        """Return the DSN for connections outside the pool: the relay's lease, migrations."""
        return self._url.set(drivername="postgresql").render_as_string(hide_password=False)

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
                await sql.execute(begin)
                yield connection, sql
            except BaseException:
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
        except DBAPIError as error:  # both views raise the same error if the server is away
            raise ConnectionError(f"{self._url.database} cannot be reached") from error
        except PoolTimeout as error:
            raise TimeoutError(f"no connection to {self._url.database} was free for {POOL_SECONDS:g} s") from error

    @asynccontextmanager
    async def unit(self, *, lock_timeout: float = 5.0) -> AsyncIterator[Unit]:
        """Run the block in a transaction. A statement waits at most `lock_timeout` seconds for a lock."""
        begin = f"BEGIN; SET LOCAL lock_timeout = {int(lock_timeout * 1000)}"
        async with self._transaction(begin) as (connection, sql):
            unit = Unit(self.source, sql, connection, self.effect_kinds)
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
        for counted in unit.outcomes:
            self.count(*counted)

    @asynccontextmanager
    async def trial(self) -> AsyncIterator[Unit]:
        """Run the block in a unit that never commits, for a dry run."""
        async with self._transaction("BEGIN; SET LOCAL lock_timeout = 5000") as (connection, sql):
            unit = Unit(self.source, sql, connection, self.effect_kinds)
            yield unit
            await unit.flush()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Open a read-only session. The server refuses every change."""
        async with self._transaction("BEGIN READ ONLY") as (connection, _), AsyncSession(connection) as session:
            yield session

    async def fetch(self, statement: str, *values: object) -> list[asyncpg.Record]:
        """Return the rows of one statement in a transaction of its own, without the round trips of BEGIN and COMMIT."""
        connection = await self._connect()
        try:
            sql: Any = (await connection.get_raw_connection()).driver_connection
            try:
                rows: list[asyncpg.Record] = await sql.fetch(statement, *values)
            except BaseException as error:
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
        await self._engine.dispose()


@asynccontextmanager
async def schema_change(url: str) -> AsyncIterator[AsyncConnection]:
    """Open a transaction for migrations, without the time limits of a unit."""
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"), connect_args={"server_settings": {"timezone": "UTC"}}
    )
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


def _refuse_closed(adapted: Any, record: object, proxy: object) -> None:
    """Make the pool replace a connection that died while idle, without a ping per checkout."""
    if adapted.driver_connection.is_closed():
        raise DisconnectionError


def is_connection_loss(error: BaseException | None) -> bool:
    """Return whether the server is away or went away."""
    return _because_of(error, (*CONNECTION_LOST, *SERVER_STOPPING))


def is_contention(error: BaseException | None) -> bool:
    """Return whether the cause is a lock timeout, a deadlock or a serialisation failure."""
    return _because_of(error, _CONTENTION)


def is_transient(error: BaseException | None) -> bool:
    """Return whether a retry of the same work is likely to succeed."""
    return is_connection_loss(error) or _because_of(error, (OutcomeUnknown, Interrupted, *_PASSING))


def _because_of(error: BaseException | None, kinds: tuple[type[BaseException], ...]) -> bool:
    while error is not None:
        if isinstance(error, kinds):
            return True
        error = error.__cause__
    return False
