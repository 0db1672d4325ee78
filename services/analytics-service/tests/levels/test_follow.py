"""Levels as the last event of each item has them."""

import httpx
import pytest

from analytics_service.levels.checks import NOT_THE_LEVELS
from crossdock_chassis import Service
from crossdock_chassis.testing import Clients, Deliver, Violations
from crossdock_events.stock import Level, StockLevelChanged


def changed(item: str, **levels: tuple[int, int]) -> StockLevelChanged:
    shown = tuple(Level(location_id=name, on_hand=on_hand, reserved=held) for name, (on_hand, held) in levels.items())
    free = sum(each.on_hand - each.reserved for each in shown)
    return StockLevelChanged(item_id=item, levels=shown, available=free, causes=("receipt",))


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


EDITS = [
    "UPDATE levels_now_g2.levels_now SET on_hand = on_hand + 1 WHERE item_id = 'A'",
    "UPDATE levels_now_g2.levels_now SET changed_at = now() WHERE item_id = 'A'",
    "DELETE FROM levels_now_g2.levels_now WHERE item_id = 'A'",
    "INSERT INTO levels_now_g2.levels_now VALUES ('C', 'oslo', 1, 0, 1, now())",
    "INSERT INTO levels_now_g2.levels_now VALUES ('A', 'mars', 1, 0, 2, now())",
]


async def test_check_finds_each_edit(service: Service, deliver: Deliver, violations: Violations) -> None:
    await deliver(service, changed("A", oslo=(3, 0)), changed("B"), changed("A", oslo=(2, 0), rome=(1, 1)))
    assert await violations(service) == {}
    for edit in EDITS:
        assert (await violations(service, edit)).keys() == {NOT_THE_LEVELS.title}, edit
