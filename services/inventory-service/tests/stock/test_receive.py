"""Receipts."""

import httpx
from warehouse import READ, WRITE, Warehouse, line, receipt

from crossdock_chassis import Service
from crossdock_chassis.testing import OPS, Clients


async def test_receipt_counts_once_under_its_reference_and_its_key(
    warehouse: Warehouse, client: httpx.AsyncClient
) -> None:
    await warehouse.open("a", "b")
    body, key = receipt(line("a", 5), line("b", 2), line("a", 1)), {"Idempotency-Key": "k-1"}
    first = await client.post("/v1/receipts", json=body, headers=key)
    assert first.status_code == 201
    again = await client.post("/v1/receipts", json=body, headers=key)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true") and again.json() == first.json()
    known = await client.post("/v1/receipts", json=body)
    assert known.status_code == 200 and known.json() == first.json()
    other = await client.post("/v1/receipts", json=receipt(line("a", 6)))
    assert (other.status_code, other.headers["location"]) == (409, first.headers["location"])
    assert (await client.get(first.headers["location"])).json() == first.json()
    assert await warehouse.levels() == {("a", "north"): (6, 0), ("b", "north"): (2, 0)}
    await warehouse.check()


async def test_receipt_with_its_lines_shuffled_is_the_same_receipt(
    warehouse: Warehouse, client: httpx.AsyncClient
) -> None:
    await warehouse.open("a", "b")
    lines, key = (line("a", 5), line("b", 2), line("a", 5)), {"Idempotency-Key": "k-1"}
    first = await client.post("/v1/receipts", json=receipt(*lines), headers=key)
    for headers, status in ((key, 201), ({}, 200)):
        again = await client.post("/v1/receipts", json=receipt(*lines[1:], lines[0]), headers=headers)
        assert (again.status_code, again.json()) == (status, first.json())
    for other, place in (
        (receipt(line("b", 2), line("a", 5), line("a", 6)), "/lines/2/quantity"),
        (receipt(*lines, location_id="south"), "/location_id"),
        (receipt(*lines[:2]), "/lines"),
        (receipt(*lines, line("a", 5)), "/lines/0"),
    ):
        for headers, status in ((key, 422), ({}, 409)):
            refused = await client.post("/v1/receipts", json=other, headers=headers)
            assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (status, place), refused.text
    assert await warehouse.levels() == {("a", "north"): (10, 0), ("b", "north"): (2, 0)}


async def test_document_of_another_partner_is_not_found(
    service: Service, warehouse: Warehouse, clients: Clients
) -> None:
    await warehouse.open("a")
    made = await clients(service, scopes=(WRITE,)).post("/v1/receipts", json=receipt(line("a", 5)))
    other = clients(service, partner="globex", scopes=(READ, WRITE))
    assert (await other.get(made.headers["location"])).status_code == 404
    assert (await other.post("/v1/receipts", json=receipt(line("a", 7)))).status_code == 201  # its own reference
    await warehouse.check()


async def test_operator_records_a_receipt_under_a_reference_of_its_own(
    service: Service, warehouse: Warehouse, client: httpx.AsyncClient, clients: Clients
) -> None:
    await warehouse.open("a")
    partners = await client.post("/v1/receipts", json=receipt(line("a", 5)))
    ann = clients(service, None, OPS, subject="ann")
    key = {"idempotency-key": "k"}
    made = [await ann.post("/v1/receipts", json=receipt(line("a", 7)), headers=key) for _ in range(2)]
    assert [(each.status_code, each.headers.get("idempotent-replayed")) for each in made] == [
        (201, None),
        (201, "true"),
    ]
    assert await warehouse.levels() == {("a", "north"): (12, 0)}
    location = made[0].headers["location"]
    for shown in (made[0], partners):
        assert (await ann.get(shown.headers["location"])).json() == shown.json()
    assert (await client.get(location)).status_code == 404
    (action,) = (await ann.get("/v1/operator-actions")).json()["items"]
    assert (action["who"], action["action"], action["target"]) == ("ann", "receipt:record", location)
    await warehouse.check()


async def test_operator_without_the_right_to_act_receives_nothing(
    service: Service, warehouse: Warehouse, clients: Clients
) -> None:
    await warehouse.open("a")
    reader = clients(service, None, ("ops:read", "stock:write"), subject="rob")
    assert (await reader.post("/v1/receipts", json=receipt(line("a", 7)))).status_code == 403
    assert await warehouse.levels() == {}
