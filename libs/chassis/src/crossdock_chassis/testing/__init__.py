"""A pytest plugin for the tests of any service: its own database, its HTTP, its reactions, its invariant checks.

Put `pytest_plugins = ["crossdock_chassis.testing"]` into the root conftest, and add a session fixture
`postgres_admin`: the DSN of an administrator of a real PostgreSQL server.
"""

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple, Protocol, TypeVar
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import httpx
import pytest
from fastapi.routing import APIRoute

from crossdock_chassis.checks import AtRest, LogEvent, LogRecord
from crossdock_chassis.database.unit import Database, Unit
from crossdock_chassis.effects import resolve
from crossdock_chassis.effects.resolve import StoredEffect
from crossdock_chassis.effects.worker import Effects
from crossdock_chassis.housekeeping.gauges import look_at_outbox
from crossdock_chassis.http.application import Api
from crossdock_chassis.http.openapi import listed
from crossdock_chassis.http.request import Caller
from crossdock_chassis.http.tokens import refused
from crossdock_chassis.ids import new_id
from crossdock_chassis.jobs.declare import Queued
from crossdock_chassis.jobs.resolve import StoredJob, find_jobs
from crossdock_chassis.jobs.worker import Jobs
from crossdock_chassis.messaging import catch_up, optimistic
from crossdock_chassis.messaging import clients as kafka_clients
from crossdock_chassis.messaging.aside import Record
from crossdock_chassis.messaging.inbox import Inbox
from crossdock_chassis.problems import MEDIA_TYPE, PREFIX
from crossdock_chassis.service import Service
from crossdock_chassis.settings import Settings
from crossdock_chassis.testing.acting import Acting, find_route
from crossdock_chassis.testing.cpu import assert_linear as assert_linear
from crossdock_chassis.testing.schema import schema_differences as schema_differences
from crossdock_events import Cause, Envelope, Event

S = TypeVar("S", bound=Settings)
T = TypeVar("T")
E = TypeVar("E", bound=Event)

_templates: dict[tuple[str, str], str] = {}
_operations: dict[tuple[Callable[..., Any], str], dict[str, Any]] = {}


class Fresh(Protocol):
    async def __call__(self, build: Callable[[S], Service], settings: type[S], **overrides: Any) -> Service: ...


@pytest.fixture
async def fresh(postgres_admin: str) -> AsyncIterator[Fresh]:
    """`service = await fresh(build, Settings)`: a service with its own migrated database, dropped after the test."""
    made: list[Service] = []

    async def make(build: Callable[[S], Service], settings: type[S], **overrides: Any) -> Service:
        given = {"kafka": "127.0.0.1:1", "issuer": "http://127.0.0.1:1", **overrides}
        name = f"t_{new_id().hex}"
        template = await _template(postgres_admin, build, settings, given)
        async with _admin(postgres_admin) as admin:
            await admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        service = build(settings(postgres=_database_in(postgres_admin, name), **given))
        made.append(service)
        return service

    yield make
    async with _admin(postgres_admin) as admin:
        for service in made:
            await service.database.close()
            await admin.execute(f'DROP DATABASE "{urlsplit(service.settings.postgres).path[1:]}" WITH (FORCE)')


async def _template(admin_dsn: str, build: Callable[[S], Service], settings: type[S], given: dict[str, Any]) -> str:
    """Migrate a database once a session for each service.

    To copy the files of a database and to drop it takes 25 ms of processor time, and 55 ms through the write-ahead log.
    """
    known = admin_dsn, build.__module__
    if known not in _templates:
        name = f"template_{new_id().hex}"
        async with _admin(admin_dsn) as admin:
            await admin.execute(f'CREATE DATABASE "{name}"')
        service = build(settings(postgres=_database_in(admin_dsn, name), **given))
        await service.migrate()
        await service.database.close()
        _templates[known] = name
    return _templates[known]


async def restored(service: Service) -> None:
    """Make the database look as if it had been restored into this cluster from another one, and let it be noticed."""
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE commit_generation SET cluster = 'another/1'")
    await look_at_outbox(service.database)  # as each process does once a second


OPS = ("ops:read", "ops:act")


class Clients(Protocol):
    def __call__(
        self, service: Service, partner: str | None = "acme", scopes: Iterable[str] = (), *, subject: str = ""
    ) -> httpx.AsyncClient: ...


class _Known:
    """Accepts `Bearer partner/subject scope scope …` without a signature. Tests of `http.tokens` use real tokens."""

    def known(self, authorization: bytes) -> Caller | None:
        kind, *words = authorization.decode().split()
        if kind != "Bearer" or not words:
            return None
        partner, _, subject = words[0].partition("/")
        return Caller(partner, frozenset(words[1:]), f"client-of-{partner or subject}", subject)

    async def verify(self, authorization: bytes) -> Caller:
        raise refused("not a token of these tests")


@pytest.fixture
async def clients() -> AsyncIterator[Clients]:
    """`client = clients(service, partner="acme", scopes=("orders:write",))`: HTTP to the service without a socket.

    `clients(service, None, ["ops:read"], subject="ann")` is the client of an operator, whose token has no partner.

    A problem that the OpenAPI of its route does not list fails the test. So does a route on which an operator acts
    without a row in the list of actions.
    """
    opened: list[httpx.AsyncClient] = []
    apps: dict[int, Api] = {}
    seen: dict[int, set[str]] = defaultdict(set)

    def client(
        service: Service, partner: str | None = "acme", scopes: Iterable[str] = (), *, subject: str = ""
    ) -> httpx.AsyncClient:
        app = apps.setdefault(id(service), service.api(_Known()))
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        headers = {"authorization": " ".join(["Bearer", f"{partner or ''}/{subject}", *scopes])}
        made = httpx.AsyncClient(transport=transport, base_url="http://service", headers=headers)

        async def check(response: httpx.Response) -> None:
            await _check_listed(app, response)

        acting = Acting(app, service.database, [*scopes], partner, seen[id(service)])
        made.event_hooks["request"].append(acting.before)
        made.event_hooks["response"] += [check, acting.after]
        opened.append(made)
        return made

    yield client
    for each in opened:
        await each.aclose()


async def _check_listed(app: Api, response: httpx.Response) -> None:
    if response.headers.get("content-type") != MEDIA_TYPE:
        return
    await response.aread()
    request = response.request
    route = find_route(app, request)
    if route is None or not response.content:
        return
    slug = response.json()["type"].removeprefix(PREFIX)
    method = min(route.methods or ()).lower()
    shown = _operations_of(app, route)[method]["responses"]
    described = shown.get(str(response.status_code), {}).get("description", "")
    assert f"`{slug}`:" in described, f"{request.method} {route.path_format} answers {slug} and does not list it"


def _operations_of(app: Api, route: APIRoute) -> dict[str, Any]:
    """Return the operations of the route's path. All tests share them, because an OpenAPI takes half a second."""
    if (route.endpoint, route.path_format) not in _operations:
        paths = app.openapi()["paths"]
        _operations.update({(each.endpoint, each.path_format): paths[each.path_format] for each in app.api_routes()})
    return _operations[route.endpoint, route.path_format]


def unlisted(service: Service) -> list[str]:
    """Return the problems in the tables of the features that no route of the feature lists."""
    found = []
    for feature in service.features:
        routes = [route for router in feature.routers for route in router.routes if isinstance(route, APIRoute)]
        shown = {problem for route in routes for problem in listed(route)}
        found += [problem.type for problem in feature.problems.values() if problem not in shown]
    return found


class Deliver(Protocol):
    async def __call__(self, service: Service, *events: Event | Envelope[Event]) -> list[Event]: ...


@pytest.fixture
def delivered() -> list[Envelope[Event]]:
    """Return the events that `deliver` has delivered in this test."""
    return []


@pytest.fixture
def delivered_records() -> list[Record]:
    """Return the records that `deliver` has delivered in this test."""
    return []


@pytest.fixture
def deliver(delivered: list[Envelope[Event]], delivered_records: list[Record]) -> Iterator[Deliver]:
    """Deliver events to the subscriptions like Kafka, each twice: `published = await deliver(service, *events)`.

    It handles one batch in one transaction per subscription, then the same records again. A log gets them once. It
    returns the events that the service published.
    """
    sequences: dict[tuple[str, str], int] = defaultdict(int)
    offsets: dict[str, int] = defaultdict(int)

    def enveloped(event: Event | Envelope[Event]) -> Envelope[Event]:
        if isinstance(event, Envelope):
            return event
        lane = event.topic.name, event.key
        sequences[lane] += 1
        return envelope_of(event, sequence=sequences[lane])

    def record(envelope: Envelope[Event]) -> Record:
        offsets[envelope.event.topic.name] += 1
        milliseconds = int(envelope.time.timestamp() * 1000)  # as Kafka counts
        return Record(envelope.encode(), 0, offsets[envelope.event.topic.name], milliseconds / 1000)

    async def hand_over(service: Service, *events: Event | Envelope[Event]) -> list[Event]:
        envelopes = [enveloped(event) for event in events]
        delivered.extend(envelopes)
        records = [record(envelope) for envelope in envelopes]
        delivered_records.extend(records)
        published: list[Event] = []
        if service.log is not None:
            async with service.database.unit() as unit:
                await service.log(unit, records, again=False)
        for _ in range(2):
            for subscription in await service.live():
                mine = [each for each in records if each.message.topic in subscription.topics]
                published += [envelope.event for envelope in await _handle(service, Inbox(subscription), mine)]
        return published

    yield hand_over


async def _handle(service: Service, inbox: Inbox, records: Sequence[Record]) -> Sequence[Envelope[Event]]:
    """Handle records as a consumer does: in an optimistic unit if that suits, else in an ordinary one."""
    decoded = inbox.decode(records)
    if optimistic.suits(inbox, decoded):
        said = await optimistic.take(service.database, inbox, decoded, ([], [], [], []))
        if said is not None:
            return said
    async with service.database.unit() as unit:
        await inbox.take(unit, records, careful=False, decoded=decoded)
    return unit.published


def envelope_of(
    event: E, *, sequence: int = 1, source: str | None = None, correlation_id: UUID | None = None
) -> Envelope[E]:
    """Return the envelope in which the owner of an event would send it."""
    unit = Unit(source or event.topic.owner, None, None)  # type: ignore[arg-type]  # nothing is sent
    return unit.publish(event, sequence=sequence, cause=Cause(correlation_id or new_id()))


SCANS = "SELECT relname, seq_scan FROM pg_stat_xact_user_tables WHERE seq_scan > 0 ORDER BY relname"


class _Undone(Exception):
    pass


async def scanned(database: Database, function: str, *arguments: object) -> list[str]:
    """Return the tables that a function reads whole if its statements were planned on empty tables."""
    places = ", ".join(f"${n}" for n in range(1, len(arguments) + 1))
    tables: list[str] = []
    with suppress(_Undone):
        async with database.unit() as unit:
            await unit.sql.execute("SET LOCAL plan_cache_mode = force_generic_plan")
            before = dict(await unit.sql.fetch(SCANS))  # the connection may have scans of earlier transactions
            await unit.sql.execute(f"SELECT {function}({places})", *arguments)
            tables += [name for name, scans in await unit.sql.fetch(SCANS) if scans > before.get(name, 0)]
            raise _Undone
    return tables


async def published(service: Service) -> Sequence[asyncpg.Record]:
    """Return the rows of the outbox, oldest first."""
    async with service.database.unit() as unit:
        rows: Sequence[asyncpg.Record] = await unit.sql.fetch("SELECT * FROM outbox ORDER BY id")
    return rows


async def requested(service: Service) -> Sequence[asyncpg.Record]:
    """Return the effects that units of the service requested, in their order."""
    async with service.database.unit() as unit:
        rows: Sequence[asyncpg.Record] = await unit.sql.fetch("SELECT * FROM effect ORDER BY position")
    return rows


class Perform(Protocol):
    async def __call__(self, service: Service, *, hurry: bool = False) -> list[StoredEffect]: ...


@pytest.fixture
def perform() -> Perform:
    """`(mail,) = await perform(service)`: perform effects like the service's worker, until none is due.

    Return all effects of the service as operators see them. `hurry` makes scheduled retries due now.
    """

    async def run(service: Service, *, hurry: bool = False) -> list[StoredEffect]:
        if hurry:
            async with service.database.unit() as unit:
                await unit.sql.execute("UPDATE effect SET due_at = now() WHERE state = 'pending'")
        await Effects(service.database, service.effects).run_due()
        return await resolve.find(service.database, service.effects, limit=10_000)

    return run


class RunJobs(Protocol):
    async def __call__(self, service: Service) -> list[StoredJob]: ...


@pytest.fixture
def run_jobs() -> RunJobs:
    """`(load,) = await run_jobs(service)`: run work that was asked for like the service's worker, until none is due.

    Return all such jobs as operators see them. Periodic jobs do not run.
    """

    return run_queued


async def run_queued(service: Service) -> list[StoredJob]:
    """Do what the fixture `run_jobs` does, for helpers that are no fixtures."""
    await Jobs(service.database, [job for job in service.jobs if isinstance(job, Queued)]).run_due()
    return [job for job in await find_jobs(service.database, limit=10_000) if job.every_seconds is None]


class Violations(Protocol):
    async def __call__(
        self,
        service: Service,
        *edits: str,
        accepted: Mapping[tuple[str, str], str | None] | None = None,
        stuck: Collection[str] = (),
    ) -> dict[str, list[str]]: ...


@pytest.fixture
def violations(delivered: list[Envelope[Event]], delivered_records: list[Record]) -> Iterator[Violations]:
    """`found = await violations(service)`: run the service's checks; return the differences by the check's title.

    The log has the events that the service has published and that `deliver` has delivered. `edits` are SQL statements
    that first break the tables, without triggers and foreign keys. They are rolled back.
    """

    async def run(
        service: Service,
        *edits: str,
        accepted: Mapping[tuple[str, str], str | None] | None = None,
        stuck: Collection[str] = (),
    ) -> dict[str, list[str]]:
        async with _admin(service.settings.postgres) as sql:
            transaction = sql.transaction()
            await transaction.start()
            events = [*map(_from_outbox, await sql.fetch(OUTBOX)), *map(_from_envelope, delivered)]
            log = _Log(events, delivered_records)
            await sql.execute("SET LOCAL session_replication_role = replica")
            for edit in edits:
                await sql.execute(edit)
            await sql.execute("SET TRANSACTION READ ONLY")
            found: dict[str, list[str]] = {}
            for check in service.invariants:
                at_rest = AtRest(sql, accepted or {}, log, stuck, log)
                if differences := [each async for each in check.differences(at_rest)]:
                    found[check.title] = differences
            await transaction.rollback()
        return found

    yield run


OUTBOX = "SELECT event_id, topic, key, value, headers::text AS headers FROM outbox ORDER BY id"


@pytest.fixture
def log_ends(monkeypatch: pytest.MonkeyPatch) -> dict[int, int]:
    """Stand for Kafka where a service compares its positions with the log: the end of each partition, at first none."""
    ends: dict[int, int] = {}

    async def ends_of(bootstrap: str, topic: str) -> Mapping[int, int]:
        return ends

    monkeypatch.setattr(kafka_clients, "ends_of", ends_of)
    monkeypatch.setattr(catch_up, "PUBLISHED_SECONDS", 0.0)
    monkeypatch.setattr(catch_up, "LOOK_SECONDS", 0.3)
    return ends


class _LogEvent(NamedTuple):
    topic: str
    key: str
    type: str
    id: str
    headers: Mapping[str, str]
    data: Mapping[str, Any]

    @property
    def sequence(self) -> int:
        return int(self.headers["ce_sequence"])

    @property
    def time(self) -> str:
        return self.headers["ce_time"]

    @property
    def correlation_id(self) -> str | None:
        return self.headers.get("ce_correlationid")

    @property
    def causation_id(self) -> str | None:
        return self.headers.get("ce_causationid")


def _from_envelope(envelope: Envelope[Event]) -> _LogEvent:
    event = envelope.event
    data = json.loads(envelope.encode().value)
    return _LogEvent(event.topic.name, event.key, event.ce_type, str(envelope.id), envelope.headers(), data)


def _from_outbox(row: asyncpg.Record) -> _LogEvent:
    headers, data = json.loads(row["headers"]), json.loads(row["value"])
    return _LogEvent(row["topic"], row["key"].decode(), headers["ce_type"], str(row["event_id"]), headers, data)


class _LogRecord(NamedTuple):
    topic: str
    partition: int
    offset: int
    milliseconds: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]


def _from_record(record: Record) -> _LogRecord:
    message = record.message
    headers = tuple(message.headers.items())
    return _LogRecord(message.topic, *record.at, round(record.time * 1000), message.key, message.value, headers)


class _Log:
    """The log of a test, in memory."""

    def __init__(self, events: Iterable[_LogEvent], records: Iterable[Record]) -> None:
        self._events = {event.id: event for event in events}.values()
        self._records = sorted(map(_from_record, records))

    def everything(self) -> Iterator[LogRecord]:
        return iter(self._records)

    def events(self, of: type[Event]) -> Mapping[str, Sequence[LogEvent]]:
        found: dict[str, list[LogEvent]] = defaultdict(list)
        for event in self._events:
            if event.topic == of.topic.name:
                found[event.key].append(event)
        return found


@asynccontextmanager
async def _admin(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


def _database_in(dsn: str, name: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))
