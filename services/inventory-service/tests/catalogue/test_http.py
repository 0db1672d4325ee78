"""The catalogue: which items a partner can order, and whether stock is there."""

from typing import Any

import httpx
import pytest
from warehouse import Warehouse, listed, placed

from crossdock_chassis import Service
from crossdock_chassis.testing import Clients


@pytest.fixture
def partner(service: Service, clients: Clients) -> httpx.AsyncClient:
    return clients(service, "globex", ("catalogue:read",))


@pytest.fixture
def trusted(service: Service, clients: Clients) -> httpx.AsyncClient:
    return clients(service, "globex", ("catalogue:quantities",))


async def ids(client: httpx.AsyncClient, **query: Any) -> list[str]:
    answer = await client.get("/v1/catalogue", params=query)
    assert answer.status_code == 200, answer.text
    return [each["item_id"] for each in answer.json()["items"]]


async def test_catalogue_shows_active_items_without_quantities(
    warehouse: Warehouse, client: httpx.AsyncClient, partner: httpx.AsyncClient
) -> None:
    await warehouse.open("a", "gone", "taken")
    await client.post("/v1/items", json={"item_id": "flour", "unit_of_measure": "g", "units": {"kg": 1000}})
    await warehouse.receive_all([("a", 3), ("gone", 3), ("taken", 2)])
    await warehouse.receive("flour", 2500, "south")
    await warehouse.change("gone", status="discontinued")
    await warehouse.reserve(placed(("taken", 2)))
    answer = await partner.get("/v1/catalogue")
    assert answer.json() == {
        "items": [
            {"item_id": "a", "unit_of_measure": "each", "units": {}, "category": None, "available": True},
            {"item_id": "flour", "unit_of_measure": "g", "units": {"kg": 1000}, "category": None, "available": True},
            {"item_id": "taken", "unit_of_measure": "each", "units": {}, "category": None, "available": False},
        ],
        "next": None,
    }


async def test_quantities_are_unreserved_stock_over_locations(warehouse: Warehouse, trusted: httpx.AsyncClient) -> None:
    await warehouse.open("a", "b")
    await warehouse.receive("a", 3)
    await warehouse.receive("a", 4, "south")
    await warehouse.reserve(placed(("a", 2)))
    entries = await listed(trusted, "catalogue/quantities", limit=1)
    assert [(each["item_id"], each["available"], each["available_quantity"]) for each in entries] == [
        ("a", True, 5),
        ("b", False, 0),
    ]


async def test_catalogue_is_paged_and_filtered_by_id(
    warehouse: Warehouse, client: httpx.AsyncClient, partner: httpx.AsyncClient
) -> None:
    await warehouse.open(*(f"i{n}" for n in range(5)))
    await client.patch("/v1/items/i3", json={"category": "FISH"})
    assert [each["item_id"] for each in await listed(partner, "catalogue")] == [f"i{n}" for n in range(5)]
    assert await ids(partner, item_id=["i4", "what", "i1"]) == ["i1", "i4"]
    assert await ids(partner, category="FISH") == ["i3"]
    assert (await partner.get("/v1/catalogue", params={"item_id": ["x"] * 201})).status_code == 422
    assert (await partner.get("/v1/catalogue", params={"cursor": "nonsense"})).status_code == 400


async def test_each_scope_opens_only_its_route(
    service: Service, clients: Clients, partner: httpx.AsyncClient, trusted: httpx.AsyncClient
) -> None:
    assert (await partner.get("/v1/catalogue/quantities")).status_code == 403
    assert (await trusted.get("/v1/catalogue")).status_code == 403
    for path in ("/v1/items", "/v1/availability?item_id=a", "/v1/ledger", "/v1/backorders"):
        assert (await trusted.get(path)).status_code == 403
    orders = clients(service, "globex", ("orders:read", "orders:write"))
    assert (await orders.get("/v1/catalogue")).status_code == 403
