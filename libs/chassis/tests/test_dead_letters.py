"""Redrive, discard, resend: through the HTTP that a person uses."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import asyncpg
import httpx
import pytest
import toy
from examples import cancelled, placed
from on_kafka import eventually
from test_blocked_keys import isolate, locked
from test_inbox import letters, records, take

from crossdock_chassis import Service
from crossdock_chassis.messaging.aside import Record
from crossdock_chassis.messaging.dead_letters import BEHIND, EARLIER, find_statement
from crossdock_chassis.testing import OPS, Clients, Fresh, envelope_of, published
from crossdock_events import Message
from crossdock_events.orders import OrderPlaced


@pytest.fixture
async def poisoned(service: Service) -> tuple[Service, OrderPlaced]:
    """One poison event with two parked behind it."""
    poison = placed("poison-1")
    batch = records(
        envelope_of(poison),
        envelope_of(cancelled(poison), sequence=2),
        envelope_of(placed("poison-1b", poison.order_id)),
    )
    await take(service, batch, careful=True)
    return service, poison


def ops(clients: Clients, service: Service) -> httpx.AsyncClient:
    return clients(service, None, OPS, subject="ops")


async def mended(service: Service, fresh: Fresh) -> Service:
    """The same database under a build in which the bug is gone."""
    assert isinstance(service.settings, toy.Settings)
    again = toy.build(service.settings.model_copy(update={"poison": "nothing is poison"}))
    return replace(again, database=service.database)


async def test_a_dead_letter_shows_its_reason_and_its_bytes(
    poisoned: tuple[Service, OrderPlaced], clients: Clients
) -> None:
    service, poison = poisoned
    page = (await ops(clients, service).get("/v1/dead-letters?state=poison&limit=1")).json()
    (letter,) = page["items"]
    assert letter["parked_behind"] == 2 and letter["reason"] == "Poisonous: poison-1"
    assert json.loads(letter["value"])["order_id"] == str(poison.order_id)
    assert (await clients(service, "acme", ["orders:read"]).get("/v1/dead-letters")).status_code == 403


MANY = """
    INSERT INTO dead_letter
        (consumer_group, topic, partition, "offset", key, value, headers, reason, state, fingerprint)
    SELECT 'toy-service', 't', 0, n, n::text::bytea, '', '{}', 'r',
           CASE n % 1000 WHEN 0 THEN 'poison' WHEN 1 THEN 'discarded' ELSE 'parked' END,
           CASE n % 1000 WHEN 0 THEN 'abcdefabcdef' ELSE '000000000000' END
    FROM generate_series(1, 20000) AS n
"""


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({"state": "poison"}, "dead_letter_by_state"),
        ({"state": "discarded"}, "dead_letter_by_state"),
        ({"fingerprint": "abcdefabcdef"}, "dead_letter_by_fingerprint"),
    ],
)
async def test_list_finds_few_among_many_by_an_index(
    service: Service, clients: Clients, filters: dict[str, Any], index: str
) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute(MANY)
        await unit.sql.execute("ANALYZE dead_letter")
        statement, arguments = find_statement(**{"state": None, "fingerprint": None, "after": 7, "limit": 9} | filters)
        plan = "\n".join(row[0] for row in await unit.sql.fetch(f"EXPLAIN {statement}", *arguments))
    assert f"using {index} on dead_letter" in plan and "Seq Scan" not in plan, plan
    client = ops(clients, service)
    first = (await client.get("/v1/dead-letters", params={**filters, "limit": 15})).json()
    rest = (await client.get("/v1/dead-letters", params={**filters, "limit": 15, "cursor": first["next"]})).json()
    found = first["items"] + rest["items"]
    assert [each["id"] for each in found] == sorted(each["id"] for each in found) and rest["next"] is None
    assert len(found) == 20 and {each[name] == value for each in found for name, value in filters.items()} == {True}


async def test_open_letters_of_a_key_are_found_by_the_index(service: Service, clients: Clients) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute(MANY)
        await unit.sql.execute("ANALYZE dead_letter")
        statement, arguments = find_statement(state=None, fingerprint=None, after=None, limit=9, key=b"1000")
        plan = "\n".join(row[0] for row in await unit.sql.fetch(f"EXPLAIN {statement}", *arguments))
    assert "using dead_letter_open on dead_letter" in plan and "Seq Scan" not in plan, plan
    client = ops(clients, service)
    for key, found in (("1000", ["poison"]), ("1001", []), ("7", ["parked"])):
        page = (await client.get("/v1/dead-letters", params={"key": key})).json()
        assert [each["state"] for each in page["items"]] == found, "1001 is resolved"
    for garbage in ("", "\0", "x" * 251):
        assert (await client.get("/v1/dead-letters", params={"key": garbage})).status_code in (400, 422)


async def test_first_events_of_a_key_are_read_in_order_by_the_index(service: Service) -> None:
    """A chunk of a key with 20,000 parked events reads its own events only."""
    async with service.database.unit() as unit:
        await unit.sql.execute(MANY.replace("n::text::bytea", "'k'").replace("'discarded'", "'parked'"))
        await unit.sql.execute("ANALYZE dead_letter")
        for statement in (BEHIND.format(limit=11), EARLIER):
            rows = await unit.sql.fetch(f"EXPLAIN {statement}", "toy-service", "t", b"k", 0, 1)
            plan = "\n".join(row[0] for row in rows)
            assert "using dead_letter_open on dead_letter" in plan and "Sort" not in plan, plan
            assert "ROW(partition" in plan.partition("Filter")[0], plan


async def test_redrive_after_a_fix_applies_the_parked_events_too(
    poisoned: tuple[Service, OrderPlaced], clients: Clients, fresh: Fresh
) -> None:
    service, poison = poisoned
    client = ops(clients, await mended(service, fresh))
    dry = (await client.post("/v1/dead-letters/1:redrive?dry_run=true", json={"reason": "try"})).json()
    assert dry["applied"] == 3 and await toy.marks(service) == {} and len(await letters(service)) == 3
    done = await client.post("/v1/dead-letters/1:redrive", json={"reason": "bug 12 is fixed"})
    assert done.json() == {**dry, "dry_run": False}
    assert await toy.marks(service) == {"poison-1": 1, "cancelled poison-1": 1, "poison-1b": 1}
    assert [state for _, state in await letters(service)] == ["redriven"] * 3
    await take(service, [r for r in records(envelope_of(placed("PO-9", poison.order_id), sequence=4))])
    assert (await toy.marks(service))["PO-9"] == 1  # the key is free again
    assert (await client.post("/v1/dead-letters/1:redrive", json={"reason": "again"})).status_code == 409


async def test_redriven_without_a_fix_nothing_changes(poisoned: tuple[Service, OrderPlaced], clients: Clients) -> None:
    service, _ = poisoned
    before = len(await published(service))
    answer = await ops(clients, service).post("/v1/dead-letters/1:redrive", json={"reason": "hope"})
    assert answer.status_code == 409 and answer.json()["type"].endswith("still-poison")
    assert [state for _, state in await letters(service)] == ["poison", "parked", "parked"]
    assert len(await published(service)) == before


async def test_discarded_the_next_failure_takes_its_place(
    poisoned: tuple[Service, OrderPlaced], clients: Clients
) -> None:
    service, _ = poisoned
    done = (await ops(clients, service).post("/v1/dead-letters/1:discard", json={"reason": "a test order"})).json()
    assert (done["applied"], done["left"]) == (1, 1) and done["failure"].startswith("Poisonous")
    assert await toy.marks(service) == {"cancelled poison-1": 1}
    assert [state for _, state in await letters(service)] == ["discarded", "redriven", "poison"]


async def test_resent_with_mended_data(poisoned: tuple[Service, OrderPlaced], clients: Clients) -> None:
    service, poison = poisoned
    value = poison.model_copy(update={"reference": "PO-mended"}).model_dump_json()
    done = await ops(clients, service).post("/v1/dead-letters/1:resend", json={"reason": "typo", "value": value})
    assert done.status_code == 200 and (await toy.marks(service))["PO-mended"] == 1
    broken = await ops(clients, service).post("/v1/dead-letters/3:resend", json={"reason": "typo", "value": "{"})
    assert broken.status_code == 409 and "still-poison" in broken.text


async def test_resent_with_a_mistyped_type_is_still_poison(
    poisoned: tuple[Service, OrderPlaced], clients: Clients
) -> None:
    service, poison = poisoned
    for ce_type in ("crossdock.OrderPlacd.v1", "crossdock.StockReleased.v1"):
        body = {"reason": "typo", "value": poison.model_dump_json(), "headers": {"ce_type": ce_type}}
        refused = await ops(clients, service).post("/v1/dead-letters/1:resend", json=body)
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:crossdock:problem:still-poison")
    assert (1, "redriven") not in await letters(service)


@pytest.mark.parametrize("path", ["/v1/dead-letters/99", "/v1/dead-letters/99:redrive"])
async def test_no_such_dead_letter(service: Service, clients: Clients, path: str) -> None:
    client = ops(clients, service)
    answer = await (client.post(path, json={"reason": "r"}) if ":" in path else client.get(path))
    assert answer.status_code == 404
    assert (await client.get("/v1/dead-letters")).json() == {"items": [], "next": None}
    assert (await client.post("/v1/dead-letters/1:redrive", json={})).status_code == 422


async def test_parked_events_are_applied_in_offset_order(service: Service, clients: Clients, fresh: Fresh) -> None:
    """The table has the rows in another order."""
    poison = placed("poison-0")
    orders = [poison, *(placed(f"PO-{n}", poison.order_id) for n in range(1, 4))]
    first, *parked = records(*(envelope_of(order) for order in orders))
    for record in (first, *reversed(parked)):
        await take(service, [record], careful=True)
    done = await ops(clients, await mended(service, fresh)).post("/v1/dead-letters/1:redrive", json={"reason": "fixed"})
    assert done.json()["applied"] == 4
    values = [json.loads(row["value"]) for row in await published(service) if not row["topic"].endswith(".dlq")]
    assert [value["reference"] for value in values] == [order.reference for order in orders]


WAITING = """
    SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


@pytest.mark.parametrize("key", [b"k", None])
async def test_letter_that_two_people_discard_at_once_counts_once(
    service: Service, clients: Clients, key: bytes | None
) -> None:
    await take(service, [Record(Message("crossdock.orders.v1", key, b"{", {}), 0, 0, 0.0)])
    client, admin = ops(clients, service), await asyncpg.connect(service.database.dsn)

    async def both_wait() -> bool:
        async with service.database.unit() as unit:
            return int(await unit.sql.fetchval(WAITING)) == 2

    try:
        holding = admin.transaction()
        await holding.start()
        await admin.execute("SELECT FROM dead_letter FOR UPDATE")
        reasons = ["ada looked", "bob looked"]
        discards = [
            asyncio.ensure_future(client.post("/v1/dead-letters/1:discard", json={"reason": reason}))
            for reason in reasons
        ]
        await eventually(both_wait)
        await holding.rollback()
        answers = await asyncio.gather(*discards)
    finally:
        await admin.close()
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    (action,) = (await client.get("/v1/operator-actions?target=/v1/dead-letters/1")).json()["items"]
    assert action["why"] == reasons[[answer.status_code for answer in answers].index(200)]


async def test_two_letters_of_one_key_are_resolved_in_their_order(service: Service, clients: Clients) -> None:
    """The first event fails in its reaction; the second one is no event, and is found before the reactions run."""
    order = placed("poison-1")
    broken = envelope_of(order, sequence=2).encode()
    first, second = records(envelope_of(order), envelope_of(order))
    await take(service, [first, replace(second, message=replace(broken, value=b"{"))], careful=True)
    assert await letters(service) == [(0, "poison"), (1, "poison")]
    client = ops(clients, service)
    refused = await client.post("/v1/dead-letters/2:discard", json={"reason": "no event"})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:crossdock:problem:not-poison")
    done = await client.post("/v1/dead-letters/1:discard", json={"reason": "a test order"})
    assert (done.status_code, done.json()["left"]) == (200, 1)
    await take(service, [Record(envelope_of(placed("PO-9", order.order_id), sequence=3).encode(), 0, 2, 0.0)])
    assert await letters(service) == [(0, "discarded"), (1, "poison"), (2, "parked")], "the key is still parked"
    assert (await client.post("/v1/dead-letters/2:discard", json={"reason": "no event"})).json()["applied"] == 1
    assert await toy.marks(service) == {"PO-9": 1}


async def test_letter_behind_a_blocked_event_waits_for_it(service: Service, clients: Clients) -> None:
    order = placed("stuck")
    first, second = records(envelope_of(order), envelope_of(order, sequence=2))
    async with locked(service, "stuck"):
        await isolate(service, first, replace(second, message=replace(second.message, value=b"{")))
    assert await letters(service) == [(0, "blocked"), (1, "poison")]
    refused = await ops(clients, service).post("/v1/dead-letters/2:discard", json={"reason": "no event"})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:crossdock:problem:not-poison")
