"""A complaint on a whole stack: order, customer, mail over SMTP, clock, answer, reply, resolved."""

import asyncio
import re
import smtplib
from email import message_from_string, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from commanding import crossdock
from harness import CRM, Harness, eventually, order

from crossdock_events.cases import ComplaintOpened, ComplaintReopened, ComplaintResolved
from crossdock_local.ports import HOST
from crossdock_local.post_office import kept
from crossdock_local.posting import DOMAIN, NAME


@pytest.fixture(autouse=True)
def _this_stack(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSDOCK_HOME", str(harness.stack.home.root))
    monkeypatch.delenv("CROSSDOCK_PORTS", raising=False)


def desk(harness: Harness) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {harness.stack.operator_token(['crm:staff'], 'ann')}"}
    return httpx.AsyncClient(base_url=harness.stack.url(CRM), headers=headers, timeout=60)


async def send(harness: Harness, sender: str, to: str, text: str, **headers: str) -> None:
    """Send a mail over SMTP to the post office of the stack."""
    one = EmailMessage(policy=policy.SMTP)
    one["From"], one["To"], one["Subject"] = sender, to, "My order"
    for name, value in headers.items():
        one[name.replace("_", "-")] = value
    one.set_content(text)

    def deliver() -> None:
        with smtplib.SMTP(HOST, harness.stack.ports.of(NAME), timeout=30) as server:
            server.send_message(one, sender, [to])

    await asyncio.to_thread(deliver)


async def received(harness: Harness, address: str) -> EmailMessage | None:
    """Return the newest mail that the post office has for an address."""
    for envelope, text in await asyncio.to_thread(kept, harness.stack.home.mail):
        if envelope["to"] == address:
            found = message_from_string(text, policy=policy.default)
            assert isinstance(found, EmailMessage)
            return found
    return None


async def test_complaint_by_mail_is_answered_and_resolved(harness: Harness) -> None:
    (item,) = await harness.items()
    address, name = f"ada-{uuid4().hex[:8]}@example.com", f"C-{uuid4().hex[:8]}"
    async with harness.client() as shop, desk(harness) as staff:
        placed = await harness.post(shop, order(f"PO-{uuid4().hex[:12]}", (item, 2), customer_id=name))
        await harness.until(shop, placed["id"], "backordered")

        async def customer() -> dict[str, Any] | None:
            found = (await staff.get("/v1/customers", params={"external_id": name})).json()["items"]
            return found[0] if found else None

        url = f"/v1/customers/{(await eventually(customer))['id']}"
        await staff.patch(url, json={"email": address})
        await send(harness, address, f"complaints@{DOMAIN}", "My order has not come.")

        async def case() -> dict[str, Any] | None:
            shown = (await staff.get(f"{url}/360")).json()
            waits = shown["orders"] and shown["orders"][0]["waits_for"] == [{"item_id": item, "missing": 2}]
            return shown["cases"][0] if shown["cases"] and waits else None

        opened = await eventually(case)
        assert (opened["kind"], opened["status"], opened["channel"]) == ("complaint", "new", "mail")
        assert [each["state"] for each in opened["clocks"]] == ["running", "running"]
        one = f"/v1/cases/{opened['id']}"
        answered = await staff.post(f"{one}:answer", json={"text": "It comes on Monday."})
        assert answered.status_code == 200, answered.text

        async def answer() -> EmailMessage | None:
            newest = await received(harness, address)
            return newest if newest is not None and str(newest["Subject"]).startswith("Re: ") else None

        mail = await eventually(answer)
        assert mail["Auto-Submitted"] is None
        assert mail["Subject"] == f"Re: My order [#{opened['number']}]"
        assert mail.get_content().strip() == "It comes on Monday."
        await staff.post(f"{one}:resolve")
        await send(harness, address, mail["Reply-To"], "It did not.", In_Reply_To=mail["Message-ID"])

        async def reopened() -> bool:
            return bool((await staff.get(one)).json()["status"] == "reopened")

        await eventually(reopened)
        done = (await staff.post(f"{one}:resolve")).json()
        assert [each["did"] for each in done["history"]] == ["opened", "answered", "resolved", "replied", "resolved"]
        shown = (await staff.get(f"{url}/360")).json()["cases"][0]
        assert (shown["status"], [each["state"] for each in shown["clocks"]]) == ("resolved", ["met"] * 3)
        partner = harness.client(CRM, "globex")
        async with partner:
            assert (await partner.get(one)).status_code == 404
    printed = await crossdock("customer", name)
    assert address in printed and "My order (complaint, resolved)" in printed
    listed = await crossdock("mail", "list", "--full", "--limit", "1")
    assert "It did not." in listed and "mails sent" in listed
    assert "complaint" in await crossdock("cases", "--limit", "200")

    async def events() -> list[type] | None:
        found = [type(each.event) for each in await harness.events(ComplaintOpened, opened["id"])]
        return found if len(found) == 4 else None

    assert await eventually(events) == [ComplaintOpened, ComplaintResolved, ComplaintReopened, ComplaintResolved]
    await harness.adds_up()


async def test_two_responders_that_answer_each_other_stop(harness: Harness) -> None:
    """The other one answers each mail over SMTP, and has no header that shows a machine."""
    bot = f"bot-{uuid4().hex[:8]}@example.com"
    await send(harness, bot, f"support@{DOMAIN}", "Hello", Message_ID=f"<{uuid4()}@example.com>")

    async def first() -> EmailMessage | None:
        return await received(harness, bot)

    got = await eventually(first)
    assert got["Auto-Submitted"] == "auto-replied"
    text = f"We have read {uuid4()}."
    await send(harness, bot, str(got["Reply-To"]), text, In_Reply_To=got["Message-ID"], Message_ID=f"<{uuid4()}@x.y>")
    async with desk(harness) as staff:

        async def filed() -> bool:
            shown = (await staff.get("/v1/customers", params={"email": bot})).json()["items"]
            cases = (await staff.get("/v1/cases", params={"customer_id": shown[0]["id"]})).json()["items"]
            assert len(cases) == 1
            history = (await staff.get(f"/v1/cases/{cases[0]['id']}")).json()["history"]
            return text in [each["text"].strip() for each in history]

        await eventually(filed)

        async def rests() -> bool:
            return not (await staff.get("/v1/mail", params={"state": "requested"})).json()["items"]

        await eventually(rests)
    mails = [
        envelope for envelope, _ in await asyncio.to_thread(kept, harness.stack.home.mail) if envelope["to"] == bot
    ]
    assert len(mails) == 1


async def test_person_is_erased_from_the_command_line(harness: Harness) -> None:
    async with desk(harness) as staff:
        made = (await staff.post("/v1/customers", json={"name": "Zed Example"})).json()
    asked = await crossdock("customers", "erase", made["id"], "--yes")
    (erasure,) = re.findall(r"erasure (\S+)`", asked)

    async def done() -> bool:
        return "done" in await crossdock("customers", "erasure", erasure)

    await eventually(done)
    assert made["id"] in await crossdock("customers", "erasures")
    await harness.adds_up()


async def test_import_is_undone_from_the_command_line(harness: Harness, tmp_path: Path) -> None:
    file, mark = tmp_path / "customers.csv", uuid4().hex[:8]
    rows = [f"acme,{name}-{mark},{name} {mark},{name}-{mark}@example.com\n" for name in ("zed", "ada")]
    file.write_text("".join(["partner,external_id,name,email\n", *rows]))
    imported = await crossdock("import", "customers", str(file))
    (undoing,) = re.findall(r"`crossdock (customers undo-import \S+)`", imported.replace("\n", " "))
    async with desk(harness) as staff:

        async def found(name: str) -> list[dict[str, Any]]:
            shown = await staff.get("/v1/customers", params={"email": f"{name}-{mark}@example.com"})
            return [*shown.json()["items"]]

        ((ada,), (_zed,)) = await found("ada"), await found("zed")
        await staff.patch(f"/v1/customers/{ada['id']}", json={"owner": "ann"})
        undone = await crossdock(*undoing.split(), "--yes")
        assert "1 customers were removed" in undone and "1 stay as they are: changed" in undone
        assert [each["owner"] for each in await found("ada")] == ["ann"] and not await found("zed")
    assert await crossdock(*undoing.split(), "--yes") == undone
    await harness.adds_up()
