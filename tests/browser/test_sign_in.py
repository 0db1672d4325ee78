"""Attack the sign-in with a real browser: a foreign page, a replayed code, and foreign places to go."""

import asyncio
from uuid import uuid4

from browsing import OPERATOR, READER, Console
from harness import Harness, order
from playwright.async_api import Request, expect

FOREIGN = """<!doctype html><title>Foreign page</title>
<form method="post" enctype="text/plain" action="{target}"><input name='{{"reason":"other","note":"' value='"}}'></form>
<button onclick="document.forms[0].submit()">Win a prize</button>"""
ACT = """(target) => fetch(target, { method: "POST", credentials: "include", mode: "no-cors",
    headers: { "Content-Type": "text/plain" }, body: '{"reason":"other"}' }).then((answer) => answer.type)"""
READ = """(target) => fetch(target, { credentials: "include" }).then(() => "read", () => "refused")"""


async def test_a_foreign_page_neither_acts_nor_reads(opened: Console, harness: Harness) -> None:
    """It has another port of the same address, so the browser counts it as the same site and sends the cookie."""
    (item,) = await harness.items(on_hand=1)
    async with harness.client() as client:
        placed = await harness.post(client, order(f"PO-{uuid4().hex[:12]}", (item, 1)))
        await harness.until(client, placed["id"], "confirmed")
        await opened.sign_in(OPERATOR)
        path = f"{opened.url}/api/order-service/v1/orders/{placed['id']}"
        sent: list[Request] = []
        opened.context.on("request", lambda request: sent.append(request))
        body = FOREIGN.format(target=f"{path}:cancel").encode()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\nConnection: close"
            writer.write(head.encode() + b"\r\n\r\n" + body)
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            page = await opened.context.new_page()
            await page.goto(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
            assert await page.evaluate(READ, path) == "refused"
            assert await page.evaluate(ACT, f"{path}:cancel") == "opaque"
            async with page.expect_navigation() as left:
                await page.get_by_role("button", name="Win a prize").click()
            refused = await left.value
            assert refused is not None and refused.status == 403, await refused.text()
        forged = [each for each in sent if each.url.endswith(":cancel")]
        assert len(forged) == 2 and "cookie" in await forged[-1].all_headers()
        assert (await harness.get(client, placed["id"]))["status"] == "confirmed"
    await opened.page.reload()
    await expect(opened.page.get_by_text(OPERATOR)).to_be_visible()


async def test_a_replayed_code_signs_nobody_in(opened: Console) -> None:
    callbacks: list[str] = []
    opened.page.on(
        "request", lambda request: callbacks.append(request.url) if "/session/callback" in request.url else None
    )
    await opened.sign_in(READER)
    (callback,) = callbacks
    assert await opened.page.evaluate("document.cookie") == ""

    await opened.context.clear_cookies()
    answer = await opened.page.goto(callback)
    assert answer is not None and answer.status == 400
    await expect(opened.page.get_by_text("Not signed in")).to_be_visible()
    await opened.page.goto(f"{opened.url}/live")
    await expect(opened.page.get_by_role("heading", name="You are not signed in")).to_be_visible()


async def test_foreign_redirects_are_refused(opened: Console, harness: Harness) -> None:
    answer = await opened.page.goto(f"{opened.url}/session/sign-in?return_to=https%3A%2F%2Fevil.example%2F")
    assert answer is not None and answer.status == 400 and opened.page.url.startswith(opened.url)

    asked: list[str] = []
    opened.page.on("request", lambda request: asked.append(request.url) if "/authorize" in request.url else None)
    await opened.page.goto(f"{opened.url}/session/sign-in?return_to=/")
    (authorize,) = asked
    own = authorize.partition("redirect_uri=")[2].partition("&")[0]
    answer = await opened.page.goto(authorize.replace(own, "http%3A%2F%2F127.0.0.1%3A1%2Fsession%2Fcallback"))
    assert answer is not None and answer.status == 400
    assert opened.page.url.startswith(harness.stack.issuer_url)
    assert await opened.page.get_by_role("button", name=OPERATOR).count() == 0
