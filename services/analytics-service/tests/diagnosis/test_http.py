"""The diagnosis of an order over HTTP, with services that answer, are away or broken."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from behind import Behind, answering
from orders.test_follow import backordered, placed
from records import keep, record
from starlette.responses import JSONResponse, Response

from analytics_service.service import Settings, build
from crossdock_chassis import Service, new_id
from crossdock_chassis.testing import Clients, Deliver, Fresh

SHOWN: dict[str, Any] = {
    "status": "backordered",
    "version": 2,
    "placed_at": "2026-03-01T12:00:00Z",
    "decided_at": "2026-03-01T12:00:01Z",
    "partial": False,
    "reason": None,
    "waiting": {"since": "2026-03-01T12:00:01Z", "until": "2026-03-15T12:00:01Z", "lines": []},
}
LACKING: dict[str, Any] = {"line_id": "1", "item_id": "KEG/30 L", "requested": 9, "reserved": 4, "missing": 5}
TURN: dict[str, Any] = {
    **LACKING,
    "orders_ahead": 2,
    "units_ahead": 7,
    "complete": True,
    "available": 0,
    "discontinued": False,
}
QUEUE: dict[str, Any] = {
    "status": "waiting",
    "version": 1,
    "changed_at": "2026-03-01T12:00:01Z",
    "partial": False,
    "lines": [TURN],
    "lines_left_out": 0,
}


@pytest.fixture
async def behind() -> Behind:
    return Behind()


@pytest.fixture
async def service(fresh: Fresh, behind: Behind) -> AsyncIterator[Service]:
    async with answering(behind) as url:
        yield await fresh(build, Settings, services={"order-service": url, "inventory-service": url})


@pytest.fixture
def operator(service: Service, clients: Clients) -> httpx.AsyncClient:
    return clients(service, None, ["ops:read"], subject="ann")


async def explained(operator: httpx.AsyncClient, order: UUID) -> dict[str, Any]:
    answer = await operator.get(f"/v1/orders/{order}/diagnosis")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_order_is_explained_from_what_services_answer(
    service: Service, operator: httpx.AsyncClient, behind: Behind
) -> None:
    order = new_id()
    behind.answers[f"/v1/orders/{order}"] = SHOWN
    behind.answers[f"/v1/reservations/{order}/queue"] = QUEUE
    await keep(service, record(placed(order)), record(backordered(order, ("1", "KEG/30 L", 5)), sequence=2))
    found = await explained(operator, order)
    assert found["what"]["code"] == "waits_for_stock"
    assert [each["code"] for each in found["notes"]] == ["log_not_running"], "no test here has a worker"
    assert found["why"]["sentence"] == "For KEG/30 L, 2 orders with 7 missing units come first."
    assert (found["next"]["code"], found["next"]["at"]) == ("served_or_expires", "2026-03-15T12:00:01Z")
    assert found["lines"] == [TURN]
    assert [each["code"] for each in found["actions"]] == ["receive", "cancel"]
    assert behind.tokens == {operator.headers["authorization"]}


async def test_order_is_explained_while_services_are_away(
    service: Service, deliver: Deliver, operator: httpx.AsyncClient, behind: Behind
) -> None:
    """The log and its projections still show what the order waits for."""
    order = new_id()
    for path in (f"/v1/orders/{order}", f"/v1/reservations/{order}/queue", "/v1/operations"):
        behind.answers[path] = JSONResponse({}, 503)
    events = placed(order), backordered(order, ("1", "SKU-1", 5))
    await keep(service, *(record(each, sequence=n) for n, each in enumerate(events, start=1)))
    found = await explained(operator, order)
    assert (found["status"], found["what"]["data"].get("item_id")) == ("backordered", None), "not yet projected"
    await deliver(service, *events)
    found = await explained(operator, order)
    assert (found["what"]["code"], found["what"]["data"]["item_id"]) == ("waits_for_stock", "SKU-1")
    assert found["why"]["code"] == "place_unknown"
    notes = [(each["code"], each["data"].get("service")) for each in found["notes"]]
    silent = [("service_silent", "inventory-service"), ("service_silent", "order-service")]
    assert notes[:3] == [*silent, ("status_from_events", None)]


async def test_order_that_nobody_knows_is_not_found(operator: httpx.AsyncClient, behind: Behind) -> None:
    answer = await operator.get(f"/v1/orders/{new_id()}/diagnosis")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:crossdock:problem:no-such-order")
    order = new_id()
    behind.answers[f"/v1/orders/{order}"] = JSONResponse({}, 500)
    answer = await operator.get(f"/v1/orders/{order}/diagnosis")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "HTTP 500" in answer.json()["detail"]


BROKEN: dict[str, tuple[str, Any]] = {
    "garbage": ("/v1/orders/{}", Response(b"\xff{", media_type="application/json")),
    "unknown status": ("/v1/orders/{}", {**SHOWN, "status": "lost"}),
    "no lines": ("/v1/reservations/{}/queue", {**QUEUE, "lines": None}),
    "other queue": ("/v1/reservations/{}/queue", {**QUEUE, "status": "new", "lines": []}),
    "no outbox": ("/v1/operations", {}),
    "not a page": ("/v1/dead-letters", []),
}


@pytest.mark.parametrize(("path", "answer"), BROKEN.values(), ids=BROKEN)
async def test_broken_answers_leave_the_rest(
    service: Service, operator: httpx.AsyncClient, behind: Behind, path: str, answer: Any
) -> None:
    order = new_id()
    behind.answers[f"/v1/orders/{order}"] = SHOWN
    behind.answers[f"/v1/reservations/{order}/queue"] = QUEUE
    behind.answers[path.format(order)] = answer
    await keep(service, record(placed(order)), record(backordered(order, ("1", "SKU-1", 5)), sequence=2))
    found = await explained(operator, order)
    assert (found["status"], found["what"]["code"]) == ("backordered", "waits_for_stock")


async def test_garbage_and_partners_are_refused(
    service: Service, operator: httpx.AsyncClient, clients: Clients
) -> None:
    for garbage in ("x", "%00", "1" * 300):
        assert (await operator.get(f"/v1/orders/{garbage}/diagnosis")).status_code in (400, 404, 422)
    partner = clients(service, scopes=["orders:read", "events:read"])
    assert (await partner.get(f"/v1/orders/{new_id()}/diagnosis")).status_code == 403
