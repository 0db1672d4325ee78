"""The commands of `crossdock` for any installation, on a whole stack."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from commanding import crossdock
from harness import INVENTORY, Harness, eventually, order

from crossdock_cli.errors import CommandError


@pytest.fixture(autouse=True)
def _this_stack(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSDOCK_HOME", str(harness.stack.home.root))
    monkeypatch.delenv("CROSSDOCK_PORTS", raising=False)


async def answer(*arguments: str) -> Any:
    return json.loads(await crossdock(*arguments, "--json"))


async def test_sample_order_is_for_an_item_in_stock(harness: Harness) -> None:
    async with harness.client(INVENTORY) as client:
        response = await client.post("/v1/items", json={"item_id": f"0-{uuid4().hex}"})  # the first item of the list
        assert response.status_code == 201, response.text
    await harness.items(on_hand=5)
    printed = await crossdock("order")
    assert json.loads(printed[printed.index("{") :])["status"] == "confirmed"


async def test_receive_shows_the_orders_that_it_releases(harness: Harness) -> None:
    (item,) = await harness.items()
    ids = []
    async with harness.client() as client:
        for quantity in (2, 3, 4):
            placed = await harness.post(client, order(f"PO-{uuid4().hex[:12]}", (item, quantity)))
            await harness.until(client, placed["id"], "backordered")
            ids.append(placed["id"])
    assert [row["order_id"] for row in (await answer("backorders", item))["items"]] == ids
    printed = await crossdock("receive", item, "6")
    assert f"Orders that got what they lacked of it: 2: {ids[0]}, {ids[1]}\n" in printed
    assert "Orders that still wait for it: 1, for 4 units" in printed
    received = await answer("receive", item, "4")
    assert (received["released"], received["waiting"]) == (ids[2:], [])
    assert "No order waited for it." in await crossdock("receive", item, "1")
    stock = await answer("stock", item)
    assert (stock["on_hand"], stock["reserved"], stock["available"], stock["backorders"]) == (11, 9, 2, None)


async def test_orders_are_listed_by_pages_and_cancelled(harness: Harness) -> None:
    partner = f"shop-{uuid4().hex[:8]}"
    (item,) = await harness.items(on_hand=2)
    async with harness.client(partner=partner) as client:
        for _ in range(3):
            await harness.post(client, order(f"PO-{uuid4().hex[:12]}", (item, 1)), partner)
    first = await answer("orders", "--partner", partner, "--limit", "2")
    second = await answer("orders", "--partner", partner, "--limit", "2", "--cursor", first["next"])
    listed = [*first["items"], *second["items"]]
    assert len({row["id"] for row in listed}) == 3
    assert second["next"] is None
    by_id, by_reference = listed[0]["id"], listed[1]["reference"]
    assert "is cancelled" in await crossdock("cancel", by_id, "--partner", partner)
    cancelled = await answer("cancel", by_reference, "--partner", partner, "--reason", "customer_request")
    assert cancelled["status"] == "cancelled"
    assert len((await answer("orders", "--partner", partner, "--status", "cancelled"))["items"]) == 2
    with pytest.raises(CommandError, match="None of your orders has this id"):
        await crossdock("cancel", by_id, "--partner", "another")


async def test_csv_files_are_imported_or_refused_by_row(harness: Harness, tmp_path: Path) -> None:
    file, item = tmp_path / "items.csv", f"SKU-{uuid4().hex[:10]}"
    template = await crossdock("import", "items")
    file.write_text(template.splitlines()[0] + "\n" + template.splitlines()[1].replace("SKU-1", item) + "\n")
    assert (await answer("import", "items", str(file), "--dry-run"))["created"] == 1
    with pytest.raises(CommandError, match=f"There is no item {item}"):
        await crossdock("stock", item)
    assert "1 created" in await crossdock("import", "items", str(file))
    assert (await answer("stock", item))["status"] == "active"
    file.write_text("item_id\nok\n\n" + "x" * 300 + "\n")
    with pytest.raises(CommandError) as refused:
        await crossdock("import", "items", str(file))
    assert "item_id: " in refused.value.details
    assert refused.value.details.startswith("row ")


async def test_items_that_orders_wait_for_are_listed(harness: Harness) -> None:
    (item,) = await harness.items()
    async with harness.client() as client:
        placed = await harness.post(client, order(f"PO-{uuid4().hex[:12]}", (item, 7)))
        await harness.until(client, placed["id"], "backordered")

    async def listed() -> Any:
        rows, cursor = [], ""
        while True:
            page = await answer("backorders", "--limit", "200", *(["--cursor", cursor] if cursor else []))
            rows += page["items"]
            if not (cursor := page["next"]):
                return [row["units_missing"] for row in rows if row["item_id"] == item]

    assert await eventually(listed) == [7]
    assert f"7 of {item}" in await crossdock("orders", "--partner", "acme", "--item", item)


async def test_projections_are_rebuilt_and_stay_complete(harness: Harness) -> None:
    items = await harness.items(3, on_hand=5)
    (before,) = (await answer("rebuild", "order-service", "--status"))["items"]
    printed = await crossdock("rebuild", "order-service")
    assert "known_items" in printed and "readers see it" in printed
    await eventually(_one_generation)
    (after,) = (await answer("rebuild", "order-service", "--status"))["items"]
    assert after["generations"][0]["generation"] > before["generations"][0]["generation"]
    async with harness.client() as client:
        placed = await harness.post(client, order(f"PO-{uuid4().hex[:12]}", *((item, 1) for item in items)))
        await harness.until(client, placed["id"], "confirmed")
    with pytest.raises(CommandError, match="known_items, and not stock"):
        await crossdock("rebuild", "order-service", "stock")
    with pytest.raises(CommandError, match="inventory-service has no projections"):
        await crossdock("rebuild", "inventory-service")
    assert "order-service has no retired groups" in await crossdock("retired", "order-service")


async def _one_generation() -> bool:
    (found,) = (await answer("rebuild", "order-service", "--status"))["items"]
    return len(found["generations"]) == 1


async def test_catalogue_shows_who_reads_each_topic_and_its_rate(harness: Harness) -> None:
    (item,) = await harness.items(on_hand=1)
    async with harness.client() as client:
        await harness.post(client, order(f"PO-{uuid4().hex[:12]}", (item, 1)))

    async def counted() -> Any:
        found = await answer("events", "catalogue")
        (orders,) = (each for each in found["topics"] if each["name"] == "crossdock.orders.v1")
        return (found, orders) if orders["activity"]["rate"] else None

    found, orders = await eventually(counted)
    assert (orders["activity"]["reading"], found["silent"]) == ("current", [])
    reserving = [each["types"] for each in orders["readers"] if each["handler"] == "reservations.reserve.reserve"]
    assert reserving == [["crossdock.OrderPlaced.v1"]]
    page = await crossdock("events", "catalogue")
    assert f"| {INVENTORY}" in page and "unknown whether" not in page
    assert all(f"### {event['type']}" in page for topic in found["topics"] for event in topic["events"])
