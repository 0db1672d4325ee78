"""Stock over HTTP: what a warehouse says and asks, and what is refused at each door, storing nothing."""

from typing import Any

import httpx
import pytest
from warehouse import Warehouse, placed

from crossdock_chassis import Service
from crossdock_chassis.testing import Clients, published
from crossdock_events.items import ItemChanged, ItemRegistered

READ, WRITE = "stock:read", "stock:write"


@pytest.fixture
def client(service: Service, clients: Clients) -> httpx.AsyncClient:
    return clients(service, scopes=(READ, WRITE))


def line(item: str, quantity: int) -> dict[str, Any]:
    return {"item_id": item, "quantity": quantity}


def receipt(*lines: dict[str, Any], **other: Any) -> dict[str, Any]:
    return {"reference": "GRN-1", "location_id": "north", "lines": list(lines), **other}


async def stored(service: Service) -> tuple[int, ...]:
    """How much there is of everything."""
    tables = ("items", "locations", "levels", "movements", "documents", "opening_stock", "outbox")
    async with service.database.unit() as unit:
        counts = [await unit.sql.fetchval(f"SELECT count(*) FROM {table}") for table in tables]
    return tuple(counts)


async def test_an_item_is_registered_changed_and_discontinued(service: Service, client: httpx.AsyncClient) -> None:
    body = {"item_id": "SKU-1", "unit_of_measure": "kg", "category": "FISH", "description": "Cod, whole"}
    made = await client.post("/v1/items", json=body)
    assert (made.status_code, made.headers["location"], made.headers["etag"]) == (201, "/v1/items/SKU-1", '"1"')
    assert made.json() == {**body, "status": "active", "version": 1}
    assert (await client.post("/v1/items", json=body)).status_code == 200
    other = await client.post("/v1/items", json={**body, "category": "MEAT"})
    assert (other.status_code, other.json()["type"]) == (409, "urn:crossdock:problem:duplicate-item")
    assert other.headers["location"] == "/v1/items/SKU-1"

    changed = await client.patch("/v1/items/SKU-1", json={"category": None}, headers={"If-Match": '"1"'})
    assert changed.json()["category"] is None and changed.headers["etag"] == '"2"'
    stale = await client.patch("/v1/items/SKU-1", json={"category": "MEAT"}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    assert (await client.patch("/v1/items/SKU-1", json={})).json()["version"] == 2
    gone = await client.post("/v1/items/SKU-1:discontinue")
    assert (gone.json()["status"], gone.json()["version"]) == ("discontinued", 3)
    back = await client.patch("/v1/items/SKU-1", json={"status": "active"})
    assert (await client.get("/v1/items/SKU-1")).json() == back.json()

    rows = [row for row in await published(service) if row["topic"] == "crossdock.items.v1"]
    assert len(rows) == 4 and not any(b"Cod" in row["value"] for row in rows)
    assert ItemRegistered.model_validate_json(rows[0]["value"]).category == "FISH"
    assert ItemChanged.model_validate_json(rows[2]["value"]).status == "discontinued"


async def test_lists_go_on_where_they_stopped(client: httpx.AsyncClient) -> None:
    for n in range(5):
        await client.post("/v1/items", json={"item_id": f"i{n}", "category": "odd" if n % 2 else None})
        await client.post("/v1/locations", json={"location_id": f"l{n}", "name": "L", "rank": 9 - n})
    for path, name, expected in (
        ("/v1/items", "item_id", [f"i{n}" for n in range(5)]),
        ("/v1/locations", "location_id", [f"l{n}" for n in reversed(range(5))]),
    ):
        seen, cursor = [], None
        while True:
            page = (await client.get(path, params={"limit": 2, **({"cursor": cursor} if cursor else {})})).json()
            seen += [each[name] for each in page["items"]]
            if (cursor := page["next"]) is None:
                break
        assert seen == expected
    odd = (await client.get("/v1/items", params={"category": "odd"})).json()["items"]
    assert [each["item_id"] for each in odd] == ["i1", "i3"]
    assert (await client.get("/v1/items", params={"cursor": "nonsense"})).status_code == 400
    assert (await client.get("/v1/items", params={"limit": 0})).status_code == 422


async def test_a_location_is_registered_once_and_changed_by_version(client: httpx.AsyncClient) -> None:
    body = {"location_id": "north", "rank": 1, "name": "North", "country": "US"}
    assert (await client.post("/v1/locations", json=body)).status_code == 201
    assert (await client.post("/v1/locations", json=body)).status_code == 200
    assert (await client.post("/v1/locations", json={**body, "rank": 2})).status_code == 409
    changed = await client.patch("/v1/locations/north", json={"rank": 7}, headers={"If-Match": '"1"'})
    assert (changed.json()["rank"], changed.json()["version"]) == (7, 2)
    assert (await client.get("/v1/locations/north")).json() == changed.json()
    assert (await client.patch("/v1/locations/south", json={"rank": 7})).status_code == 404


async def test_a_receipt_counts_once_under_its_reference_and_its_key(
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


async def test_another_partners_document_is_not_there(service: Service, warehouse: Warehouse, clients: Clients) -> None:
    await warehouse.open("a")
    made = await clients(service, scopes=(WRITE,)).post("/v1/receipts", json=receipt(line("a", 5)))
    other = clients(service, partner="globex", scopes=(READ, WRITE))
    assert (await other.get(made.headers["location"])).status_code == 404
    assert (await other.post("/v1/receipts", json=receipt(line("a", 7)))).status_code == 201  # its own reference
    await warehouse.check()


async def test_an_adjustment_leaves_what_is_promised(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 10)
    await warehouse.reserve(placed(("a", 6)))
    body = {"reference": "ADJ-1", "location_id": "north", "reason": "damage", "lines": [line("a", -5)]}
    refused = await client.post("/v1/adjustments", json=body)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:crossdock:problem:not-enough-free")
    assert refused.json()["short"] == [{"item_id": "a", "location_id": "north", "requested": 5, "free": 4}]
    body["lines"] = [line("a", -4)]
    assert (await client.post("/v1/adjustments", json=body)).status_code == 201
    newest = (await client.get("/v1/ledger", params={"item_id": "a"})).json()["items"][0]
    assert (newest["on_hand"], newest["reserved"], newest["reason"]) == (-4, 0, "damage")
    assert await warehouse.levels() == {("a", "north"): (6, 6)}
    await warehouse.check()


async def test_a_transfer_moves_what_is_free(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 10)
    await warehouse.reserve(placed(("a", 6)))
    body = {"reference": "T-1", "from_location_id": "north", "to_location_id": "south", "lines": [line("a", 5)]}
    refused = await client.post("/v1/transfers", json=body)
    assert (refused.status_code, refused.json()["short"][0]["free"]) == (409, 4)
    body["lines"] = [line("a", 4)]
    assert (await client.post("/v1/transfers", json=body)).status_code == 201
    assert await warehouse.levels() == {("a", "north"): (6, 6), ("a", "south"): (4, 0)}
    same = await client.post("/v1/transfers", json={**body, "to_location_id": "north"})
    assert same.status_code == 422
    await warehouse.check()


async def test_availability_answers_each_item_known_or_not(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("a", "b")
    await warehouse.receive("a", 3)
    await warehouse.receive("a", 2, "south")
    await warehouse.reserve(placed(("a", 1)))
    page = (await client.get("/v1/availability?item_id=a&item_id=what&item_id=b")).json()
    a, what, b = page["items"]
    assert (a["available"], a["on_hand"], a["reserved"], a["problem"]) == (4, 5, 1, None)
    assert a["locations"][1] == {"location_id": "south", "on_hand": 2, "reserved": 0, "available": 2}
    assert (what["available"], what["problem"]["status"]) == (0, 404)
    assert (b["available"], b["locations"], b["status"]) == (0, [], "active")
    assert (await client.get("/v1/availability")).status_code == 422
    assert (await client.get("/v1/availability", params=[("item_id", "a")] * 201)).status_code == 422


async def test_the_ledger_is_filtered_and_paged(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("a", "b")
    await warehouse.receive_all([("a", 3), ("b", 3)])
    order = placed(("a", 1), ("b", 1))
    await warehouse.reserve(order)
    await warehouse.cancel(order.order_id)
    of_order = (await client.get("/v1/ledger", params={"reference": str(order.order_id)})).json()["items"]
    assert [(each["kind"], each["reserved"]) for each in of_order] == [
        ("release", -1),
        ("release", -1),
        ("reservation", 1),
        ("reservation", 1),
    ]
    first = (await client.get("/v1/ledger", params={"limit": 4})).json()
    rest = (await client.get("/v1/ledger", params={"limit": 4, "cursor": first["next"]})).json()
    assert [each["kind"] for each in rest["items"]] == ["receipt", "receipt"] and rest["next"] is None
    some = {"item_id": "b", "kind": "receipt", "location_id": "north", "since": "2020-01-01T00:00:00Z"}
    assert len((await client.get("/v1/ledger", params=some)).json()["items"]) == 1
    assert (await client.get("/v1/ledger", params={"until": "2020-01-01T00:00:00Z"})).json()["items"] == []
    assert (await client.get("/v1/ledger", params={"kind": "magic"})).status_code == 422
    assert (await client.get("/v1/ledger", params={"since": "2020-01-01T00:00:00"})).status_code == 422


async def test_reconciliation_lists_what_differs(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("a", "b")
    await warehouse.receive_all([("a", 3), ("b", 3)])
    order = placed(("b", 2))
    await warehouse.reserve(order)
    agrees = (await client.get("/v1/reconciliation")).json()
    assert (agrees["outcome"], agrees["levels"], agrees["reservations"]) == ("agrees", 2, 1)
    await warehouse.fetch("UPDATE levels SET on_hand = 4 WHERE item_id = 'a'")
    await warehouse.fetch("UPDATE allocations SET quantity = 1")
    differs = (await client.get("/v1/reconciliation")).json()
    assert differs["outcome"] == "differs"
    a, b = differs["differences"]
    assert (a["item_id"], a["level_on_hand"], a["ledger_on_hand"]) == ("a", 4, 3)
    assert (b["item_id"], b["level_reserved"], b["ledger_reserved"], b["held"]) == ("b", 2, 2, 1)
    assert [(each["order_id"], each["reserved"], each["held"]) for each in differs["orders"]] == [
        (str(order.order_id), 2, 1)
    ]


async def test_backorders_by_item_and_by_order(warehouse: Warehouse, client: httpx.AsyncClient) -> None:
    await warehouse.open("a", "b", "c")
    await warehouse.receive("b", 1)
    first, urgent = placed(("a", 3), ("b", 2)), placed(("a", 1), ("c", 1), priority=8)
    partial = placed(("b", 4), partial=True)
    await warehouse.reserve(first, urgent, partial)
    page = (await client.get("/v1/backorders", params={"limit": 2})).json()
    assert [(each["item_id"], each["orders"], each["units_missing"]) for each in page["items"]] == [
        ("a", 2, 4),
        ("b", 2, 5),
    ]
    rest = (await client.get("/v1/backorders", params={"limit": 2, "cursor": page["next"]})).json()
    assert [each["item_id"] for each in rest["items"]] == ["c"] and rest["next"] is None
    only = (await client.get("/v1/backorders", params={"item_id": "b"})).json()["items"]
    assert (only[0]["available"], only[0]["orders"]) == (0, 2)

    lines, cursor = [], None
    while True:
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = (await client.get("/v1/backorders/orders", params=query)).json()
        lines += [(each["order_id"], each["item_id"], each["quantity"]) for each in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert lines == [
        (str(urgent.order_id), "a", 1),
        (str(urgent.order_id), "c", 1),
        (str(first.order_id), "a", 3),
        (str(first.order_id), "b", 2),
        (str(partial.order_id), "b", 3),
    ]
    assert (await client.get("/v1/backorders/overdue")).json() == {"queued_items": 0, "orders": []}
    held = (await client.get(f"/v1/reservations/{partial.order_id}")).json()
    assert held["status"] == "waiting" and held["lines"][0]["allocations"] == [{"location_id": "north", "quantity": 1}]
    missing = await client.get("/v1/reservations/00000000-0000-0000-0000-000000000000")
    assert (missing.status_code, missing.json()["type"]) == (404, "urn:crossdock:problem:no-such-reservation")


GARBAGE: list[tuple[str, dict[str, Any], str]] = [
    ("items", {"item_id": ""}, "/item_id"),
    ("items", {"item_id": "a/b"}, "/item_id"),
    ("items", {"item_id": "x" * 65}, "/item_id"),
    ("items", {"item_id": 7}, "/item_id"),
    ("items", {"item_id": "x", "colour": "red"}, "/colour"),
    ("items", {"item_id": "x", "unit_of_measure": "Each!"}, "/unit_of_measure"),
    ("items", {"item_id": "x", "description": "two\nlines"}, "/description"),
    ("items", {"item_id": "x", "description": "nul\0"}, "/description"),
    ("locations", {"location_id": "x"}, "/name"),
    ("locations", {"location_id": "x", "name": "n", "rank": -1}, "/rank"),
    ("locations", {"location_id": "x", "name": "n", "country": "usa"}, "/country"),
    ("receipts", receipt(line("a", 0)), "/lines/0/quantity"),
    ("receipts", receipt(line("a", -1)), "/lines/0/quantity"),
    ("receipts", receipt(line("a", 10**12)), "/lines/0/quantity"),
    ("receipts", receipt(line("a", 1) | {"quantity": 1.5}), "/lines/0/quantity"),
    ("receipts", receipt(line("a", 1) | {"quantity": "1"}), "/lines/0/quantity"),
    ("receipts", receipt(line("a", 1) | {"quantity": True}), "/lines/0/quantity"),
    ("receipts", receipt(), "/lines"),
    ("receipts", receipt(*[line("a", 1)] * 501), "/lines"),
    ("receipts", receipt(line("a", 1), line("what", 1)), "/lines/1/item_id"),
    ("receipts", receipt(line("a", 1), location_id="nowhere"), "/location_id"),
    ("receipts", receipt(line("a", 1), reference="no spaces"), "/reference"),
    ("receipts", {"lines": []}, "/reference"),
    ("adjustments", receipt(line("a", 1)), "/reason"),
    ("adjustments", receipt(line("a", 0), reason="count"), "/lines/0/quantity"),
    ("adjustments", receipt(line("a", 1), reason="It broke"), "/reason"),
    ("adjustments", receipt(line("a", 10**9), line("a", 10**9 + 1), reason="count"), "/lines/1/quantity"),
    ("transfers", receipt(line("a", 1)), "/from_location_id"),
]


async def test_garbage_is_refused_where_it_is_and_stores_nothing(
    service: Service, warehouse: Warehouse, client: httpx.AsyncClient
) -> None:
    await warehouse.open("a")
    before = await stored(service)
    for path, body, pointer in GARBAGE:
        answer = await client.post(f"/v1/{path}", json=body)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), (path, body)
        assert pointer in [error["pointer"] for error in answer.json()["errors"]], (path, body, answer.json())
    assert await stored(service) == before


async def test_what_is_no_json_and_who_may_not_is_refused_at_every_door(service: Service, clients: Clients) -> None:
    client, before = clients(service, scopes=(READ, WRITE)), await stored(service)
    for path in ("items", "locations", "receipts", "adjustments", "transfers"):
        await refuses_what_is_no_json(client, path)
        for scopes in ((), (READ,), ("orders:write", "ops")):
            assert (await clients(service, scopes=scopes).post(f"/v1/{path}", json={})).status_code == 403
        stranger = await client.post(f"/v1/{path}", json={}, headers={"authorization": "Bearer"})
        assert stranger.status_code == 401
    assert await stored(service) == before


async def refuses_what_is_no_json(client: httpx.AsyncClient, path: str) -> None:
    json = {"content-type": "application/json"}
    for content in (b"", b"{", b'{"a": NaN}', b"\xff\xfe", b'{"a": 1, "a": 2}', b"[" * 10_000):
        answer = await client.post(f"/v1/{path}", content=content, headers=json)
        assert answer.status_code in (400, 422), (content, answer.text)
    assert (await client.post(f"/v1/{path}", json=[])).status_code == 422
    assert (await client.post(f"/v1/{path}", content=b"x" * (2 << 20), headers=json)).status_code == 413
    assert (await client.post(f"/v1/{path}", content=b"<a/>", headers={"content-type": "text/xml"})).status_code == 415


async def test_who_may_not_read_sees_nothing(service: Service, clients: Clients) -> None:
    client = clients(service, scopes=(WRITE,))
    for path in (
        "items",
        "items/a",
        "locations",
        "availability?item_id=a",
        "ledger",
        "reconciliation",
        "backorders",
        "backorders/orders",
        "backorders/overdue",
        "reservations/00000000-0000-0000-0000-000000000000",
        "imports/items/template",
    ):
        assert (await client.get(f"/v1/{path}")).status_code == 403, path


async def test_every_write_counts_in_a_route_group(service: Service) -> None:
    writes = [
        (path, method)
        for path, methods in service.api().openapi()["paths"].items()
        for method, operation in methods.items()
        if method != "get" and "operations" not in operation["tags"] and "429" not in operation["responses"]
    ]
    assert writes == []


async def test_every_route_says_what_it_does(service: Service) -> None:
    operations = [
        (path, method, operation)
        for path, methods in service.api().openapi()["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(operations) > 20
    for path, method, operation in operations:
        assert operation.get("summary") and operation.get("tags"), (path, method)
    names = [operation["operationId"] for _, _, operation in operations]
    assert len(names) == len(set(names))
