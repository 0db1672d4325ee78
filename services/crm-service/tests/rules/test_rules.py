"""Rules that open cases from the trouble of orders."""

import asyncio
from typing import Any

import httpx
import pytest
from orders_of import backordered, placed

from crm_service.post.address import Addresses
from crm_service.post.compose import Post
from crm_service.rules.fire import Firing
from crm_service.service import Settings, build
from crossdock_chassis import JobRun, Service, new_id
from crossdock_chassis.jobs.rows import Claimed
from crossdock_chassis.testing import Clients, Deliver, Fresh, Violations, requested
from crossdock_events.orders import OrderConfirmed, OrderPlaced

RULE = {"trouble": "backordered", "after_days": 0, "subject": "It waits", "notice": "Your order waits for stock."}


async def fire(service: Service, sends: bool = False) -> int:
    """Run the job once, and return how many cases it has opened."""
    post = Post(Addresses("crm.test", b"key"), sends)
    result = await Firing(post).open_cases_of_rules(JobRun(service.database, Claimed(new_id(), None, "test", {})))
    return int(str(result["opened"]))


async def make(staff: httpx.AsyncClient, **change: Any) -> dict[str, Any]:
    answer = await staff.put("/v1/rules/waits", json=RULE | change)
    assert answer.status_code == 200, answer.text
    rule: dict[str, Any] = answer.json()["items"][0]
    return rule


async def wait_for_stock(deliver: Deliver, service: Service, reference: str = "PO-1") -> OrderPlaced:
    order = placed("C-1", reference=reference)
    await deliver(service, order)
    await deliver(service, backordered(order))
    return order


def confirmed(order: OrderPlaced) -> OrderConfirmed:
    return OrderConfirmed(order_id=order.order_id, partner=order.partner, reference=order.reference)


async def test_rule_opens_one_case_per_order(
    service: Service, staff: httpx.AsyncClient, deliver: Deliver, violations: Violations
) -> None:
    await make(staff, severity="high", category="late_delivery")
    order = await wait_for_stock(deliver, service)
    assert [await fire(service), await fire(service)] == [1, 0]
    (case,) = (await staff.get("/v1/cases")).json()["items"]
    assert (case["kind"], case["channel"], case["severity"], case["partner"]) == ("complaint", "rule", "high", "acme")
    shown = (await staff.get(f"/v1/cases/{case['id']}")).json()
    assert [each["did"] for each in shown["history"]] == ["opened", "notified"]
    assert shown["ties"] == [{"order_id": str(order.order_id), "line_id": None, "quantity": None}]
    await deliver(service, confirmed(order))
    await deliver(service, backordered(order))
    assert await fire(service) == 0, "the order had its case"
    assert await violations(service) == {}


async def test_rule_ignores_trouble_from_before_it_was_made(
    service: Service, staff: httpx.AsyncClient, deliver: Deliver
) -> None:
    order = await wait_for_stock(deliver, service)
    await make(staff)
    await deliver(service, backordered(order, missing=1))
    assert await fire(service) == 0
    await deliver(service, confirmed(order))
    await deliver(service, backordered(order))
    assert await fire(service) == 1, "it waits anew"


async def test_trouble_that_ends_in_time_opens_nothing(
    service: Service, staff: httpx.AsyncClient, deliver: Deliver
) -> None:
    assert (await make(staff, after_days=2))["after_days"] == 2
    ended = await wait_for_stock(deliver, service)
    await wait_for_stock(deliver, service, "PO-2")
    assert (await make(staff, after_days=2))["watched"] == 2
    await deliver(service, confirmed(ended))
    assert await fire(service) == 0
    assert (await make(staff, after_days=0))["watched"] == 1
    assert await fire(service) == 1, "a changed rule counts from the begin of the trouble"


async def test_customer_is_told_first_or_the_reason_is_kept(
    service: Service, staff: httpx.AsyncClient, deliver: Deliver
) -> None:
    await make(staff)
    await wait_for_stock(deliver, service)
    await fire(service, sends=True)
    (customer,) = (await staff.get("/v1/customers")).json()["items"]
    await staff.patch(f"/v1/customers/{customer['id']}", json={"email": "ada@example.com"})
    await wait_for_stock(deliver, service, "PO-2")
    await fire(service, sends=True)
    (rule,) = (await staff.get("/v1/rules")).json()["items"]
    assert (rule["opened"], rule["told"], rule["suppressed"]) == (2, 1, {"no_address": 1})
    for state, reason, told, why in (("suppressed", "too late", 0, "too late"), ("refused", "550", 0, "refused")):
        async with service.database.unit() as unit:
            await unit.sql.execute("UPDATE mails SET state = $1, reason = $2", state, reason)
        (rule,) = (await staff.get("/v1/rules")).json()["items"]
        assert (rule["told"], rule["suppressed"]) == (told, {"no_address": 1, why: 1})
    (mail,) = (await staff.get("/v1/mail")).json()["items"]
    assert mail["recipient"] == "ada@example.com"
    assert len(await requested(service)) == 1
    shown = (await staff.get(f"/v1/cases/{mail['case_id']}")).json()
    assert [each["state"] for each in shown["clocks"]] == ["running", "running"], "a notice is no answer"


async def test_two_workers_open_one_case(service: Service, staff: httpx.AsyncClient, deliver: Deliver) -> None:
    await make(staff)
    await wait_for_stock(deliver, service)
    assert sum(await asyncio.gather(fire(service), fire(service))) == 1


async def test_deleted_rule_opens_nothing_and_no_second_case_later(
    service: Service, staff: httpx.AsyncClient, deliver: Deliver
) -> None:
    await make(staff)
    order = await wait_for_stock(deliver, service)
    await fire(service)
    await wait_for_stock(deliver, service, "PO-2")
    assert (await staff.delete("/v1/rules/waits")).json() == {"items": []}
    assert await fire(service) == 0
    assert (await staff.delete("/v1/rules/waits")).status_code == 404
    await make(staff)
    await deliver(service, confirmed(order))
    await deliver(service, backordered(order))
    assert await fire(service) == 0


async def test_case_waits_until_the_order_is_known(fresh: Fresh, clients: Clients, deliver: Deliver) -> None:
    service = await fresh(build, Settings)
    await make(clients(service, None, ["crm:staff"]))
    order = placed("C-1")
    await deliver(service, backordered(order))
    assert await fire(service) == 0
    await deliver(service, order)
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE rule_watches SET due_at = since")
    assert await fire(service) == 1


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"after_days": -1}, "/after_days"),
        ({"trouble": "lost"}, "/trouble"),
        ({"notice": ""}, "/notice"),
        ({"kind": "praise"}, "/kind"),
    ],
)
async def test_bad_rule_is_refused_with_its_pointer(
    staff: httpx.AsyncClient, change: dict[str, Any], pointer: str
) -> None:
    answer = await staff.put("/v1/rules/waits", json=RULE | change)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_each_tampering_with_a_rule_is_reported(
    service: Service, staff: httpx.AsyncClient, deliver: Deliver, violations: Violations
) -> None:
    await make(staff)
    await wait_for_stock(deliver, service)
    await fire(service)
    once, troubles = "rules that did not open one case per order", "troubles of orders that differ from their events"
    watch = "INSERT INTO rule_watches SELECT rule, order_id, now(), now() + interval '1 day' FROM rule_cases"
    for edit, title in (
        ("DELETE FROM rule_cases", once),
        ("UPDATE rule_cases SET case_id = gen_random_uuid()", once),
        (watch, once),
        ("UPDATE order_troubles SET since = since - interval '1 hour'", troubles),
        ("DELETE FROM order_troubles", troubles),
    ):
        assert (await violations(service, edit)).keys() == {title}, edit
