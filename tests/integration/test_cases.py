"""Rules, queues and clerks on a whole stack: what a clerk does on the command line, and what the customer gets."""

import asyncio
from email import message_from_string, policy
from email.message import EmailMessage
from typing import Any
from uuid import uuid4

import httpx
import pytest
from commanding import crossdock
from harness import CRM, Harness, eventually, order

from crossdock_local.post_office import kept


@pytest.fixture(autouse=True)
def _this_stack(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSDOCK_HOME", str(harness.stack.home.root))
    monkeypatch.delenv("CROSSDOCK_PORTS", raising=False)


def desk(harness: Harness) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {harness.stack.operator_token(['crm:staff'], 'ann')}"}
    return httpx.AsyncClient(base_url=harness.stack.url(CRM), headers=headers, timeout=60)


async def received(harness: Harness, address: str) -> EmailMessage | None:
    """Return the newest mail that the post office has for an address."""
    for envelope, text in await asyncio.to_thread(kept, harness.stack.home.mail):
        if envelope["to"] == address:
            found = message_from_string(text, policy=policy.default)
            assert isinstance(found, EmailMessage)
            return found
    return None


async def test_rule_opens_a_case_that_clerks_work_on(harness: Harness) -> None:
    """Story: waits too long, case by rule, mailed, assigned, escalated, merged, resolved, reopened."""
    name, customer = f"r{uuid4().hex[:8]}", f"C-{uuid4().hex[:8]}"
    address = f"{name}@example.com"
    assert "counts" in await crossdock("cases", "rule", name, "--after-days", "0", "--notice", "It waits for stock.")
    (item,) = await harness.items()
    try:
        async with harness.client() as shop, desk(harness) as staff:
            first = await harness.post(shop, order(f"PO-{uuid4().hex[:12]}", (item, 1), customer_id=customer))

            async def by_rule() -> list[dict[str, Any]] | None:
                found = (await staff.get("/v1/customers", params={"order_id": first["id"]})).json()["items"]
                shown = (await staff.get(f"/v1/customers/{found[0]['id']}/360")).json()["cases"] if found else []
                return shown or None

            (opened,) = await eventually(by_rule)
            assert (opened["channel"], opened["kind"]) == ("rule", "complaint")
            await staff.patch(f"/v1/customers/{opened['customer_id']}", json={"email": address})
            again = await harness.post(shop, order(f"PO-{uuid4().hex[:12]}", (item, 1), customer_id=customer))
            await harness.until(shop, again["id"], "backordered")

            async def told() -> EmailMessage | None:
                return await received(harness, address)

            assert "It waits for stock." in (await eventually(told)).get_content()
            second = next(each for each in await eventually(by_rule) if each["id"] != opened["id"])
            number = str(opened["number"])
            assert "assigned to ann" in await crossdock("cases", "assign", number, "ann")
            await crossdock("cases", "escalate", number)
            await crossdock("cases", "merge", str(second["number"]), opened["id"])
            reply = (await staff.post(f"/v1/cases/{second['id']}:reply", json={"text": "Any news?"})).json()
            assert (reply["id"], reply["level"], len(reply["ties"])) == (opened["id"], 1, 2)
            assert "resolved" in await crossdock("cases", "resolve", number)
            reply = (await staff.post(f"/v1/cases/{opened['id']}:reply", json={"text": "It did not come."})).json()
            assert reply["status"] == "reopened"
            assert name in await crossdock("cases", "rules")
    finally:
        await crossdock("cases", "rule", name, "--delete")
    await harness.adds_up()
