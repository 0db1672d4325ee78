"""A fault of our own stops the group after a few keys. Poison does not, however much of it arrives."""

import json
from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

import pytest
import toy
from aiokafka.structs import TopicPartition
from examples import placed
from hypothesis import given
from hypothesis import strategies as st
from on_kafka import eventually, publish, relay, running
from prometheus_client import REGISTRY
from test_inbox import letters, records

from crossdock_chassis import Service, Unit, Unmatched, on
from crossdock_chassis.messaging.aside import Record
from crossdock_chassis.messaging.breaker import KEYS, WINDOW, Breaker, Failure, SystemFault, own_line
from crossdock_chassis.messaging.clients import discard, partitions_of, start_consumer
from crossdock_chassis.messaging.consumer import Consumer
from crossdock_chassis.messaging.inbox import Inbox
from crossdock_chassis.messaging.positions import REMEMBER
from crossdock_chassis.testing import envelope_of
from crossdock_events import Envelope
from crossdock_events.orders import OrderPlaced
from crossdock_local.servers import Servers

PLACED = OrderPlaced.ce_type
OURS = {__name__.partition(".")[0]}


def failed(error: type[Exception] = ValueError, ce_type: str = PLACED) -> Failure:
    try:
        raise error("no")
    except Exception as raised:
        return Failure(ce_type, raised, OURS)


def test_fingerprint_tells_type_exception_and_line_apart() -> None:
    with pytest.raises(ValueError) as raised:
        int("x")
    elsewhere = Failure(PLACED, raised.value, OURS)
    assert failed().fingerprint == failed().fingerprint
    different = [failed(), failed(KeyError), failed(ce_type="other.v1"), elsewhere]
    assert len({each.fingerprint for each in different}) == len(different)


def test_line_is_the_innermost_one_of_our_packages() -> None:
    try:
        json.loads("{")
    except ValueError as error:
        assert own_line(error.__traceback__, OURS).startswith(f"{__name__}:")
        assert own_line(error.__traceback__, {"json"}).startswith("json.")
        assert own_line(error.__traceback__, {"no_such_package"}) == ""


@given(st.lists(st.integers(1, WINDOW), max_size=40))
def test_poison_among_many_events_never_opens_the_breaker(between: list[int]) -> None:
    """One failure in every five events at most."""
    breaker, failure = Breaker(), failed()
    for good in between:
        breaker.handled([PLACED] * max(4, good))
        assert not breaker.refuses(failure)


def test_breaker_opens_for_one_reason_only_and_closes() -> None:
    breaker, failure, another = Breaker(), failed(), failed(KeyError)
    for _ in range(KEYS - 1):
        assert not breaker.refuses(failure)
        assert not breaker.refuses(another)
    assert breaker.refuses(failure) and breaker.open is failure
    breaker.close({"crossdock.OrderCancelled.v1"})
    assert breaker.open is failure, "events of another type show nothing"
    breaker.close({PLACED})
    assert not breaker.refuses(failure)


def test_events_about_unknown_things_never_open_the_breaker() -> None:
    breaker, failure = Breaker(), failed(Unmatched)
    assert not any(breaker.refuses(failure) for _ in range(10 * WINDOW))


def test_breaker_keeps_to_what_the_group_has_stored() -> None:
    breaker, failure = Breaker(), failed()
    breaker.learn(expected={failure.fingerprint: PLACED}, tolerated=())
    assert breaker.refuses(failure), "another process had stopped for it"
    breaker.release()
    assert breaker.open is None and breaker.refuses(failure)
    breaker.learn(expected={}, tolerated={failure.fingerprint})
    assert breaker.open is None
    assert not any(breaker.refuses(failure) for _ in range(2 * WINDOW))
    breaker.learn(expected={}, tolerated=())
    assert not breaker.refuses(failure), "the tolerated failures do not count"


class Faulty:
    """A reaction that reads a column, which a deployment has forgotten."""

    def __init__(self, service: Service) -> None:
        self.broken = True
        self.service = replace(service, reactions=[on(OrderPlaced, self.react)])
        self.inbox = Inbox(self.service.subscriptions()[0])

    async def react(self, unit: Unit, batch: Sequence[Envelope[OrderPlaced]]) -> None:
        if self.broken:
            await unit.sql.execute("SELECT forgotten FROM mark")
        await unit.sql.execute(toy.MARK, [each.event.reference for each in batch])


async def attempt(faulty: Faulty, batch: Sequence[Record]) -> None:
    async with faulty.service.database.unit() as unit:
        await faulty.inbox.take(unit, batch, careful=True)


async def test_missing_column_sets_few_keys_aside_and_loses_none(service: Service) -> None:
    faulty = Faulty(service)
    log = records(*(envelope_of(placed(f"PO-{n}")) for n in range(60)))
    batches = [log[start : start + 3] for start in range(0, 60, 3)]
    refused = 0
    for batch in batches:
        try:
            await attempt(faulty, batch)
        except SystemFault as fault:
            refused += 1
            assert "forgotten" in str(fault) and f"{__name__}:" in fault.failure.line
    assert refused == len(batches) - (KEYS - 1) // 3
    assert len(await letters(service)) == KEYS - 1 - (KEYS - 1) % 3
    faulty.broken = False
    for batch in batches[(KEYS - 1) // 3 :]:
        await attempt(faulty, batch)
    assert len(await toy.marks(service)) + len(await letters(service)) == 60
    assert faulty.inbox.breaker.open is None


async def _begin_at_the_end(service: Service, group: str) -> None:
    client = await start_consumer(service.settings.broker, None, client_id=group)
    try:
        everything = [TopicPartition(t, p) for t in service.topics() for p in await partitions_of(client, t)]
        ends = await client.end_offsets(everything)
    finally:
        await discard(client)
    async with service.database.unit() as unit:
        columns = [t.topic for t in ends], [t.partition for t in ends], list(ends.values())
        await unit.sql.execute(REMEMBER, group, *columns)


async def test_group_waits_for_the_mend_and_goes_on_by_itself(service: Service, servers: Servers) -> None:
    assert servers.bootstrap is not None
    settings = service.settings.model_copy(update={"kafka": servers.bootstrap})
    faulty = Faulty(replace(service, name=f"toy-{uuid4().hex[:8]}", settings=settings, projections=()))
    servers.topics.ensure(faulty.service.topic_specs())
    group = faulty.service.subscriptions()[0].group
    await _begin_at_the_end(faulty.service, group)  # other tests have stopped partitions with records of theirs
    run = uuid4().hex[:8]
    events = [(placed(f"{run}-{n}"), 1) for n in range(3 * KEYS)]
    await publish(faulty.service, *events)
    consumer = Consumer(service.database, settings.broker, faulty.service.subscriptions()[0])

    async def stopped() -> bool:
        return bool(REGISTRY.get_sample_value("crossdock_consumer_breaker_open", {"group": group}))

    async def handled() -> bool:
        marked = sum(name.startswith(run) for name in await toy.marks(service))
        async with service.database.unit() as unit:
            keys = [event.key.encode() for event, _ in events]
            aside = await unit.sql.fetchval("SELECT count(*) FROM dead_letter WHERE key = ANY($1)", keys)
        return bool(marked + aside == len(events))

    async with running(relay(faulty.service), consumer):
        await eventually(stopped)
        assert len(await letters(service)) < KEYS
        faulty.broken = False
        await eventually(handled)
        assert not await stopped()
    assert len(await letters(service)) < KEYS
