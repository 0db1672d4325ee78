"""Dead letters by cause: one entry for each fingerprint, also with many thousand events of one cause."""

from typing import Any

import httpx
import pytest

from crossdock_chassis import Service
from crossdock_chassis.messaging.dead_letters import COUNT_LIMIT, LISTED_CHARACTERS, find_statement
from crossdock_chassis.messaging.fingerprints import PREVIEW_CHARACTERS
from crossdock_chassis.testing import OPS, Clients

KEEP = """
    INSERT INTO dead_letter
        (consumer_group, topic, partition, "offset", key, value, headers, state, reason, fingerprint, created_at)
    SELECT 'g', 't', 0, (SELECT count(*) FROM dead_letter) + n, convert_to(format('key-%s', n % $3), 'UTF8'),
           convert_to(repeat('é', 2000), 'UTF8'), '{"ce_type": "T", "odd": "\\u0000"}', $4, format('reason %s', n), $1,
           now() + n * interval '1 second'
    FROM generate_series(1, $2) AS n
"""


@pytest.fixture
def ops(service: Service, clients: Clients) -> httpx.AsyncClient:
    return clients(service, None, OPS, subject="ann")


async def keep(service: Service, fingerprint: str, count: int, keys: int, state: str = "poison") -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute(KEEP, fingerprint, count, keys, state)


async def causes(client: httpx.AsyncClient, **query: str | int) -> dict[str, Any]:
    answer = await client.get("/v1/dead-letters/causes", params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def test_cause_has_count_keys_first_last_and_an_example(service: Service, ops: httpx.AsyncClient) -> None:
    await keep(service, "a" * 12, 7, 3)
    await keep(service, "b" * 12, 2, 2)
    await keep(service, "a" * 12, 5, 5, "parked")
    await keep(service, "c" * 12, 5, 5, "discarded")
    first, second = (await causes(ops))["items"]
    assert (first["fingerprint"], first["records"], first["keys"]) == ("a" * 12, 7, 3)
    assert (first["first_id"], first["last_id"], first["reason"]) == (1, 7, "reason 7")
    assert first["first_at"] < first["last_at"]
    assert (second["records"], second["first_id"], second["last_id"]) == (2, 8, 9)
    example = first["example"]
    assert (example["id"], example["type"], example["key"]) == (7, "T", "key-1")
    assert example["value"] == "é" * PREVIEW_CHARACTERS
    assert (await ops.get(f"/v1/dead-letters/{example['id']}")).json()["offset"] == example["offset"]
    assert (await causes(ops, fingerprint="b" * 12))["items"] == [second]
    assert (await causes(ops, fingerprint="c" * 12))["items"] == []
    assert (await ops.get("/v1/dead-letters/causes?fingerprint=x")).status_code == 422


async def test_causes_are_paged(service: Service, ops: httpx.AsyncClient) -> None:
    for n in range(5):
        await keep(service, f"{n:012x}", 2, 1)
    found, query = [], dict[str, str | int](limit=2)
    while True:
        page = await causes(ops, **query)
        found.append([int(each["fingerprint"], 16) for each in page["items"]])
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert found == [[0, 1], [2, 3], [4]]
    assert (await ops.get("/v1/dead-letters/causes?cursor=x")).status_code == 400


async def test_many_thousand_letters_of_one_cause_stay_usable(service: Service, ops: httpx.AsyncClient) -> None:
    """Lists, causes and the dry run read a bounded part, by an index."""
    await keep(service, "a" * 12, COUNT_LIMIT + 500, COUNT_LIMIT)
    scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'dead_letter'"
    async with service.database.unit() as unit:
        await unit.sql.execute("SELECT pg_stat_force_next_flush()")
    async with service.database.unit() as unit:
        before = await unit.sql.fetchval(scans)
    (cause,) = (await causes(ops))["items"]
    assert (cause["records"], cause["keys"], cause["last_id"]) == (COUNT_LIMIT, COUNT_LIMIT, COUNT_LIMIT + 500)
    page = (await ops.get("/v1/dead-letters?state=poison&limit=200")).json()
    assert len(page["items"]) == 200 and page["next"]
    body = {"action": "redrive", "reason": "try", "records": {"fingerprint": "a" * 12}}
    tried = (await ops.post("/v1/dead-letters:resolve?dry_run=true", json=body)).json()
    assert tried["records"] == COUNT_LIMIT
    found = (await ops.get("/v1/operations")).json()["groups"]
    assert next(each["poison"] for each in found if each["group"] == "g") == COUNT_LIMIT + 500
    async with service.database.unit() as unit:
        await unit.sql.execute("SELECT pg_stat_force_next_flush()")
    async with service.database.unit() as unit:
        assert await unit.sql.fetchval(scans) == before


async def test_parked_events_are_counted_by_key_with_old_statistics(service: Service) -> None:
    """An index of all parked events looks cheap to the planner until it learns how many there are."""
    await keep(service, "a" * 12, 1_000, 1_000)
    async with service.database.unit() as unit:
        await unit.sql.execute("ANALYZE dead_letter")
    await keep(service, "b" * 12, 1_000, 1_000, "parked")
    async with service.database.unit() as unit:
        statement, arguments = find_statement(state="poison", fingerprint="a" * 12, after=None, limit=101)
        plan = "\n".join(row[0] for row in await unit.sql.fetch(f"EXPLAIN {statement}", *arguments))
    assert "using dead_letter_open on dead_letter parked" in plan, plan


async def test_list_shows_the_beginning_of_large_data(service: Service, ops: httpx.AsyncClient) -> None:
    data = b"\x00\xff" + b"x" * 900_000
    async with service.database.unit() as unit:
        await unit.sql.execute(KEEP, "a" * 12, 3, 1, "poison")
        await unit.sql.execute("UPDATE dead_letter SET value = $1", data)
    listed = await ops.get("/v1/dead-letters")
    assert len(listed.content) < 5_000
    assert {(len(each["value"]), each["size"]) for each in listed.json()["items"]} == {(LISTED_CHARACTERS, len(data))}
    letter = (await ops.get("/v1/dead-letters/1")).json()
    assert letter["value"] == "\0\\xff" + "x" * 900_000
    raw = await ops.get("/v1/dead-letters/1/value")
    assert (raw.content, raw.headers["content-type"]) == (data, "application/octet-stream")
    assert "attachment" in raw.headers["content-disposition"]
    assert (await ops.get("/v1/dead-letters/99/value")).status_code == 404
