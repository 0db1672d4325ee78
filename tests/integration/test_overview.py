"""The page of a customer equals a fold of the topics: after events, a rebuild, a merge and an un-merge."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from commanding import crossdock
from harness import CRM, Harness, eventually, order

from crossdock_events import CATALOGUE, Envelope, Event
from crossdock_events.cases import CaseBegan, CaseEvent, ComplaintAssigned, ComplaintEscalated, ComplaintTied
from crossdock_events.customers import (
    ConsentChanged,
    CustomerEvent,
    CustomerRegistered,
    CustomersMerged,
    CustomersUnmerged,
)
from crossdock_events.orders import OrderBackordered, OrderCancelled, OrderConfirmed, OrderEvent, OrderPlaced

TOPICS = [each.topic.name for each in (OrderPlaced, CustomerRegistered, CaseBegan)]
STATUS = {OrderConfirmed: "confirmed", OrderBackordered: "backordered", OrderCancelled: "cancelled"}
Body = dict[str, Any]


async def envelopes(harness: Harness) -> list[Envelope[Event]]:
    """Return all events of the three topics, each once, in the order of their keys and sequences."""
    log, found = await harness.log(*TOPICS), dict[tuple[str, str, int], Envelope[Event]]()
    for topic in TOPICS:
        for key, entries in log.by_key(topic).items():
            for entry in entries:
                if isinstance(each := CATALOGUE.decode(entry.message), Envelope):
                    found[topic, key, each.sequence] = each
    return [found[place] for place in sorted(found)]


def folded(events: Iterable[Envelope[Event]], id: str) -> Body:
    """Return what the page of a customer must show, from the events alone."""
    customers = defaultdict[str, Body](lambda: {"root": None, "links": set(), "consents": {}, "version": 0})
    orders, cases = defaultdict[str, Body](dict), defaultdict[str, Body](lambda: {"level": 0, "ties": 0})
    for each in events:
        match each.event:
            case CustomerEvent() as event:
                _follow_customer(customers[str(event.customer_id)], each, event)
            case OrderEvent() as event:
                _follow_order(orders[str(event.order_id)], each, event)
            case CaseEvent() as event:
                _follow_case(cases[str(event.case_id)], event)
    members = [name for name, own in customers.items() if name == id or own["root"] == id]
    links = {link for name in members for link in customers[name]["links"]}
    said = [pair for name in members for pair in customers[name]["consents"].items()]
    mine = [(name, own) for name, own in orders.items() if own.get("link") in links]
    return {
        "version": customers[id]["version"],
        "merged": sorted(set(members) - {id}),
        "links": sorted(links),
        "consents": {key: "withdrawn" if (key, "withdrawn") in said else state for key, state in said},
        "orders": {name: {key: value for key, value in own.items() if key != "link"} for name, own in mine},
        "cases": {name: {**own, "customer": id} for name, own in cases.items() if own["customer"] in members},
    }


def _follow_customer(own: Body, envelope: Envelope[Event], event: CustomerEvent) -> None:
    own["version"] = envelope.sequence
    match event:
        case CustomerRegistered(partner=partner, external_id=external_id) if external_id is not None:
            own["links"].add((partner, external_id))
        case CustomersMerged(into=into):
            own["root"] = str(into)
        case CustomersUnmerged():
            own["root"] = None
        case ConsentChanged(purpose=purpose, channel=channel, state=state):
            own["consents"][f"{purpose} {channel}"] = state


def _follow_order(own: Body, envelope: Envelope[Event], event: OrderEvent) -> None:
    status, waits = STATUS.get(type(event)), list[tuple[str, int]]()
    if isinstance(event, OrderPlaced):
        status, own["link"] = "placed", (event.partner, event.customer_id)
        own |= {"reference": event.reference, "total": str(event.total), "lines": len(event.lines)}
    elif isinstance(event, OrderBackordered):
        waits = [(line.item_id, line.backordered) for line in event.lines if line.backordered]
    if status is not None:
        since = own["since"] if own.get("status") == status else envelope.time
        own |= {"waits_for": waits, "status": status, "since": since}


def _follow_case(own: Body, event: CaseEvent) -> None:
    own["customer"] = str(event.customer_id)
    match event:
        case CaseBegan():
            own |= {"channel": event.channel, "severity": event.severity, "partner": event.partner}
        case ComplaintEscalated(level=level):
            own["level"] = level
        case ComplaintTied():
            own["ties"] += 1
        case ComplaintAssigned():
            own["assigned"] = True


def shown(page: Body, ties: dict[str, int]) -> Body:
    """Return the same of the page of a customer."""
    customer = page["customer"]
    return {
        "version": customer["version"],
        "merged": sorted(customer["merged"]),
        "links": sorted(("acme", each) for each in customer["external_ids"]),
        "consents": {f"{each['purpose']} {each['channel']}": each["state"] for each in customer["consents"]},
        "orders": {
            each["id"]: {
                **{name: each[name] for name in ("reference", "total", "lines", "status")},
                "since": datetime.fromisoformat(each["since"]),
                "waits_for": [(line["item_id"], line["missing"]) for line in each["waits_for"]],
            }
            for each in page["orders"]
        },
        "cases": {
            each["id"]: {
                "customer": each["customer_id"],
                **{name: each[name] for name in ("channel", "severity", "partner", "level")},
                "ties": ties[each["id"]],
                **({"assigned": True} if each["assignee"] else {}),
            }
            for each in page["cases"]
        },
    }


async def pages(harness: Harness, staff: httpx.AsyncClient, ids: Iterable[str]) -> tuple[list[Body], list[Body]]:
    """Return what the pages of the customers show, and what the topics have."""
    events, found = await envelopes(harness), list[Body]()
    for id in ids:
        page = (await staff.get(f"/v1/customers/{id}/360")).json()
        ties = {each["id"]: len((await staff.get(f"/v1/cases/{each['id']}")).json()["ties"]) for each in page["cases"]}
        found.append(shown(page, ties))
    return found, [folded(events, id) for id in ids]


async def agree(harness: Harness, staff: httpx.AsyncClient, ids: Iterable[str]) -> list[Body]:
    """Wait until the pages of the customers equal the topics. Return them."""
    both: tuple[list[Body], list[Body]] = ([], [])

    async def same() -> bool:
        nonlocal both
        both = await pages(harness, staff, ids)
        return both[0] == both[1]

    try:
        await eventually(same, 20)
    except TimeoutError:
        assert both[0] == both[1]
    return both[0]


@pytest.fixture(autouse=True)
def _this_stack(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSDOCK_HOME", str(harness.stack.home.root))
    monkeypatch.delenv("CROSSDOCK_PORTS", raising=False)


async def test_page_of_a_customer_equals_a_fold_of_the_topics(harness: Harness) -> None:
    stocked, scarce = [*await harness.items(1, on_hand=9), *await harness.items(1, on_hand=1)]
    names, ids, placed = [f"C-{uuid4().hex[:8]}" for _ in range(2)], list[str](), list[Body]()
    headers = {"Authorization": f"Bearer {harness.stack.operator_token(['crm:staff'], 'ann')}"}
    async with (
        harness.client() as shop,
        httpx.AsyncClient(base_url=harness.stack.url(CRM), headers=headers, timeout=60) as staff,
    ):
        for name, item in ((names[0], stocked), (names[0], scarce), (names[1], stocked), (names[1], scarce)):
            body = order(f"PO-{uuid4().hex[:12]}", (item, 2), customer_id=name)
            placed.append(await harness.post(shop, body))
            await harness.until(shop, placed[-1]["id"], "confirmed" if item == stocked else "backordered")
        await shop.post(f"/v1/orders/{placed[1]['id']}:cancel")
        for name in names:

            async def met(name: str = name) -> str | None:
                found = (await staff.get("/v1/customers", params={"external_id": name})).json()["items"]
                return str(found[0]["id"]) if found else None

            ids.append(await eventually(met))
        for id, number, state in ((ids[0], 0, "given"), (ids[1], 3, "withdrawn")):
            consent = {"purpose": "marketing", "channel": "email", "state": state, "source": "form"}
            case = {"kind": "complaint", "subject": "s", "text": "t", "order_id": placed[number]["id"]}
            assert (await staff.post(f"/v1/customers/{id}:consent", json=consent)).is_success

            async def opened(case: Body = case) -> Body | None:
                answer = await staff.post("/v1/cases", json=case)
                return answer.json() if answer.is_success else None

            complaint = await eventually(opened)
        assert (await staff.post(f"/v1/cases/{complaint['id']}:escalate", json={})).is_success
        before = await agree(harness, staff, ids)
        assert [each["status"] for each in before[0]["orders"].values()] == ["cancelled", "confirmed"]
        assert before[1]["cases"][complaint["id"]]["level"] == 1
        await crossdock("rebuild", CRM)
        assert await agree(harness, staff, ids) == before
        merged = await staff.post(f"/v1/customers/{ids[0]}:merge", json={"customer_id": ids[1]})
        assert merged.is_success, merged.text
        (both,) = await agree(harness, staff, ids[:1])
        assert (len(both["orders"]), both["merged"], both["consents"]) == (
            4,
            [ids[1]],
            {"marketing email": "withdrawn"},
        )
        await crossdock("rebuild", CRM)
        assert await agree(harness, staff, ids[:1]) == [both]
        assert (await staff.post(f"/v1/customers/{ids[0]}:unmerge", json={"customer_id": ids[1]})).is_success
        after = await agree(harness, staff, ids)
        assert [each["orders"] for each in after] == [each["orders"] for each in before]
