"""Visit each page in each look. CROSSDOCK_SCREENSHOTS names a folder that gets a picture of each."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast
from uuid import uuid4

import httpx
import pytest
from browsing import OPERATOR, READER, Console
from harness import ANALYTICS, CRM, FORECAST, INVENTORY, ORDERS, Body, Harness, eventually, order
from playwright.async_api import ViewportSize, expect

from crossdock_events import Message
from crossdock_events.orders import OrderCancelled

WIDE, PHONE = ViewportSize(width=1280, height=800), ViewportSize(width=390, height=844)
LOOKS = {
    "light": (WIDE, "light", "en"),
    "dark": (WIDE, "dark", "en"),
    "phone": (PHONE, "light", "en"),
    "chinese": (WIDE, "light", "zh"),
}


@pytest.fixture
async def paths(harness: Harness) -> dict[str, str]:
    """Yield the pages by name, with an order that waits and a dead letter to show."""
    (item,) = await harness.items(on_hand=3)
    async with harness.client() as client:
        await harness.post(client, order(f"PO-{uuid4().hex[:12]}", (item, 2)))
        placed = await harness.post(client, order(f"PO-{uuid4().hex[:12]}", (item, 2)))
        await harness.until(client, placed["id"], "backordered")
    letter = await _dead_letter(harness)
    async with _operator(harness, "ann") as ann:
        cancelled = await _cancel(harness, ann)
    return {
        "home": "/",
        "search": f"/search?q={item[:8]}",
        "live": "/live",
        "orders": "/orders?partner=acme",
        "order": f"/orders/{placed['id']}",
        "stock": "/stock",
        "item": f"/stock/{item}",
        "backorders": "/stock?view=backorders",
        "dead-letters": "/dead-letters",
        "dead-letter-cause": f"/dead-letters?service={INVENTORY}&fingerprint={letter['fingerprint']}",
        "dead-letter-records": f"/dead-letters?view=records&service={INVENTORY}",
        "dead-letter-job": f"/dead-letters/{INVENTORY}/jobs/{await _job(harness, letter)}",
        "consumers": f"/consumers?service={INVENTORY}&group={INVENTORY}",
        "kafka-group": f"/consumers?kafka={INVENTORY}",
        "audit": "/audit",
        "action": f"/audit/{ORDERS}/{cancelled['id']}",
        "topics": "/topics",
        "topic": "/topics/crossdock.orders.v1?type=crossdock.OrderPlaced.v1",
        "dead-letter": f"/dead-letters/{INVENTORY}/{letter['id']}",
    }


async def _dead_letter(harness: Harness) -> Body:
    """Let inventory-service fail at a record, and return its dead letter."""
    key = str(uuid4())
    headers = {"ce_specversion": b"1.0", "ce_id": str(uuid4()).encode(), "ce_type": b"crossdock.OrderPlaced.v1"}
    await harness.inject(Message("crossdock.orders.v1", key.encode(), b'{"order_id": 7}', headers), poison=True)

    async def found() -> Body | None:
        async with harness.client(INVENTORY) as client:
            letters = (await client.get("/v1/dead-letters", params={"key": key})).json()["items"]
        return next(iter(letters), None)

    return await eventually(found)


def _operator(harness: Harness, who: str) -> httpx.AsyncClient:
    token = harness.stack.operator_token(["ops:read", "ops:act"], who)
    return httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30)


async def _cancel(harness: Harness, operator: httpx.AsyncClient) -> Body:
    """Let an operator cancel an order, and return the entry of the audit."""
    (item,) = await harness.items(on_hand=1)
    async with harness.client() as client:
        placed = await harness.post(client, order(f"PO-{uuid4().hex[:12]}", (item, 1)))
    url = harness.stack.url(ORDERS)
    answer = await operator.post(f"{url}/v1/orders/{placed['id']}:cancel", json={"reason": "duplicate_order"})
    assert answer.status_code == 200, answer.text
    query = {"target": f"/v1/orders/{placed['id']}"}
    (action,) = (await operator.get(f"{url}/v1/operator-actions", params=query)).json()["items"]
    return cast(Body, action)


async def _receive(harness: Harness, operator: httpx.AsyncClient) -> str:
    """Let an operator record a receipt, and return its path."""
    (item,) = await harness.items(on_hand=1)
    lines = [{"item_id": item, "quantity": 1}]
    body = {"reference": f"GRN-{uuid4().hex[:12]}", "location_id": "EAST", "lines": lines}
    answer = await operator.post(f"{harness.stack.url(INVENTORY)}/v1/receipts", json=body)
    assert answer.status_code == 201, answer.text
    return answer.headers["location"]


async def _job(harness: Harness, letter: Body) -> str:
    """Let a job redrive the dead letter, which fails again. Return the id of the job."""
    body = {"action": "redrive", "records": {"ids": [letter["id"]]}, "reason": "made by a test"}
    async with harness.client(INVENTORY) as client:
        asked = await client.post("/v1/dead-letters:resolve", json=body, headers={"Idempotency-Key": str(uuid4())})
        assert asked.status_code == 202, asked.text
        return str(asked.json()["id"])


@pytest.fixture(params=LOOKS)
async def seen(request: pytest.FixtureRequest, opened: Console) -> AsyncIterator[tuple[str, Console]]:
    """Yield the name of a look, and the console that an operator has signed in to and sees like this."""
    viewport, theme, language = LOOKS[request.param]
    await opened.sign_in(OPERATOR)
    await opened.page.set_viewport_size(viewport)
    await opened.page.evaluate(
        f"localStorage.setItem('crossdock.theme', '{theme}'); localStorage.setItem('crossdock.language', '{language}')"
    )
    yield request.param, opened


async def test_each_page_shows_its_content(seen: tuple[str, Console], paths: dict[str, str]) -> None:
    look, opened = seen
    barriers = []
    for name, path in paths.items():
        await opened.page.goto(opened.url + path)
        await expect(opened.page.locator("main li, main .text-view").first).to_be_visible()
        width = await opened.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert width <= 0, f"{path} is {width} pixels too wide"
        barriers += [f"{name}: {each}" for each in await opened.barriers()]
        if folder := os.environ.get("CROSSDOCK_SCREENSHOTS"):
            await opened.page.screenshot(path=Path(folder) / f"{name}-{look}.png")
    assert not barriers, "\n".join(barriers)


async def test_order_is_found_by_the_beginning_of_its_reference(opened: Console, harness: Harness) -> None:
    (item,) = await harness.items(on_hand=1)
    reference = f"PO-{uuid4().hex[:12]}"
    async with harness.client() as client:
        placed = await harness.post(client, order(reference, (item, 1)))
    await opened.sign_in(READER)

    await opened.page.keyboard.press("/")
    await opened.page.keyboard.type(reference[:-2])
    await opened.page.keyboard.press("Enter")
    await opened.page.get_by_role("main").get_by_role("link", name=reference).click()
    await expect(opened.page).to_have_url(f"{opened.url}/orders/{placed['id']}")

    await opened.page.keyboard.press("/")
    await opened.page.keyboard.type(item)
    await opened.page.keyboard.press("Enter")
    await expect(opened.page).to_have_url(f"{opened.url}/stock/{item}")


async def test_audit_merges_the_actions_of_services(opened: Console, harness: Harness) -> None:
    who = f"ann-{uuid4().hex[:8]}"
    async with _operator(harness, who) as ann:
        await _cancel(harness, ann)
        action = await _cancel(harness, ann)
        receipt = await _receive(harness, ann)
    await opened.sign_in(READER)
    await opened.page.goto(f"{opened.url}/audit?who={who}")
    rows = opened.page.get_by_role("list", name="Actions of operators, newest first").locator("li")
    await expect(rows.nth(0)).to_contain_text("receipt:record")
    await expect(rows.nth(1)).to_contain_text("order:cancel")
    await expect(opened.page.locator("datalist option[value='order:cancel']")).to_have_count(1)
    await opened.page.get_by_label("Service").select_option(ORDERS)
    await expect(rows.nth(0)).to_contain_text("order:cancel")
    await expect(rows.filter(has_text="receipt:record")).to_have_count(0)
    await rows.nth(0).get_by_role("link", name="order:cancel").click()
    await expect(opened.page).to_have_url(f"{opened.url}/audit/{ORDERS}/{action['id']}")
    await expect(opened.page.get_by_role("region", name="After")).to_contain_text("cancelled")
    await opened.page.get_by_role("link", name=action["target"]).click()
    await expect(opened.page).to_have_url(f"{opened.url}{action['target'].removeprefix('/v1')}")

    await opened.page.goto(f"{opened.url}/audit?target={receipt}")
    await expect(rows).to_have_count(1)
    await opened.page.goto(f"{opened.url}/audit?who=nobody")
    await expect(opened.page.get_by_role("heading", name="No actions")).to_be_visible()


async def test_topic_shows_its_readers_and_copies_its_example(opened: Console, harness: Harness) -> None:
    await harness.items(on_hand=1)
    await opened.sign_in(READER)
    await opened.page.goto(f"{opened.url}/topics")
    row = opened.page.get_by_role("list", name="Topics").locator("li", has_text="crossdock.orders.v1")
    await expect(row).to_contain_text(f"{ANALYTICS}, {CRM}, {FORECAST}, {INVENTORY}")
    await row.get_by_role("link").click()
    readers = opened.page.get_by_role("list", name="Read by")
    await expect(readers.locator("li", has_text=INVENTORY).first).to_contain_text("reaction")
    await opened.page.get_by_role("list", name="Types of events").get_by_role("link", name="OrderCancelled").click()
    await expect(opened.page.get_by_role("heading", name="crossdock.OrderCancelled.v1")).to_be_visible()
    await expect(opened.page.get_by_role("region", name="Schema")).to_contain_text("$schema")
    await opened.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await opened.page.get_by_role("button", name="Copy the example").click()
    await expect(opened.page.get_by_text("Copied")).to_be_visible()
    copied = json.loads(await opened.page.evaluate("navigator.clipboard.readText()"))
    assert OrderCancelled.model_validate(copied).partner
    await opened.page.goto(f"{opened.url}/topics/crossdock.stock.v1")
    await opened.page.get_by_role("main").get_by_role("link", name="StockLevelChanged, ").click()
    await opened.page.get_by_role("complementary").get_by_role("link", name="crossdock.stock.v1").click()
    await expect(opened.page).to_have_url(f"{opened.url}/topics/crossdock.stock.v1?type=crossdock.StockLevelChanged.v1")
    await opened.page.goto(f"{opened.url}/topics/nothing")
    await expect(opened.page.get_by_role("heading", name="No contract declares this topic.")).to_be_visible()


async def test_dead_letter_is_given_up_after_a_dry_run(opened: Console, harness: Harness) -> None:
    await opened.sign_in(OPERATOR)
    await opened.page.goto(f"{opened.url}/dead-letters/{INVENTORY}/{(await _dead_letter(harness))['id']}")
    await opened.page.get_by_role("button", name="Give up").click()
    dialog = opened.page.get_by_role("dialog")
    await expect(dialog.get_by_role("button", name="Give up")).to_be_disabled()

    await dialog.get_by_label("Reason, for the audit").fill("made by a test")
    await dialog.get_by_role("button", name="Dry run").click()
    await expect(dialog.get_by_text("This would happen:")).to_be_visible()
    await dialog.get_by_role("button", name="Give up").click()

    await expect(dialog.get_by_text("Done:")).to_be_visible()
    await dialog.get_by_role("button", name="Close").click()
    await expect(opened.page.get_by_text("given up", exact=True)).to_be_visible()


async def test_reader_sees_no_actions_and_is_refused(opened: Console, paths: dict[str, str]) -> None:
    await opened.sign_in(READER)
    for name in ("home", "order", "item", "dead-letter"):
        await opened.page.goto(opened.url + paths[name])
        await expect(opened.page.get_by_role("main").get_by_role("heading").first).to_be_visible()
        await expect(opened.page.get_by_text("Robin Reader")).to_be_visible()
        assert await opened.page.get_by_role("main").get_by_role("button").count() == 0

    order_id = paths["order"].rpartition("/")[2]
    status = await opened.page.evaluate(
        f"fetch('/api/{ORDERS}/v1/orders/{order_id}:cancel', {{ method: 'POST', body: '{{}}',"
        " headers: { 'Content-Type': 'application/json', 'Crossdock-Console': '1' } }).then((answer) => answer.status)"
    )
    assert status == 403


async def test_goods_are_received_and_orders_served_in_their_turn(opened: Console, harness: Harness) -> None:
    """Two partners wait for an item. The goods that come serve the order with the higher priority first."""
    (item,) = await harness.items()
    waiting = []
    for partner, priority in (("acme", 3), ("globex", 8)):
        async with harness.client(partner=partner) as client:
            body = order(f"PO-{uuid4().hex[:12]}", (item, 2), priority=priority)
            placed = await harness.post(client, body, partner)
            await harness.until(client, placed["id"], "backordered")
            waiting.append(placed)
    later, first = waiting
    await opened.sign_in(OPERATOR)
    await opened.page.goto(f"{opened.url}/orders?waiting=true&item={item}")
    for placed in waiting:
        await expect(opened.page.get_by_role("main").get_by_role("link", name=placed["reference"])).to_be_visible()

    await opened.page.goto(f"{opened.url}/stock/{item}")
    turns = opened.page.get_by_role("list", name="Backorders in the order in which they are served")
    await expect(turns.get_by_role("link").nth(0)).to_have_text(first["reference"])
    await turns.get_by_role("link", name=later["reference"]).click()
    await expect(opened.page.get_by_text("1 order with 2 missing units come first.")).to_be_visible()
    way = opened.page.get_by_role("list", name="Way through the services")
    await expect(way.get_by_role("link").first).to_have_text("OrderPlaced")
    await opened.page.get_by_role("link", name=f"Receive 2 units of {item}").click()
    await expect(turns.get_by_role("link").nth(1)).to_have_text(later["reference"])
    await opened.page.get_by_role("button", name="Receive goods").click()
    dialog = opened.page.get_by_role("dialog")
    await dialog.get_by_label("Quantity").fill("3")
    await expect(dialog.get_by_role("button", name="Receive goods")).to_be_disabled()
    await dialog.get_by_label("Reference").fill(f"GRN-{uuid4().hex[:12]}")
    await dialog.get_by_role("button", name="Receive goods").click()
    await expect(dialog.get_by_text("3 units received at EAST.")).to_be_visible()
    await dialog.get_by_role("button", name="Close").click()

    await expect(turns.get_by_role("link")).to_have_text([later["reference"]])
    await opened.page.goto(f"{opened.url}/orders/{first['id']}")
    await expect(opened.page.get_by_text("Is confirmed since")).to_be_visible()
    async with harness.client(partner="globex") as client:
        await harness.until(client, first["id"], "confirmed")
