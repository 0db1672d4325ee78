"""Macros: canned acts with their texts, on a case or on all children of it."""

from typing import Any

import httpx
import pytest
from orders_of import placed

from crossdock_chassis import Service
from crossdock_chassis.testing import Deliver, Violations

SORRY = [{"do": "answer", "text": "We are sorry."}, {"do": "note", "text": "bad lot"}, {"do": "resolve"}]


@pytest.fixture
async def cases(service: Service, deliver: Deliver, staff: httpx.AsyncClient) -> list[str]:
    order = placed("C-1")
    await deliver(service, order)
    body = {"kind": "complaint", "subject": "s", "text": "t", "order_id": str(order.order_id)}
    await staff.put("/v1/macros/sorry", json={"acts": SORRY})
    return [(await staff.post("/v1/cases", json=body)).json()["id"] for _ in range(4)]


async def run(staff: httpx.AsyncClient, case: str, **body: Any) -> httpx.Response:
    return await staff.post(f"/v1/cases/{case}:run", json={"macro": "sorry", **body})


async def test_macro_does_all_acts_in_one_unit(
    service: Service, staff: httpx.AsyncClient, cases: list[str], violations: Violations
) -> None:
    assert (await run(staff, cases[0])).json() == {"cases": 1}
    shown = (await staff.get(f"/v1/cases/{cases[0]}")).json()
    assert [each["did"] for each in shown["history"]] == ["opened", "answered", "noted", "resolved"]
    assert (await run(staff, cases[0])).status_code == 409
    assert (await staff.get(f"/v1/cases/{cases[0]}")).json()["entries"] == 4, "nothing was done by half"
    assert await violations(service) == {}


async def test_macro_on_a_parent_answers_its_children(
    service: Service, staff: httpx.AsyncClient, cases: list[str], violations: Violations
) -> None:
    parent, *children = cases
    for each in children:
        await staff.post(f"/v1/cases/{each}:group", json={"parent": parent})
    await staff.post(f"/v1/cases/{children[0]}:resolve")
    assert (await run(staff, parent, children=True)).json() == {"cases": 2}
    statuses = [(await staff.get(f"/v1/cases/{each}")).json()["status"] for each in cases]
    assert statuses == ["new", "resolved", "resolved", "resolved"]
    assert await violations(service) == {}


async def test_macro_that_is_unknown_or_wrong_is_refused(staff: httpx.AsyncClient, cases: list[str]) -> None:
    assert (await run(staff, cases[0], macro="none")).status_code == 404
    answer = await staff.put("/v1/macros/bad", json={"acts": [{"do": "close"}]})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith("/acts/0")
    assert [each["name"] for each in (await staff.get("/v1/macros")).json()["items"]] == ["sorry"]
    assert (await staff.delete("/v1/macros/sorry")).json() == {"items": []}
    assert (await staff.delete("/v1/macros/sorry")).status_code == 404
