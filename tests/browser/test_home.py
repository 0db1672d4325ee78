"""The home page shows what needs a person, offers the remedy, and clears."""

import asyncio
from uuid import uuid4

from browsing import OPERATOR, Console
from harness import ANALYTICS, INVENTORY, ORDERS, Body, Harness, eventually, order
from playwright.async_api import expect

from crossdock_events import Message


async def test_failed_events_are_shown_and_given_up_as_a_group(opened: Console, harness: Harness) -> None:
    letter = await _failed(harness)
    await opened.sign_in(OPERATOR)
    await opened.page.goto(opened.url)
    row = opened.page.locator("li[data-cause=dead_letters]", has_text=INVENTORY).filter(has_text=letter["reason"])
    await row.get_by_role("button", name="Give up").click()

    dialog = opened.page.get_by_role("dialog")
    await dialog.get_by_label("Reason, for the audit").fill("made by a test")
    await dialog.get_by_role("button", name="Dry run").click()
    await expect(dialog.get_by_text("1 events of 1 keys")).to_be_visible()
    await dialog.get_by_role("button", name="Give up").click()
    await expect(opened.page.get_by_text("The job is done")).to_be_visible()
    await expect(opened.page.get_by_role("list", name="Results by event")).to_contain_text("given up")

    await opened.page.goto(opened.url)
    await expect(opened.page.locator(".checked")).to_be_visible()
    await expect(row).to_have_count(0)
    for service in (ORDERS, INVENTORY, ANALYTICS):
        await expect(opened.page.locator(".checked li", has_text=service)).to_contain_text("answered")
    async with harness.client(INVENTORY) as client:
        assert (await client.get(f"/v1/dead-letters/{letter['id']}")).json()["state"] == "discarded"


async def test_a_broker_that_is_away_is_shown_and_clears(opened: Console, harness: Harness) -> None:
    """Orders are still taken meanwhile, and are decided afterwards."""
    (item,) = await harness.items(on_hand=1)
    broker = harness.stack.process("kafka")
    await opened.sign_in(OPERATOR)
    await opened.page.goto(opened.url)
    row = opened.page.locator("li[data-cause=broker_away]")
    await expect(opened.page.locator(".checked li", has_text="Kafka")).to_contain_text("answered")
    assert await row.count() == 0

    await asyncio.to_thread(broker.kill)
    try:
        await expect(row).to_contain_text("Kafka does not answer")
        async with harness.client() as client:
            placed = await harness.post(client, order(f"PO-{uuid4().hex[:12]}", (item, 1)))
    finally:
        await asyncio.to_thread(broker.start)
        await asyncio.to_thread(broker.wait_ready)
    await expect(row).to_have_count(0)
    async with harness.client() as client:
        await harness.until(client, placed["id"], "confirmed")


async def _failed(harness: Harness) -> Body:
    """Let inventory-service fail at a record, and return its dead letter. No other test writes one of this type."""
    key = str(uuid4())
    headers = {"ce_specversion": b"1.0", "ce_id": str(uuid4()).encode(), "ce_type": b"crossdock.OrderCancelled.v1"}
    await harness.inject(Message("crossdock.orders.v1", key.encode(), b'{"order_id": 8}', headers), poison=True)

    async def found() -> Body | None:
        async with harness.client(INVENTORY) as client:
            letters = (await client.get("/v1/dead-letters", params={"key": key})).json()["items"]
        return next(iter(letters), None)

    return await eventually(found)
