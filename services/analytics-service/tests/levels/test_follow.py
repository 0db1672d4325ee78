"""Levels as the last event of each item has them."""

import httpx
import pytest

from analytics_service.levels.checks import NOT_THE_ITEMS, NOT_THE_LEVELS
from crossdock_chassis import Service, new_id
from crossdock_chassis.testing import Clients, Deliver, Violations
from crossdock_events.items import ItemChanged, ItemRegistered
from crossdock_events.orders import OrderBackordered, WaitingLine
from crossdock_events.stock import Level, StockLevelChanged


def changed(item: str, **levels: tuple[int, int]) -> StockLevelChanged:
    shown = tuple(Level(location_id=name, on_hand=on_hand, reserved=held) for name, (on_hand, held) in levels.items())
    free = sum(each.on_hand - each.reserved for each in shown)
    return StockLevelChanged(item_id=item, levels=shown, available=free, causes=("receipt",))


def registered(item: str) -> ItemRegistered:
    return ItemRegistered(item_id=item, unit_of_measure="each", category="beer", status="active")


def waiting(item: str, missing: int) -> OrderBackordered:
    line = WaitingLine(line_id="1", item_id=item, requested=9, reserved=9 - missing, backordered=missing)
    return OrderBackordered(order_id=new_id(), partner="acme", reference="PO-1", lines=(line,))


@pytest.fixture
def operator(service: Service, clients: Clients) -> httpx.AsyncClient:
    return clients(service, partner="", scopes=("ops:read",))


async def shown(operator: httpx.AsyncClient, **params: str) -> list[tuple[str, str, int, int]]:
    items = (await operator.get("/v1/levels", params=params)).json()["items"]
    return [(each["item_id"], each["location_id"], each["on_hand"], each["reserved"]) for each in items]


async def test_levels_are_those_of_the_last_event(
    service: Service, deliver: Deliver, operator: httpx.AsyncClient
) -> None:
    await deliver(service, changed("B", oslo=(5, 1)), changed("A", oslo=(3, 0), rome=(1, 1)))
    assert await shown(operator) == [("A", "oslo", 3, 0), ("A", "rome", 1, 1), ("B", "oslo", 5, 1)]
    await deliver(service, changed("A", oslo=(2, 0)), changed("A", oslo=(1, 1)), changed("B"))
    assert await shown(operator) == [("A", "oslo", 1, 1)]
    assert await shown(operator, item_id="B") == []


async def test_pages_have_each_level_once(service: Service, deliver: Deliver, operator: httpx.AsyncClient) -> None:
    await deliver(service, *(changed(item, oslo=(1, 0), rome=(2, 0)) for item in ("A", "B", "C")))
    first = (await operator.get("/v1/levels", params={"limit": 4})).json()
    second = (await operator.get("/v1/levels", params={"limit": 4, "cursor": first["next"]})).json()
    assert (len(first["items"]), len(second["items"]), second["next"]) == (4, 2, None)


async def stock(operator: httpx.AsyncClient, **params: str) -> list[tuple[str, str | None, int, int, int]]:
    answer = await operator.get("/v1/stock", params=params)
    assert answer.status_code == 200, answer.text
    fields = ("item_id", "location_id", "on_hand", "available", "units_missing")
    return [tuple(each[name] for name in fields) for each in answer.json()["items"]]


async def test_stock_is_listed_by_each_filter(service: Service, deliver: Deliver, operator: httpx.AsyncClient) -> None:
    await deliver(service, *(registered(item) for item in ("KEG-1", "KEG-2", "BOX")))
    await deliver(service, changed("KEG-1", oslo=(5, 2), rome=(1, 1)), changed("BOX", oslo=(4, 4)))
    await deliver(service, waiting("BOX", 3), waiting("KEG-2", 1), waiting("KEG-2", 4))
    box, keg_2 = ("BOX", "oslo", 4, 0, 3), ("KEG-2", None, 0, 0, 5)
    oslo, rome = ("KEG-1", "oslo", 5, 3, 0), ("KEG-1", "rome", 1, 0, 0)
    assert await stock(operator) == [box, oslo, rome, keg_2]
    assert await stock(operator, item_prefix="KEG-") == [oslo, rome, keg_2]
    assert await stock(operator, location_id="oslo") == [box, oslo]
    assert await stock(operator, state="out_of_stock") == [box, keg_2]
    assert await stock(operator, state="waiting", item_prefix="K") == [keg_2]
    assert await stock(operator, item_prefix="%") == []


async def test_pages_of_stock_have_each_place_once(
    service: Service, deliver: Deliver, operator: httpx.AsyncClient
) -> None:
    await deliver(service, *(registered(item) for item in ("A", "B", "C")))
    await deliver(service, changed("B", oslo=(1, 0), rome=(2, 0)))
    seen, params = list[tuple[str, str]](), {"limit": "1"}
    while True:
        page = (await operator.get("/v1/stock", params=params)).json()
        seen += [(each["item_id"], each["location_id"]) for each in page["items"]]
        if page["next"] is None:
            break
        params["cursor"] = page["next"]
    assert seen == [("A", None), ("B", "oslo"), ("B", "rome"), ("C", None)]


async def test_item_is_that_of_its_last_event(service: Service, deliver: Deliver, operator: httpx.AsyncClient) -> None:
    await deliver(service, changed("A", oslo=(3, 0)))
    assert (await operator.get("/v1/stock")).json()["items"][0]["status"] is None, "its own event comes later"
    gone = ItemChanged(item_id="A", unit_of_measure="each", status="discontinued")
    await deliver(service, registered("A"), gone)
    (shown,) = (await operator.get("/v1/stock")).json()["items"]
    assert (shown["status"], shown["category"], shown["on_hand"]) == ("discontinued", None, 3)


GARBAGE = [{"state": "x"}, {"item_prefix": ""}, {"cursor": "x"}, {"limit": "0"}, {"location_id": "x" * 65}, {"y": "1"}]


@pytest.mark.parametrize("params", GARBAGE)
async def test_garbage_in_a_filter_is_refused(operator: httpx.AsyncClient, params: dict[str, str]) -> None:
    answer = await operator.get("/v1/stock", params=params)
    assert answer.status_code in (400, 422) and answer.json()["type"].startswith("urn:crossdock:problem:")


EDITS = [
    "UPDATE levels_now_g2.levels_now SET on_hand = on_hand + 1 WHERE item_id = 'A'",
    "UPDATE levels_now_g2.levels_now SET changed_at = now() WHERE item_id = 'A'",
    "DELETE FROM levels_now_g2.levels_now WHERE item_id = 'A'",
    "INSERT INTO levels_now_g2.levels_now VALUES ('C', 'oslo', 1, 0, 1, now())",
    "INSERT INTO levels_now_g2.levels_now VALUES ('A', 'mars', 1, 0, 2, now())",
]
ITEM_EDITS = [
    "UPDATE levels_now_g2.stock_items SET on_hand = on_hand + 1 WHERE item_id = 'A'",
    "UPDATE levels_now_g2.stock_items SET category = 'x' WHERE item_id = 'A'",
    "UPDATE levels_now_g2.stock_items SET empty = NOT empty WHERE item_id = 'B'",
    "DELETE FROM levels_now_g2.stock_items WHERE item_id = 'B'",
    "INSERT INTO levels_now_g2.stock_items (item_id) VALUES ('C')",
]


async def test_check_finds_each_edit(service: Service, deliver: Deliver, violations: Violations) -> None:
    await deliver(service, changed("A", oslo=(3, 0)), changed("B"), changed("A", oslo=(2, 0), rome=(1, 1)))
    assert await violations(service) == {}
    for edit in EDITS:
        assert (await violations(service, edit)).keys() == {NOT_THE_LEVELS.title}, edit
    await deliver(service, registered("A"))
    for edit in ITEM_EDITS:
        assert (await violations(service, edit)).keys() == {NOT_THE_ITEMS.title}, edit
