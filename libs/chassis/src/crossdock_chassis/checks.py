"""Invariant checks that a service ships over its own tables. `crossdock verify` collects and runs them.

- `Check` needs the tables alone, so it holds after every commit. It is SQL, or a function if SQL is not enough.
- `CheckAtRest` compares the tables with the log. It runs only when the installation is at rest: everything is
  published and consumed, and no service has unfinished work (`Service.unsettled`). Before that, the tables and the log
  differ because events are on their way.

A check reads the tables of its own service only. It may read any topic: topics are the contract between services.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, Literal, Protocol, TypeAlias

import asyncpg

from crossdock_events import Event

Kind: TypeAlias = Literal["lost", "oversold", "duplicated", "ledger", "other"]


GIVEN_IDS: Final = "(SELECT CASE WHEN pg_input_is_valid(key, 'uuid') THEN key::uuid END FROM unnest($1::text[]) AS key)"
"""SQL: the keys in `$1` that can be ids. Any client of Kafka can write other keys to a topic."""

CHUNK: Final = 1_000
"""How many keys are compared at once."""


class LogEvent(Protocol):
    """One event as the log holds it. `time` is its text, "" if the record is not in binary mode."""

    @property
    def type(self) -> str: ...

    @property
    def id(self) -> str | None: ...

    @property
    def sequence(self) -> int: ...

    @property
    def time(self) -> str: ...

    @property
    def correlation_id(self) -> str | None: ...

    @property
    def causation_id(self) -> str | None: ...

    @property
    def data(self) -> Mapping[str, Any]: ...


class LogRecord(Protocol):
    """One record as the log holds it, readable or not. `headers` has each name once, with its last value."""

    @property
    def topic(self) -> str: ...

    @property
    def partition(self) -> int: ...

    @property
    def offset(self) -> int: ...

    @property
    def milliseconds(self) -> int: ...

    @property
    def key(self) -> bytes | None: ...

    @property
    def value(self) -> bytes: ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class EventLog(Protocol):
    def events(self, of: type[Event]) -> Mapping[str, Sequence[LogEvent]]:
        """Return the events on the topic of this class by key, in log order, each id once. No list is empty.

        The log may be larger than memory, so hold no more of the result than a part."""

    def everything(self) -> Iterator[LogRecord]:
        """Yield every record by topic, partition and offset: also repeats, dead letters, and what is no event."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The service's database in one read-only transaction.

    `accepted` are the orders that clients know to be accepted: partner and reference, with the id if they know it.
    """

    sql: asyncpg.Connection
    accepted: Mapping[tuple[str, str], str | None]


@dataclass(frozen=True, slots=True)
class AtRest(Snapshot):
    """A snapshot which contains the effect of every event on the log.

    `stuck` are keys with an open dead letter in any service. Their later events wait until a person resolves it.
    `whole` is the log with all records, also those that a test has injected, which `log` leaves out.
    """

    log: EventLog
    stuck: Collection[str]
    whole: EventLog

    async def without_row(self, of: type[Event], rows: str) -> AsyncIterator[str]:
        """Yield the keys on the topic of this class that the query does not return. `$1` is a part of them, as text."""
        keys = iter(self.log.events(of))
        while part := list(islice(keys, CHUNK)):
            there = {row[0] for row in await self.sql.fetch(rows, part)}
            for key in part:
                if key not in there:
                    yield key


@dataclass(frozen=True, slots=True)
class Violation:
    """A way to break an invariant. `invariant` is the number in the architecture, `kind` the count it adds to."""

    invariant: int
    kind: Kind
    title: str


@dataclass(frozen=True, slots=True)
class Check(Violation):
    """`find` is SQL whose first column describes one difference a row, or a function that yields the descriptions."""

    find: str | Callable[[Snapshot], AsyncIterator[str]] = field(compare=False)

    async def differences(self, snapshot: Snapshot) -> AsyncIterator[str]:
        if isinstance(self.find, str):
            async for row in snapshot.sql.cursor(self.find, prefetch=CHUNK):
                yield str(row[0])
        else:
            async for difference in self.find(snapshot):
                yield difference


@dataclass(frozen=True, slots=True)
class CheckAtRest(Violation):
    """`find` yields one description for each difference."""

    find: Callable[[AtRest], AsyncIterator[str]] = field(compare=False)

    def differences(self, at_rest: AtRest) -> AsyncIterator[str]:
        return self.find(at_rest)
