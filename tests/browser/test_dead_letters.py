"""A person redrives a thousand dead letters of one cause. A reader can only look at them."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from browsing import OPERATOR, READER, Console
from harness import ORDERS, Body, Harness, eventually, order
from playwright.async_api import expect

from crossdock_cli.verify.log import Entry
from crossdock_events import Message
from crossdock_events.reservations import StockReserved

MANY = 1_000
LARGE = 890_000
REASON = "this is not a CloudEvent of version 1.0"


@pytest.fixture
async def cause(harness: Harness) -> Body:
    """Send the answers to a thousand orders again with a wrong header. Return the cause of their dead letters."""
    (item,) = await harness.items(on_hand=MANY)
    names = [f"PO-{uuid4().hex}" for _ in range(MANY)]
    lines = [json.dumps(order(name, (item, 1))) for name in names]
    async with harness.client() as client:
        headers = {"content-type": "application/x-ndjson"}
        answer = await client.post("/v1/orders:batch", content="\n".join(lines).encode(), headers=headers)
    created = [json.loads(line) for line in answer.text.splitlines()]
    ids = {each["id"] for each in created}
    harness.accepted |= {("acme", name): each["id"] for name, each in zip(names, created, strict=True)}

    async def answered() -> list[Entry] | None:
        topic = StockReserved.topic.name
        found = [each for each in (await harness.log(topic)).firsts(topic) if each.type == StockReserved.ce_type]
        found = [each for each in found if each.key is not None and each.key.decode() in ids]
        return found if len(found) == MANY else None

    await harness.copy([_broken(each) for each in await eventually(answered)], poison=True)

    async def failed() -> Body | None:
        found = await _cause(harness)
        return found if found and found["records"] == MANY else None

    return await eventually(failed)


def _broken(entry: Entry) -> Entry:
    return entry._replace(headers=tuple({**dict(entry.headers), "ce_specversion": b"2.0"}.items()))


async def _cause(harness: Harness) -> Body | None:
    async with harness.client() as client:
        found = (await client.get("/v1/dead-letters/causes", params={"limit": 200})).json()["items"]
    return next((each for each in found if each["reason"] == REASON), None)


async def test_thousand_dead_letters_are_redriven_as_a_group(opened: Console, harness: Harness, cause: Body) -> None:
    page = opened.page
    await opened.sign_in(OPERATOR)
    await page.goto(f"{opened.url}/dead-letters?sort=newest")
    row = page.get_by_role("list", name="Causes of dead letters").get_by_role("listitem")
    await row.filter(has_text=ORDERS).filter(has_text=REASON).get_by_role("link", name=REASON).click()
    await expect(page).to_have_url(f"{opened.url}/dead-letters?service={ORDERS}&fingerprint={cause['fingerprint']}")
    group = page.url

    # The dry run shows that the cause is not mended yet. A job that is started in spite of it can be found and stopped.
    await _started(opened, "Handle again", "20 fail again", {"Events a second, at most": "1"})
    await expect(page.get_by_text("The job runs")).to_be_visible()
    await page.goto(group)
    await page.get_by_role("link", name="The job runs").click()
    results = page.get_by_role("list", name="Results by event")
    await expect(results.get_by_text("failed again").first).to_be_visible()
    await expect(results.get_by_text(REASON).first).to_be_visible()
    await page.get_by_role("button", name="Stop the job").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Reason, for the audit").fill("the header must be replaced")
    await dialog.get_by_role("button", name="Stop the job").click()
    await dialog.get_by_role("button", name="Close").click()
    await expect(page.get_by_text("The job was stopped")).to_be_visible()

    await page.goto(group)
    await _started(opened, "Fix and handle", "0 fail again", {"ce_specversion": "1.0"})
    await expect(page.get_by_text("The job is done")).to_be_visible()
    await expect(page.get_by_text("1,000 of 1,000 events")).to_be_visible()
    await expect(results.get_by_text("handled").first).to_be_visible()
    await page.goto(group)
    await expect(page.get_by_text("No event waits for this reason any more")).to_be_visible()
    assert await _cause(harness) is None

    await harness.adds_up()


async def _started(opened: Console, action: str, expected: str, fields: dict[str, str]) -> None:
    """Start a job for the group after a dry run with this result."""
    await opened.page.get_by_role("button", name=action).click()
    dialog = opened.page.get_by_role("dialog")
    for name, value in fields.items():
        await dialog.get_by_label(name).fill(value)
    await dialog.get_by_label("Reason, for the audit").fill("made by a test")
    await dialog.get_by_role("button", name="Dry run").click()
    await expect(dialog.get_by_text("1,000 events of 1,000 keys")).to_be_visible()
    await expect(dialog.get_by_text(expected)).to_be_visible()
    await dialog.get_by_role("button", name=action).click()


async def _give_up(harness: Harness) -> None:
    """Discard the dead letters with the wrong header, and then those that have waited behind them."""
    body: dict[str, Any] = {"action": "discard", "reason": "made by a test", "records_per_second": 1_000}
    async with harness.client() as client:
        while cause := await _cause(harness):
            asked = await client.post(
                "/v1/dead-letters:resolve",
                json={**body, "records": {"fingerprint": cause["fingerprint"]}},
                headers={"Idempotency-Key": str(uuid4())},
            )
            assert asked.status_code == 202, asked.text
            job = asked.headers["location"]

            async def ended(job: str = job) -> bool:
                return bool((await client.get(job)).json()["status"] == "done")

            await eventually(ended)


async def test_dead_letter_of_900_kb_opens_as_text_and_bytes(opened: Console, harness: Harness) -> None:
    key = str(uuid4())
    data = b"\xfe here it begins" + b"x" * LARGE + b" here it ends"
    headers = {"ce_specversion": b"2.0", "ce_type": StockReserved.ce_type.encode()}
    for value in (data, b"{}"):
        await harness.inject(Message(StockReserved.topic.name, key.encode(), value, headers), poison=True)

    async def failed() -> Body | None:
        async with harness.client() as client:
            found = (await client.get("/v1/dead-letters", params={"key": key})).json()["items"]
        return found[0] if len(found) == 2 else None

    letter = await eventually(failed)
    page = opened.page
    await opened.sign_in(OPERATOR)
    await page.goto(f"{opened.url}/dead-letters/{ORDERS}/{letter['id']}")
    shown = page.get_by_role("region", name="Data")
    await expect(shown).to_contain_text("\\xfe here it begins")
    await shown.press("End")
    await expect(shown).to_contain_text("here it ends")

    behind = page.get_by_role("list", name="Waiting behind it").get_by_role("listitem")
    await expect(behind.filter(has_text=StockReserved.ce_type)).to_be_visible()

    await page.get_by_role("link", name="Bytes").click()
    await expect(shown).to_contain_text("00000000  fe 20 68 65 72 65 20 69 74 20 62 65 67 69 6e 73  . here it begins")
    await shown.press("End")
    await expect(shown).to_contain_text("ends")
    # Only the lines in sight are elements, so the page stays quick.
    assert await shown.locator(".line").count() < 100

    await page.get_by_role("button", name="Fix and handle").click()
    await expect(page.get_by_role("dialog")).to_contain_text("The data is not UTF-8 text")
    await page.get_by_role("dialog").get_by_label("Corrected data").fill("{}")
    await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Download").click()
    assert Path(await (await downloading.value).path()).read_bytes() == data
    await _give_up(harness)


async def test_reader_cannot_act_on_a_group_of_dead_letters(opened: Console, harness: Harness) -> None:
    await harness.inject(
        Message(StockReserved.topic.name, None, b"\x00\xff no event", {"ce_specversion": b"2.0"}), poison=True
    )

    async def failed() -> Body | None:
        return await _cause(harness)

    cause = await eventually(failed)
    await opened.sign_in(READER)
    page = opened.page
    await page.goto(f"{opened.url}/dead-letters?service={ORDERS}&fingerprint={cause['fingerprint']}")
    await expect(page.get_by_text("Robin Reader")).to_be_visible()
    await expect(page.get_by_role("list", name="Dead letters").get_by_role("link").first).to_be_visible()
    for name in ("Handle again", "Fix and handle", "Give up"):
        await expect(page.get_by_role("button", name=name)).to_have_count(0)

    for path, body in (
        ("/v1/dead-letters:resolve?dry_run=true", {"action": "discard", "records": {"fingerprint": "a" * 12}}),
        (f"/v1/dead-letters/{cause['example']['id']}:discard", {}),
        (f"/v1/jobs/{uuid4()}:stop", {}),
    ):
        status = await page.evaluate(
            "([url, body]) => fetch(url, { method: 'POST', body, headers: { 'Content-Type': 'application/json',"
            " 'Idempotency-Key': crypto.randomUUID(), 'Crossdock-Console': '1' } }).then((answer) => answer.status)",
            [f"/api/{ORDERS}{path}", json.dumps({"reason": "not allowed", **body})],
        )
        assert status == 403, path

    await _give_up(harness)
