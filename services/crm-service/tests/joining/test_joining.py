"""Cases that are merged, split and grouped, and returns that they ask for."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from orders_of import placed

from crossdock_chassis import Service
from crossdock_chassis.testing import Clients, Deliver, Violations, published
from crossdock_events.orders import OrderPlaced

COMPLAINT = {"kind": "complaint", "subject": "It is late", "text": "My order has not come."}


@pytest.fixture
async def order(service: Service, deliver: Deliver) -> OrderPlaced:
    one = placed("C-1")
    await deliver(service, one)
    return one


async def opened(client: httpx.AsyncClient, order: OrderPlaced, **more: Any) -> str:
    answer = await client.post("/v1/cases", json={**COMPLAINT, "order_id": str(order.order_id), **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def act(client: httpx.AsyncClient, case: str, verb: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(f"/v1/cases/{case}:{verb}", json=body or None)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def sent(service: Service, case: str) -> list[tuple[str, dict[str, Any]]]:
    """Return names and data of the events of a case."""
    rows = [row for row in await published(service) if row["key"].decode() == case]
    return [(row["headers"]["ce_type"].split(".")[1], json.loads(row["value"])) for row in rows]


async def test_merged_case_hands_its_orders_and_replies_to_the_other(
    service: Service,
    deliver: Deliver,
    order: OrderPlaced,
    staff: httpx.AsyncClient,
    partner: httpx.AsyncClient,
    violations: Violations,
) -> None:
    second = placed("C-1", reference="PO-2")
    await deliver(service, second)
    one, other = await opened(partner, order), await opened(partner, second)
    into = await act(staff, one, "merge", into=other)
    assert (into["id"], len(into["ties"]), into["status"]) == (other, 2, "new")
    merged = (await partner.get(f"/v1/cases/{one}")).json()
    assert (merged["status"], merged["merged_into"]) == ("merged", other)
    assert {each["state"] for each in merged["clocks"]} == {"met"}, "its clocks have stopped"
    replied = await act(partner, one, "reply", text="Any news?")
    assert (replied["id"], replied["history"][-1]["text"]) == (other, "Any news?")
    assert [name for name, _ in await sent(service, one)][-1] == "ComplaintMerged"
    assert [name for name, _ in await sent(service, other)] == ["ComplaintOpened", "ComplaintTied", "ComplaintTied"]
    assert await violations(service) == {}


async def test_cases_of_two_customers_are_not_merged(
    service: Service, deliver: Deliver, order: OrderPlaced, staff: httpx.AsyncClient
) -> None:
    theirs = placed("C-2", reference="PO-2")
    await deliver(service, theirs)
    one, other = await opened(staff, order), await opened(staff, theirs)
    for into in (other, one, "019c0000-0000-7000-8000-000000000001"):
        answer = await staff.post(f"/v1/cases/{one}:merge", json={"into": into})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/into")
    async with service.database.unit() as unit:  # the customers are found to be one
        await unit.sql.execute("UPDATE customers SET root = (SELECT min(id::text)::uuid FROM customers)")
    assert (await act(staff, one, "merge", into=other))["id"] == other


async def test_merge_both_ways_at_once_merges_one(order: OrderPlaced, staff: httpx.AsyncClient) -> None:
    one, other = await opened(staff, order), await opened(staff, order)
    answers = await asyncio.gather(
        staff.post(f"/v1/cases/{one}:merge", json={"into": other}),
        staff.post(f"/v1/cases/{other}:merge", json={"into": one}),
    )
    assert sorted(each.status_code for each in answers) == [200, 409]


async def test_reply_follows_a_chain_of_merges(order: OrderPlaced, staff: httpx.AsyncClient) -> None:
    first, second, third = [await opened(staff, order) for _ in range(3)]
    await act(staff, first, "merge", into=second)
    await act(staff, second, "merge", into=third)
    assert (await act(staff, first, "reply", text="Hello"))["id"] == third


async def test_split_begins_a_case_of_the_same_customer(
    service: Service, order: OrderPlaced, staff: httpx.AsyncClient, violations: Violations
) -> None:
    one = await opened(staff, order)
    concerns = [{"order_id": str(order.order_id), "line_id": "1", "quantity": 1}]
    new = await act(staff, one, "split", subject="And it is broken", text="One is broken.", concerns=concerns)
    assert (new["split_from"], new["subject"], new["ties"]) == (one, "And it is broken", concerns)
    assert [each["did"] for each in (await staff.get(f"/v1/cases/{one}")).json()["history"]] == ["opened", "split"]
    bad = [{"order_id": str(order.order_id), "line_id": "9"}]
    answer = await staff.post(f"/v1/cases/{one}:split", json={"subject": "s", "text": "t", "concerns": bad})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/concerns/0/line_id")
    assert await violations(service) == {}


async def test_parent_groups_cases_and_is_hidden_from_partners(
    order: OrderPlaced, staff: httpx.AsyncClient, partner: httpx.AsyncClient
) -> None:
    parent, *children = [await opened(partner, order) for _ in range(3)]
    for each in children:
        assert (await act(staff, each, "group", parent=parent))["parent"] == parent
    assert (await staff.get(f"/v1/cases/{parent}")).json()["children"] == 2
    listed = (await staff.get("/v1/cases", params={"parent": parent})).json()["items"]
    assert {each["id"] for each in listed} == set(children)
    answer = await staff.post(f"/v1/cases/{parent}:group", json={"parent": children[0]})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/parent")
    seen = (await partner.get(f"/v1/cases/{children[0]}")).json()
    assert seen["parent"] is None and "grouped" not in str(seen["history"])
    assert (await act(staff, children[0], "group", parent=None))["parent"] is None


async def test_return_is_asked_for_with_its_parts(
    service: Service, order: OrderPlaced, staff: httpx.AsyncClient
) -> None:
    one = await opened(staff, order)
    body = {"order_id": str(order.order_id), "reason": "damaged", "wish": "refund"}
    await act(staff, one, "ask-return", parts=[{"line_id": "1", "quantity": 2.0}], **body)
    name, data = (await sent(service, one))[-1]
    assert name == "ComplaintReturnAsked" and data["parts"] == [{"line_id": "1", "quantity": 2}]
    answer = await staff.post(f"/v1/cases/{one}:ask-return", json={**body, "parts": [{"line_id": "9", "quantity": 2}]})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/line_id")
    enquiry = await opened(staff, order, kind="enquiry")
    answer = await staff.post(
        f"/v1/cases/{enquiry}:ask-return", json={**body, "parts": [{"line_id": "1", "quantity": 2}]}
    )
    assert answer.status_code == 422


async def test_complaint_is_tied_to_each_thing_in_one_unit(
    service: Service, deliver: Deliver, order: OrderPlaced, staff: httpx.AsyncClient
) -> None:
    second = placed("C-1", reference="PO-2")
    await deliver(service, second)
    also = [{"order_id": str(second.order_id), "line_id": "1", "quantity": 1}, {"order_id": str(order.order_id)}]
    case = await opened(staff, order, line_id="1", also=also)
    events = await sent(service, case)
    assert [name for name, _ in events] == ["ComplaintOpened", *["ComplaintTied"] * 3]
    theirs = placed("C-2", reference="PO-3")
    await deliver(service, theirs)
    body = {**COMPLAINT, "order_id": str(order.order_id), "also": [{"order_id": str(theirs.order_id)}]}
    answer = await staff.post("/v1/cases", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/also/0/order_id")


async def test_two_clerks_on_one_case_do_not_overwrite_each_other(
    service: Service, order: OrderPlaced, clients: Clients
) -> None:
    ann, ben = [clients(service, None, ["crm:staff"], subject=name) for name in ("ann", "ben")]
    one = await opened(ann, order)
    answers = await asyncio.gather(
        *(
            clerk.post(f"/v1/cases/{one}:answer", json={"text": "Hello"}, headers={"If-Match": '"1"'})
            for clerk in (ann, ben)
        )
    )
    assert sorted(each.status_code for each in answers) == [200, 412]


async def test_reply_against_close_is_kept_in_one_case(
    order: OrderPlaced, staff: httpx.AsyncClient, violations: Violations, service: Service
) -> None:
    for _ in range(5):
        one = await opened(staff, order)
        await act(staff, one, "resolve")
        reply, close = await asyncio.gather(
            staff.post(f"/v1/cases/{one}:reply", json={"text": "No!"}),
            staff.post(f"/v1/cases/{one}:close", json={"root_cause": "lost"}),
        )
        found = reply.json()
        reopened, followed = found["id"] == one, found["follows"] == one
        assert (reopened, followed, close.status_code) in ((True, False, 409), (False, True, 200))
        assert "No!" in [each["text"] for each in found["history"]]
    assert await violations(service) == {}
