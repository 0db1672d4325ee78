"""An item is at as many locations as its event can name."""

import httpx
import pytest
from warehouse import Warehouse, line, receipt

from crossdock_events.stock import Level, StockLevelChanged
from inventory_service.stock import model
from inventory_service.stock.model import MAX_LOCATIONS

MESSAGE_LIMIT = 900_000


@pytest.fixture
async def three(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """Return a warehouse with four locations and A, B at three of them, which is the limit."""
    monkeypatch.setattr(model, "MAX_LOCATIONS", 3)
    await warehouse.open("A", "B", locations=("1", "2", "3", "4"))
    for location in "123":
        await warehouse.receive_all([("A", 2), ("B", 2)], location)
    return warehouse


async def test_stock_at_one_location_too_many_is_refused(three: Warehouse, client: httpx.AsyncClient) -> None:
    before = await three.stored()
    moves = {"from_location_id": "1", "to_location_id": "4", "reference": "T-1", "lines": [line("A", 1)]}
    found = {"reason": "found", **receipt(line("A", 1), location_id="4")}
    for path, body in (
        ("receipts", receipt(line("A", 1), location_id="4")),
        ("transfers", moves),
        ("adjustments", found),
    ):
        answer = await client.post(f"/v1/{path}", json=body)
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:crossdock:problem:too-many-locations"), path
        assert "A" in answer.json()["detail"]
    file = "reference,item_id,location_id,quantity\nO-1,B,1,5\nO-1,A,4,5\n"
    found = await three.imported(client, "opening-stock", file)
    assert [(each["row"], each["column"]) for each in found["errors"]] == [(3, "location_id")]
    assert await three.stored() == before


async def test_an_emptied_location_makes_room_for_another(three: Warehouse, client: httpx.AsyncClient) -> None:
    moves = {"from_location_id": "1", "to_location_id": "4", "reference": "T-1", "lines": [line("A", 2)]}
    assert (await client.post("/v1/transfers", json=moves)).status_code == 201
    assert {location for item, location in await three.levels() if item == "A"} == {"2", "3", "4"}
    assert (await client.post("/v1/receipts", json=receipt(line("A", 1), location_id="4"))).status_code == 201
    await three.check()


def test_largest_event_fits_into_a_message() -> None:
    most = 10**12
    levels = tuple(
        Level(location_id=f"{n:04}".ljust(64, "\U0001f4e6"), on_hand=most, reserved=most) for n in range(MAX_LOCATIONS)
    )
    event = StockLevelChanged(
        item_id="\U0001f4e6" * 64, levels=levels, available=MAX_LOCATIONS * most, causes=("adjustment", "withdrawal")
    )
    assert len(event.to_json()) < MESSAGE_LIMIT / 2
