"""Orders of all partners as their events leave them."""

from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest

from analytics_service.orders import views
from analytics_service.orders.checks import NOT_THE_ORDERS
from crossdock_chassis import Service, new_id
from crossdock_chassis.testing import Clients, Deliver, Violations, envelope_of
from crossdock_events.orders import (
    OrderBackordered,
    OrderCancelled,
    OrderConfirmed,
    OrderLine,
    OrderPlaced,
    OrderRedacted,
    OrderRejected,
    RefusedLine,
    WaitingLine,
)


@pytest.fixture
def operator(service: Service, clients: Clients) -> httpx.AsyncClient:
    return clients(service, partner="", scopes=("ops:read",))


def placed(order_id: UUID, partner: str = "acme", *lines: tuple[str, int]) -> OrderPlaced:
    made = [
        OrderLine(line_id=str(n), item_id=item, quantity=quantity, amount=Decimal("1.50"))
        for n, (item, quantity) in enumerate(lines or (("SKU-1", 2), ("SKU-2", 3)), start=1)
    ]
    return OrderPlaced(
        order_id=order_id,
        partner=partner,
        reference=f"PO-{order_id}",
        channel="api",
        priority=5,
        partial=False,
        currency="EUR",
        lines=tuple(made),
        total=Decimal("3.00"),
    )


def named(order_id: UUID, partner: str = "acme") -> dict[str, Any]:
    return {"order_id": order_id, "partner": partner, "reference": f"PO-{order_id}"}


def backordered(order_id: UUID, *lines: tuple[str, str, int]) -> OrderBackordered:
    waiting = [
        WaitingLine(line_id=line, item_id=item, requested=9, reserved=9 - missing, backordered=missing)
        for line, item, missing in lines
    ]
    return OrderBackordered(**named(order_id), lines=tuple(waiting))


async def listed(operator: httpx.AsyncClient, **filters: Any) -> list[dict[str, Any]]:
    answer = await operator.get("/v1/orders", params=filters)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_order_is_shown_with_its_status(service: Service, deliver: Deliver, operator: httpx.AsyncClient) -> None:
    first, second = new_id(), new_id()
    await deliver(service, placed(first), placed(second, "globex"))
    assert [each["id"] for each in await listed(operator)] == [str(second), str(first)]
    await deliver(service, OrderConfirmed(**named(first)))
    (shown,) = await listed(operator, partner="acme")
    assert (shown["status"], shown["version"], shown["lines"], shown["units"]) == ("confirmed", 2, 2, 5)
    assert (shown["total"], shown["currency"], shown["priority"]) == ("3.00", "EUR", 5)
    assert shown["since"] > shown["placed_at"]
    assert [each["id"] for each in await listed(operator, status="placed")] == [str(second)]


async def test_redaction_changes_only_the_version(
    service: Service, deliver: Deliver, operator: httpx.AsyncClient, violations: Violations
) -> None:
    order = new_id()
    await deliver(service, placed(order), OrderCancelled(**named(order), reason="too_slow"))
    (before,) = await listed(operator)
    await deliver(service, OrderRedacted(**named(order), parts=("notes",)))
    assert await listed(operator) == [before | {"version": 3}]
    assert await violations(service) == {}


async def test_backorders_are_listed_by_item(service: Service, deliver: Deliver, operator: httpx.AsyncClient) -> None:
    first, second = new_id(), new_id()
    await deliver(service, placed(first), placed(second))
    await deliver(service, backordered(first, ("1", "SKU-1", 2), ("2", "SKU-2", 0)))
    await deliver(service, backordered(second, ("1", "SKU-1", 4), ("2", "SKU-2", 1)))
    page = (await operator.get("/v1/backorders")).json()["items"]
    assert [(each["item_id"], each["orders"], each["units_missing"]) for each in page] == [
        ("SKU-1", 2, 6),
        ("SKU-2", 1, 1),
    ]
    assert {each["id"] for each in await listed(operator, waiting_item="SKU-2")} == {str(second)}
    since = (await listed(operator, waiting_item="SKU-2"))[0]["since"]
    await deliver(service, backordered(second, ("1", "SKU-1", 4)))
    (shown,) = [each for each in await listed(operator) if each["id"] == str(second)]
    assert shown["since"] == since, "it still waits"
    await deliver(service, OrderConfirmed(**named(first)), OrderCancelled(**named(second), reason="no_answer"))
    assert (await operator.get("/v1/backorders")).json()["items"] == []
    assert {each["reason"] for each in await listed(operator, status="cancelled")} == {"no_answer"}


async def test_pages_have_each_order_once(service: Service, deliver: Deliver, operator: httpx.AsyncClient) -> None:
    ids = [new_id() for _ in range(7)]
    await deliver(service, *(placed(each) for each in ids))
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
        page = (await operator.get("/v1/orders", params=params)).json()
        seen += [each["id"] for each in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert seen == [str(each) for each in reversed(ids)]


async def test_each_filter_selects_its_orders(service: Service, deliver: Deliver, operator: httpx.AsyncClient) -> None:
    first, second, third, fourth = (new_id() for _ in range(4))
    await deliver(service, placed(first), placed(second, "globex"))
    await deliver(service, placed(third, "globex"), placed(fourth))
    await deliver(service, OrderConfirmed(**named(first)), backordered(third, ("1", "SKU-1", 4)))

    async def ids(**filters: Any) -> list[UUID]:
        return [UUID(each["id"]) for each in await listed(operator, **filters)]

    assert await ids(waiting="true") == [fourth, third, second]
    assert await ids(waiting="true", sort="oldest") == [second, third, fourth]
    assert await ids(waiting="true", partner="globex", sort="oldest", limit="1") == [second]
    assert await ids(waiting="false") == [first]
    assert await ids(waiting="false", status="placed") == []
    assert await ids(reference=f"PO-{second}") == [second]
    assert await ids(order_id=[str(first), str(third)]) == [third, first]
    shown = await listed(operator, order_id=str(third))
    assert third in await ids(placed_since=shown[0]["placed_at"])
    assert third not in await ids(placed_before=shown[0]["placed_at"])


async def test_orders_are_counted_by_status(service: Service, deliver: Deliver, operator: httpx.AsyncClient) -> None:
    ids = [new_id() for _ in range(4)]
    await deliver(service, *(placed(each) for each in ids[:3]), placed(ids[3], "globex"))
    await deliver(service, OrderConfirmed(**named(ids[0])), backordered(ids[1], ("1", "SKU-1", 4)))

    async def counted(**filters: str) -> dict[str, int]:
        answer = (await operator.get("/v1/orders/counts", params=filters)).json()["items"]
        assert all(each["complete"] for each in answer)
        return {each["status"]: each["orders"] for each in answer if each["orders"]}

    assert await counted() == {"placed": 2, "confirmed": 1, "backordered": 1}
    assert await counted(partner="acme") == {"placed": 1, "confirmed": 1, "backordered": 1}
    assert await counted(waiting="true", waiting_item="SKU-1") == {"backordered": 1}
    assert await counted(status="placed", waiting="false") == {}


async def test_more_orders_than_are_counted_are_not_all(
    service: Service, deliver: Deliver, operator: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "MOST_COUNTED", 2)
    await deliver(service, *(placed(new_id()) for _ in range(3)))
    (shown,) = [each for each in (await operator.get("/v1/orders/counts")).json()["items"] if each["orders"]]
    assert shown == {"status": "placed", "orders": 2, "complete": False}


GARBAGE = [
    {"status": "x"},
    {"waiting": "maybe"},
    {"partner": ""},
    {"reference": "x" * 65},
    {"order_id": "x"},
    {"sort": "x"},
    {"placed_since": "yesterday"},
    {"placed_before": "2026-07-01T12:00:00"},
    {"cursor": "x"},
    {"unknown": "1"},
]


@pytest.mark.parametrize("params", GARBAGE)
async def test_garbage_in_a_filter_is_refused(operator: httpx.AsyncClient, params: dict[str, str]) -> None:
    for path in ("/v1/orders", "/v1/orders/counts"):
        answer = await operator.get(path, params=params)
        assert answer.status_code in (400, 422), answer.text
        assert answer.json()["type"].startswith("urn:crossdock:problem:")


async def test_order_without_its_placement_is_shown(
    service: Service, deliver: Deliver, operator: httpx.AsyncClient
) -> None:
    """The event of the placement was set aside as a dead letter, and is handled later."""
    order_id = new_id()
    await deliver(service, envelope_of(OrderConfirmed(**named(order_id)), sequence=2))
    (shown,) = await listed(operator)
    assert (shown["status"], shown["total"]) == ("confirmed", None)


@pytest.mark.parametrize("who", [("acme", ("events:read", "orders:read")), ("", ("ops:act",))])
async def test_lists_need_the_scope_of_operators(
    service: Service, clients: Clients, who: tuple[str, tuple[str, ...]]
) -> None:
    client = clients(service, partner=who[0], scopes=who[1])
    for path in ("/v1/orders", "/v1/orders/counts", "/v1/backorders", "/v1/levels", "/v1/stock"):
        assert (await client.get(path)).status_code == 403


@pytest.mark.parametrize("together", [True, False])
async def test_order_waits_since_its_first_event_of_a_batch(
    service: Service, deliver: Deliver, violations: Violations, together: bool
) -> None:
    """A consumer may read both events in one batch or in two. The order has the same row then."""
    order_id = new_id()
    events = [backordered(order_id, ("1", "SKU-1", 4)), backordered(order_id, ("1", "SKU-1", 2))]
    await deliver(service, placed(order_id))
    for batch in [events] if together else [[each] for each in events]:
        await deliver(service, *batch)
    assert await violations(service) == {}


EDITS = [
    "UPDATE {orders} SET status = 'placed'",
    "UPDATE {orders} SET since = since + interval '1 ms'",
    "UPDATE {orders} SET units = 1",
    "UPDATE {orders} SET partner = 'x'",
    "UPDATE {orders} SET reason = 'x'",
    "DELETE FROM {orders}",
    "DELETE FROM {lines}",
    "UPDATE {lines} SET backordered = backordered + 1",
    "INSERT INTO {lines} VALUES (gen_random_uuid(), '1', 'x', 1, 0, 1)",
    "INSERT INTO {orders} SELECT gen_random_uuid(), 'x', 'x', 'placed', now(), now(), 1",
]


async def test_check_finds_each_edit(service: Service, deliver: Deliver, violations: Violations) -> None:
    ids = [new_id() for _ in range(5)]
    await deliver(service, *(placed(each) for each in ids))
    await deliver(
        service,
        OrderConfirmed(**named(ids[0])),
        backordered(ids[1], ("2", "SKU-2", 1), ("1", "SKU-1", 4)),
        OrderRejected(
            **named(ids[2]),
            reason="unknown_item",
            lines=(RefusedLine(line_id="1", item_id="SKU-1", reason="unknown_item"),),
        ),
        OrderCancelled(**named(ids[3]), reason="partner_request"),
    )
    await deliver(service, OrderCancelled(**named(ids[1]), reason="other"), backordered(ids[4], ("1", "SKU-1", 4)))
    assert await violations(service) == {}
    for edit in EDITS:
        schema = "orders_now_g1."
        statement = edit.format(orders=f"{schema}orders_now", lines=f"{schema}waiting_lines")
        assert (await violations(service, statement)).keys() == {NOT_THE_ORDERS.title}, edit
