"""Test the page of live events: nothing is lost while it is paused or hidden, and a large event opens."""

import json
from uuid import uuid4

from browsing import OPERATOR, Console
from harness import Harness
from playwright.async_api import Locator, Page, expect

from crossdock_events import Message

TOPIC = "crossdock.orders.v1"
LARGE = 890_000


async def _unknown(harness: Harness, **data: str) -> str:
    """Write a record of a type that no service subscribes to, and return its key."""
    key = str(uuid4())
    headers = {"ce_specversion": b"1.0", "ce_id": str(uuid4()).encode(), "ce_type": b"crossdock.Noted.v1"}
    await harness.inject(Message(TOPIC, key.encode(), json.dumps(data).encode(), headers))
    return key


def _row(opened: Console, key: str) -> Locator:
    return _rows(opened.page, key)


def _rows(page: Page, key: str) -> Locator:
    return page.get_by_role("list", name="Events, newest first").get_by_role("listitem").filter(has_text=key)


async def _hide(page: Page, hidden: bool) -> None:
    """Let the page believe that its tab is hidden, or shown again. A headless browser shows all tabs."""
    value = "true" if hidden else "false"
    await page.evaluate(
        f"Object.defineProperty(document, 'hidden', {{ value: {value}, configurable: true }});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )


async def test_paused_list_shows_the_missed_events_when_continued(opened: Console, harness: Harness) -> None:
    await opened.sign_in(OPERATOR)
    before = await _unknown(harness)
    await expect(_row(opened, before)).to_be_visible()

    await opened.page.keyboard.press("p")
    missed = [await _unknown(harness) for _ in range(3)]
    await expect(opened.page.get_by_role("status").filter(has_text="3 new events wait")).to_be_visible()
    assert await _row(opened, missed[0]).count() == 0

    await opened.page.get_by_role("button", name="Continue").click()
    for key in missed:
        await expect(_row(opened, key)).to_be_visible()


async def test_hidden_tab_closes_its_stream_and_catches_up(opened: Console, harness: Harness) -> None:
    await opened.sign_in(OPERATOR)
    await expect(_row(opened, await _unknown(harness))).to_be_visible()

    async with opened.page.expect_event("requestfailed", lambda request: "/v1/stream" in request.url):
        await _hide(opened.page, True)
    missed = await _unknown(harness)
    await _hide(opened.page, False)

    await expect(_row(opened, missed)).to_be_visible()


async def test_eight_tabs_follow_events_in_their_turn(opened: Console, harness: Harness) -> None:
    """A browser has six connections to a host, so a tab that is not in sight must leave its own to others."""
    await opened.sign_in(OPERATOR)
    tabs = [opened.page]
    for _ in range(7):
        await _hide(tabs[-1], True)
        tabs.append(await opened.context.new_page())
        await tabs[-1].goto(f"{opened.url}/live")
    key = await _unknown(harness)
    await expect(_rows(tabs[-1], key)).to_be_visible()
    await _hide(tabs[-1], True)
    await _hide(tabs[0], False)
    await expect(_rows(tabs[0], key)).to_be_visible()


async def test_filters_are_in_the_address_and_pass_only_what_fits(opened: Console, harness: Harness) -> None:
    await opened.sign_in(OPERATOR)
    wanted = uuid4().hex
    await opened.page.get_by_label("Text", exact=True).fill(wanted)
    await expect(opened.page).to_have_url(f"{opened.url}/live?text={wanted}")
    await opened.live()

    other, fitting = await _unknown(harness), await _unknown(harness, note=f"about {wanted.upper()}")
    await expect(_row(opened, fitting)).to_be_visible()
    assert await _row(opened, other).count() == 0

    await opened.page.get_by_role("button", name="Copy as curl").click()
    await expect(opened.page.locator("output")).to_contain_text(f"'{opened.url}/v1/stream?text={wanted}'")


async def test_event_of_900_kb_opens_and_scrolls(opened: Console, harness: Harness) -> None:
    await opened.sign_in(OPERATOR)
    key = await _unknown(harness, first="here it begins", last="x" * LARGE + " here it ends")
    await _row(opened, key).get_by_role("link").click()

    data = opened.page.get_by_role("complementary").get_by_role("region", name="Data")
    await expect(data).to_contain_text("here it begins")
    await data.press("End")
    await expect(data).to_contain_text("here it ends")
    # Only the lines in sight are elements, so the page stays quick.
    assert await data.locator(".line").count() < 100


async def test_garbage_in_the_address_is_refused_with_a_sentence(opened: Console) -> None:
    await opened.sign_in(OPERATOR)
    for path, heading in (
        ("/orders/nonsense", "This is not the id of an order"),
        (f"/orders/{uuid4()}", "None of your orders has this id or reference"),
        ("/dead-letters/order-service/x", "This is not the id of a dead letter"),
        ("/dead-letters/order-service/jobs/x", "This is not the id of a job"),
        ("/dead-letters?fingerprint=nonsense", "This is not a fingerprint"),
        ("/stock/%2E%2E%2Fetc", "No item"),
        ("/live?event=nonsense", "The request"),
        ("/live?order_id=nonsense", "The request"),
        ("/nowhere", "This page does not exist"),
    ):
        await opened.page.goto(opened.url + path)
        await expect(opened.page.get_by_role("heading", name=heading)).to_be_visible()
