"""Cases over HTTP, as partners and staff see them."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest
from orders_of import placed

from crm_service.cases.open import CaseDraft, OpenCase, Opened, open_cases
from crm_service.cases.views import get_many
from crossdock_chassis import Actor, Service, new_id
from crossdock_chassis.testing import Clients, Deliver, Violations, published
from crossdock_events import Cause
from crossdock_events.orders import OrderPlaced

COMPLAINT = {"kind": "complaint", "subject": "It is late", "text": "My order has not come.", "severity": "high"}


@pytest.fixture
async def order(service: Service, deliver: Deliver) -> OrderPlaced:
    """Return an order of acme's customer C-1 that crm-service knows."""
    one = placed("C-1")
    await deliver(service, one)
    return one


async def opened(client: httpx.AsyncClient, order: OrderPlaced, **more: Any) -> dict[str, Any]:
    answer = await client.post("/v1/cases", json={**COMPLAINT, "order_id": str(order.order_id), **more})
    assert answer.status_code == 201, answer.text
    case: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/cases/{case['id']}"
    return case


async def types(service: Service) -> list[str]:
    """Return the names of the published events of cases, in their order."""
    rows = [row for row in await published(service) if row["topic"] == "crossdock.cases.v1"]
    return [row["headers"]["ce_type"].split(".")[1] for row in rows]


async def test_complaint_runs_from_opened_to_closed(
    service: Service, order: OrderPlaced, partner: httpx.AsyncClient, staff: httpx.AsyncClient, violations: Violations
) -> None:
    case = await opened(partner, order, line_id="1", quantity=2)
    assert case["ties"] == [{"order_id": str(order.order_id), "line_id": "1", "quantity": 2}]
    url = f"/v1/cases/{case['id']}"
    for verb, body, status in (
        ("assign", {"to": "ann"}, "open"),
        ("note", {"text": "the carrier lost it"}, "open"),
        ("answer", {"text": "We send it again."}, "open"),
        ("wait", {"what": "customer"}, "waiting"),
        ("resume", None, "open"),
        ("resolve", None, "resolved"),
    ):
        answer = await staff.post(f"{url}:{verb}", json=body)
        assert (answer.status_code, answer.json()["status"]) == (200, status), answer.text
    reopened = (await partner.post(f"{url}:reply", json={"text": "Still nothing."})).json()
    assert reopened["status"] == "reopened"
    await staff.post(f"{url}:resolve")
    closed = (await staff.post(f"{url}:close", json={"root_cause": "lost_in_transit"})).json()
    assert (closed["status"], closed["root_cause"], closed["entries"]) == ("closed", "lost_in_transit", 10)
    names = ["Opened", "Tied", "Assigned", "Resolved", "Reopened", "Resolved", "Closed"]
    assert await types(service) == [f"Complaint{name}" for name in names]
    follows = (await partner.post(f"{url}:reply", json={"text": "Hello?"})).json()
    assert (follows["follows"], follows["status"], follows["subject"]) == (case["id"], "new", "It is late")
    again = (await partner.post(f"{url}:reply", json={"text": "Anybody?"})).json()
    assert (again["id"], again["entries"]) == (follows["id"], 2), "one case follows, not one for each reply"
    refused = await staff.post(f"{url}:answer", json={"text": "Hello."})
    assert (refused.status_code, refused.json()["case_status"]) == (409, "closed")
    seen = (await partner.get(url)).json()
    assert {each["did"] for each in seen["history"]} == {
        "opened",
        "answered",
        "waited",
        "resumed",
        "resolved",
        "replied",
        "closed",
    }
    assert seen["assignee"] is None and "'ann'" not in str(seen) and "carrier" not in str(seen)
    assert await violations(service) == {}


async def test_same_request_opens_one_case(order: OrderPlaced, partner: httpx.AsyncClient) -> None:
    body, key = {**COMPLAINT, "order_id": str(order.order_id)}, {"Idempotency-Key": "K"}
    first, again = [await partner.post("/v1/cases", json=body, headers=key) for _ in range(2)]
    assert first.json()["id"] == again.json()["id"] and again.headers["idempotent-replayed"] == "true"
    assert len((await partner.get("/v1/cases")).json()["items"]) == 1


async def test_reference_of_others_is_refused_with_its_pointer(
    service: Service, deliver: Deliver, order: OrderPlaced, partner: httpx.AsyncClient, clients: Clients
) -> None:
    theirs = placed("C-9", "globex")
    await deliver(service, theirs)
    other = clients(service, "globex", ["crm:read", "crm:write"])
    customer = (await other.get("/v1/customers")).json()["items"][0]["id"]
    mine = str(order.order_id)
    for pointer, body in {
        "/order_id": {"order_id": str(theirs.order_id)},
        "/customer_id": {"customer_id": customer},
        "/line_id": {"order_id": mine, "line_id": "9"},
    }.items():
        answer = await partner.post("/v1/cases", json=COMPLAINT | body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    for pointer, body in {
        "/order_id": {"order_id": mine, "customer_id": str(uuid4())},
        "/customer_id": {},
    }.items():
        answer = await partner.post("/v1/cases", json=COMPLAINT | body)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    answer = await partner.post("/v1/cases", json={**COMPLAINT, "line_id": "1"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/order_id")
    assert (await partner.get("/v1/cases")).json()["items"] == []


async def test_case_of_another_partner_is_not_found(
    service: Service, order: OrderPlaced, partner: httpx.AsyncClient, clients: Clients
) -> None:
    case = await opened(partner, order)
    other = clients(service, "globex", ["crm:read", "crm:write"])
    assert (await other.get(f"/v1/cases/{case['id']}")).status_code == 404
    assert (await other.post(f"/v1/cases/{case['id']}:reply", json={"text": "x"})).status_code == 404
    assert (await other.get("/v1/cases")).json()["items"] == []


async def test_verbs_of_staff_are_refused_for_partners(
    order: OrderPlaced, partner: httpx.AsyncClient, service: Service, clients: Clients
) -> None:
    case = await opened(partner, order)
    with_scope = clients(service, "acme", ["crm:staff", "crm:write"])
    for client in (partner, with_scope):
        assert (await client.post(f"/v1/cases/{case['id']}:resolve")).status_code == 403


async def test_staff_action_is_audited_without_words_of_the_case(
    order: OrderPlaced, staff: httpx.AsyncClient, service: Service
) -> None:
    case = await opened(staff, order)
    await staff.post(f"/v1/cases/{case['id']}:note", json={"text": "a secret"})
    async with service.database.unit() as unit:
        rows = await unit.sql.fetch(
            "SELECT who, action, target, before::text, after::text FROM operator_action ORDER BY id"
        )
    assert [(row["who"], row["action"]) for row in rows] == [("ann", "case:open"), ("ann", "case:noted")]
    assert json.loads(rows[0]["after"])["customer_id"] == case["customer_id"]
    assert "secret" not in str([tuple(row) for row in rows])


async def test_change_of_another_version_is_refused(order: OrderPlaced, staff: httpx.AsyncClient) -> None:
    case = await opened(staff, order)
    url = f"/v1/cases/{case['id']}:note"
    first = await staff.post(url, json={"text": "a"}, headers={"If-Match": '"1"'})
    second = await staff.post(url, json={"text": "b"}, headers={"If-Match": '"1"'})
    assert (first.status_code, first.headers["etag"], second.status_code) == (200, '"2"', 412)


async def test_360_has_the_cases_of_the_customer(order: OrderPlaced, partner: httpx.AsyncClient) -> None:
    case = await opened(partner, order)
    shown = (await partner.get(f"/v1/customers/{case['customer_id']}/360")).json()
    assert [(each["id"], each["number"], each["status"]) for each in shown["cases"]] == [(case["id"], 1, "new")]


async def test_each_tampering_with_a_case_is_reported(
    order: OrderPlaced, partner: httpx.AsyncClient, service: Service, violations: Violations
) -> None:
    await opened(partner, order)
    topic, history = "cases that differ from their topic", "cases that differ from their history"
    timers = "timers that differ from the history of their case"
    for edit, titles in (
        ("UPDATE cases SET version = 9", {topic}),
        ("UPDATE cases SET severity = 'low'", {topic}),
        ("DELETE FROM case_ties", {topic}),
        ("UPDATE cases SET status = 'closed'", {history}),
        ("DELETE FROM case_entries", {history, timers}),
        ("DELETE FROM case_timers WHERE clock = 'resolution'", {timers}),
        ("UPDATE cases SET entries = 2", {history}),
        ("UPDATE cases SET level = 1", {"escalations that are not one per step"}),
        ("DELETE FROM cases", {topic}),
    ):
        assert (await violations(service, edit)).keys() == titles, edit


async def test_statements_do_not_grow_with_the_number_of_cases(service: Service, order: OrderPlaced) -> None:
    draft = CaseDraft.model_validate({**COMPLAINT, "order_id": str(order.order_id)})
    counts = []
    for number in (2, 40):
        statements = list[object]()
        async with service.database.unit() as unit:
            with unit.sql.query_logger(statements.append):
                opened = await open_cases(unit, number * [OpenCase(draft, "acme", Actor("x"), Cause(new_id()))])
                ids = [each.case_id for each in opened if isinstance(each, Opened)]
                seen = await get_many(unit.sql, [("acme", id) for id in ids] + [("globex", ids[0])])
        assert len(seen) == number
        counts.append(len(statements))
    assert counts[0] == counts[1]
