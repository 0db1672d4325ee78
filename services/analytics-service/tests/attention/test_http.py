"""What needs attention over HTTP, with services that answer, are away, slow or broken."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from behind import Behind, answering
from orders.test_follow import backordered, placed
from starlette.responses import JSONResponse, Response

from analytics_service import asking
from analytics_service.service import Settings, build
from crossdock_chassis import Service, new_id
from crossdock_chassis.testing import Clients, Deliver, Fresh


@pytest.fixture
async def behind() -> Behind:
    return Behind()


@pytest.fixture
async def service(fresh: Fresh, behind: Behind) -> AsyncIterator[Service]:
    async with answering(behind) as url:
        yield await fresh(build, Settings, services={"behind": url})


@pytest.fixture
def operator(service: Service, clients: Clients) -> httpx.AsyncClient:
    return clients(service, None, ["ops:read"], subject="ann")


async def shown(operator: httpx.AsyncClient) -> dict[str, Any]:
    answer = await operator.get("/v1/attention")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    # No test here has a broker.
    assert [row.pop("cause") for row in found["rows"] if row["cause"] == "broker_away"] == ["broker_away"]
    found["rows"] = [row for row in found["rows"] if "cause" in row]
    return found


async def test_nothing_to_do_says_what_was_checked(operator: httpx.AsyncClient, behind: Behind) -> None:
    found = await shown(operator)
    assert found["rows"] == []
    checked = {each["what"]: each["answered"] for each in found["checked"]}
    parts = {"behind/operations": True, "behind/dead-letters": True, "behind/stopped": True}
    assert checked == {"orders": True, "backorders": True, "broker": False, **parts}
    assert behind.tokens == {operator.headers["authorization"]}


async def test_waiting_orders_are_summed_by_item(
    service: Service, deliver: Deliver, operator: httpx.AsyncClient
) -> None:
    first, second = new_id(), new_id()
    await deliver(service, placed(first), placed(second, "globex"))
    await deliver(
        service, backordered(first, ("1", "SKU-1", 2), ("2", "SKU-2", 3)), backordered(second, ("1", "SKU-1", 1))
    )
    rows = (await shown(operator))["rows"]
    found = {row["subject"]: (row["count"], row["value"]["units"], row["value"]["amounts"]) for row in rows}
    assert found == {"SKU-1": (2, 3, {"EUR": "6.00"}), "SKU-2": (1, 3, {"EUR": "3.00"})}
    # The total of an order is unknown without its placement, and so is the sum.
    await deliver(service, backordered(new_id(), ("1", "SKU-2", 1)))
    rows = (await shown(operator))["rows"]
    assert {row["subject"]: row["value"]["amounts"] for row in rows}["SKU-2"] is None


async def test_an_order_without_an_answer_is_overdue(
    service: Service, deliver: Deliver, operator: httpx.AsyncClient
) -> None:
    order = new_id()
    await deliver(service, placed(order), placed(new_id()))
    assert (await shown(operator))["rows"] == []
    async with service.database.unit() as unit:
        await unit.sql.execute(
            "UPDATE orders_now SET placed_at = now() - interval '1 minute' WHERE order_id = $1", order
        )
    (row,) = (await shown(operator))["rows"]
    assert (row["cause"], row["count"], row["value"]["amounts"]) == ("answer_overdue", 1, {"EUR": "3.00"})


BROKEN: dict[str, tuple[Any, str]] = {
    "garbage": (Response(b"\xff{", media_type="application/json"), "another form"),
    "another form": ({"items": [{"id": "x"}]}, "another form"),
    "a refusal": (JSONResponse({}, 403), "HTTP 403"),
    "a redirect": (Response(status_code=307, headers={"location": "http://127.0.0.1:1/"}), "HTTP 307"),
    "too large": (Response(b" " * (asking.MAX_BYTES + 1), media_type="application/json"), "bytes"),
}


@pytest.mark.parametrize(("answer", "reason"), BROKEN.values(), ids=BROKEN)
async def test_a_broken_answer_is_a_silent_service(
    operator: httpx.AsyncClient, behind: Behind, answer: Any, reason: str
) -> None:
    behind.answers["/v1/stopped"] = answer
    found = await shown(operator)
    (row,) = found["rows"]
    assert (row["cause"], row["service"]) == ("service_silent", "behind") and reason in row["detail"]
    assert [each["what"] for each in found["checked"] if not each["answered"]] == ["broker", "behind/stopped"]


async def test_a_slow_service_is_silent_in_time(
    operator: httpx.AsyncClient, behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "SECONDS", 0.2)
    behind.slow = 5.0
    started = asyncio.get_running_loop().time()
    (row,) = (await shown(operator))["rows"]
    assert (row["cause"], row["detail"]) == ("service_silent", "no answer within 0.2 s")
    assert asyncio.get_running_loop().time() - started < 4


async def test_a_partner_sees_nothing(service: Service, clients: Clients) -> None:
    answer = await clients(service, scopes=["orders:read", "events:read"]).get("/v1/attention")
    assert answer.status_code == 403
