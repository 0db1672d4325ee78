"""What goes out, and what does not: acknowledgements, notices, bounces, and servers that fail."""

import asyncio
import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from uuid import UUID

import pytest
from mail_desk import DESK, Desk, Server, mail

from crm_service.cases.undelivered import undelivered
from crm_service.post.deliver import Delivery, Smtp, performer
from crossdock_chassis.effects.worker import Effects
from crossdock_chassis.testing import Perform

BACKORDERED = {"number": 1, "reference": "PO-1"}


async def customer(desk: Desk, address: str = "ada@example.com") -> UUID:
    """Return the customer of a mail."""
    filed = await desk.receives(mail(sender=address))
    return UUID((await desk.case(filed["case_id"]))["customer_id"])


async def marked(desk: Desk) -> list[str | None]:
    async with desk.service.database.unit() as unit:
        return [row["undeliverable_why"] for row in await unit.sql.fetch("SELECT undeliverable_why FROM channels")]


async def notify(desk: Desk, id: UUID, locale: str = "en") -> UUID | None:
    async with desk.service.database.unit() as unit:
        return await desk.post.notice(unit, id, "order_backordered", BACKORDERED, locale=locale)


async def test_sender_gets_one_acknowledgement_a_day(desk: Desk, perform: Perform) -> None:
    raw = mail("订单还没有到, 请尽快处理", Subject="投诉")
    await desk.receives(raw)
    await desk.receives(mail(sender="ADA@example.com"))
    await perform(desk.service)
    (sent,) = desk.server.mails
    assert str(sent["Subject"]).endswith("投诉 [#1]") and sent["To"] == "ada@example.com"
    assert (sent["Auto-Submitted"], sent["In-Reply-To"]) == ("auto-replied", message_from_bytes(raw)["Message-ID"])
    assert desk.server.senders == ["<>"]
    assert await desk.out("suppressed") == [("acknowledgement", "acknowledged within a day")]
    counted = (await desk.staff.get("/v1/mail/summary")).json()["out"]
    assert [(each["state"], each["mails"]) for each in counted] == [("sent", 1), ("suppressed", 1)]


async def test_two_responders_that_answer_each_other_stop(desk: Desk, perform: Perform) -> None:
    """The other one answers each mail, and has no header that shows a machine."""
    arrived: list[bytes] = []

    async def respond(got: EmailMessage) -> None:
        other = mail("Thank you. We will read it.", "bot@example.com", Subject=f"Got it: {got['Subject']}")
        arrived.append(other)

    desk.server.on_mail = respond
    await desk.receives(mail(sender="bot@example.com"))
    rounds = 0
    while rounds < 10:
        await perform(desk.service)
        if not arrived:
            break
        await desk.receives(arrived.pop())
        rounds += 1
    assert (rounds, len(desk.server.mails)) == (1, 1)


@pytest.mark.parametrize(
    ("status", "hard"), [("5.1.1", True), ("5.2.2", False), ("4.4.1", False)], ids=["gone", "full", "late"]
)
async def test_hard_bounce_stops_mail_to_the_address(desk: Desk, perform: Perform, status: str, hard: bool) -> None:
    id = await customer(desk)
    await notify(desk, id)
    await perform(desk.service)
    report = await desk.receives(bounce(status), desk.server.senders[-1])
    assert (report["state"], report["reason"]) == ("machine", "report")
    failed = status.startswith("5")
    assert await desk.out("bounced") == ([("notice", status)] if failed else [])
    await notify(desk, id)
    expected = [("notice", f"undeliverable: {status}")] if hard else []
    assert await desk.out("suppressed") == expected
    assert await marked(desk) == [status if hard else None]
    await desk.receives(mail("I am back"))
    assert await marked(desk) == [None]
    await notify(desk, id)
    await perform(desk.service)
    assert len(desk.server.of("Your order")) == (2 if hard else 3)


async def test_forged_bounce_changes_nothing(desk: Desk, perform: Perform) -> None:
    id = await customer(desk)
    await notify(desk, id)
    await perform(desk.service)
    signed = desk.server.senders[-1]
    for to in (DESK, signed.replace(signed[10], "0" if signed[10] != "0" else "1", 1)):
        assert (await desk.receives(bounce("5.1.1"), to))["state"] == "machine"
    assert await desk.out("bounced") == []


@pytest.mark.parametrize("way", ["answers", "returns", "returns the header"])
async def test_bounce_at_the_desk_counts_by_the_mail_it_names(desk: Desk, perform: Perform, way: str) -> None:
    id = await customer(desk)
    await notify(desk, id)
    await perform(desk.service)
    (sent,) = desk.server.of("Your order")
    named = str(sent["Message-ID"])
    content = {"returns": "message/rfc822", "returns the header": "text/rfc822-headers"}.get(way)
    part = f"--b\nContent-Type: {content}\n\nSubject: Your order\nMessage-ID: {named}\n\n--b--" if content else "--b--"
    raw = bounce("5.1.1").replace(b"--b--", part.encode())
    raw = raw if content else f"In-Reply-To: {named}\n".encode() + raw
    for wrong in (raw.replace(b"ada@", b"bob@"), raw.replace(named[1:20].encode(), b"0" * 19)):
        assert (await desk.receives(wrong))["state"] == "machine"
        assert await desk.out("bounced") == []
    assert (await desk.receives(raw))["state"] == "machine"
    assert (await desk.out("bounced"), await marked(desk)) == ([("notice", "5.1.1")], ["5.1.1"])


def bounce(status: str) -> bytes:
    action = "failed" if status.startswith("5") else "delayed"
    return f"""\
From: MAILER-DAEMON@mx.example.com
To: {DESK}
Subject: Undelivered Mail Returned to Sender
Content-Type: multipart/report; report-type=delivery-status; boundary=b
Message-ID: <{status}-{os.urandom(6).hex()}@mx.example.com>

--b
Content-Type: text/plain

Your mail could not be delivered.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.com

Final-Recipient: rfc822; ada@example.com
Action: {action}
Status: {status}
Diagnostic-Code: smtp; 550 {status} no

--b--
""".encode()


async def test_link_of_a_notice_ends_notices(desk: Desk, perform: Perform) -> None:
    id = await customer(desk)
    await notify(desk, id, "zh-CN")
    await perform(desk.service)
    sent = desk.server.mails[-1]
    assert str(sent["Subject"]).startswith("您的订单 PO-1") and sent["Auto-Submitted"] == "auto-generated"
    assert sent["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    path = str(sent["List-Unsubscribe"]).strip("<>").removeprefix("http://127.0.0.1:8460")
    page = await desk.staff.get(path)
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    await notify(desk, id)
    assert await desk.out("suppressed") == []
    answer = await desk.staff.post(path, data={"List-Unsubscribe": "One-Click"})
    assert (answer.status_code, answer.json()) == (200, {"unsubscribed": True})
    await notify(desk, id)
    assert await desk.out("suppressed") == [("notice", "unsubscribed")]
    cases = (await desk.staff.get("/v1/cases")).json()["items"]
    await desk.verb(cases[0]["id"], "answer", text="It comes.")
    await perform(desk.service)
    assert desk.server.of("Re: ")
    late = desk.post.addresses.link("unsubscribe", "ada@example.com", datetime.now(UTC) - timedelta(days=61))
    assert (await desk.staff.post(f"/v1/unsubscribe/{late}")).status_code == 410
    for altered in (path[:-1] + ("A" if path[-1] != "A" else "B"), path[:-4]):
        assert (await desk.staff.post(altered)).status_code == 404


async def test_busy_server_gets_a_notice_once(desk: Desk, perform: Perform) -> None:
    id = await customer(desk)
    await perform(desk.service)
    await notify(desk, id)
    desk.server.answer = "451 not now"
    await perform(desk.service)
    await perform(desk.service, hurry=True)
    await perform(desk.service, hurry=True)
    assert len(desk.server.of("Your order")) == 1 and ("notice", None) in await desk.out("sent")
    await notify(desk, id)
    desk.server.answer = "554 5.7.1 spam"
    await perform(desk.service)
    assert await desk.out("refused") == [("notice", "refused with 554 5.7.1")]


async def test_connection_lost_before_the_dot_is_retried(desk: Desk, perform: Perform) -> None:
    """The other server hangs up once it has asked for the content: it cannot have taken the mail."""
    hung_up = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal hung_up
        writer.write(b"220 mx\r\n")
        while line := await reader.readline():
            if line.startswith(b"DATA"):
                writer.write(b"354 go on\r\n")
                await writer.drain()
                writer.transport.abort()
                hung_up += 1
                return
            writer.write(b"250 OK\r\n")

    await desk.receives(mail())
    database = desk.service.database
    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as other:
        for port in (other.sockets[0].getsockname()[1], 1):
            delivery = Delivery(database, Smtp("127.0.0.1", port), desk.post.addresses, undelivered)
            async with database.unit() as unit:
                await unit.sql.execute("UPDATE effect SET due_at = now()")
            await Effects(database, [performer(delivery)]).run_due()
            assert await desk.out("requested") == [("acknowledgement", None)]
    assert hung_up == 1
    await perform(desk.service, hurry=True)
    assert await desk.out("sent") == [("acknowledgement", None)] and len(desk.server.mails) == 1


async def test_late_acknowledgement_is_not_sent(desk: Desk, perform: Perform) -> None:
    await desk.receives(mail())
    async with desk.service.database.unit() as unit:
        await unit.sql.execute("UPDATE effect SET created_at = now() - interval '25 hours'")
    await perform(desk.service)
    assert (await desk.out("suppressed"), desk.server.mails) == ([("acknowledgement", "too late")], [])


async def test_refused_address_gets_no_more_mail(desk: Desk, perform: Perform) -> None:
    id = await customer(desk)
    desk.server.refuse = "550 5.1.1 no such user"
    await perform(desk.service)
    assert await desk.out("refused") == [("acknowledgement", "refused with 550 5.1.1")]
    await notify(desk, id)
    assert await desk.out("suppressed") == [("notice", "undeliverable: 5.1.1")]
    assert await marked(desk) == ["5.1.1"]


async def test_server_that_takes_mail_and_never_answers(desk: Desk, server: Server) -> None:
    """The answer to a case is sent again under its Message-ID. The acknowledgement is not."""
    silent = asyncio.Event()

    async def never() -> None:
        await silent.wait()

    case = (await desk.receives(mail()))["case_id"]
    await desk.verb(case, "answer", text="It comes.")
    server.taking = never
    smtp = Smtp("127.0.0.1", server.port, seconds=0.3)
    effects = Effects(
        desk.service.database, [performer(Delivery(desk.service.database, smtp, desk.post.addresses, undelivered))]
    )
    for _ in range(3):
        async with desk.service.database.unit() as unit:
            await unit.sql.execute("UPDATE effect SET due_at = now() WHERE state = 'pending'")
        await effects.run_due()
    silent.set()
    assert await desk.out("unknown") == [("acknowledgement", "the server may have taken it")]
    assert len(server.of("We have")) == 1
    ids = [each["Message-ID"] for each in server.of("Re: ")]
    assert len(ids) >= 2 and len(set(ids)) == 1


WORKER = """
import asyncio, sys
from crm_service.service import Settings, build
from crossdock_chassis.effects.worker import Effects

async def main():
    service = build(Settings())
    await Effects(service.database, service.effects).run_due()

asyncio.run(main())
"""


async def test_killed_worker_repeats_only_what_may_repeat(desk: Desk, server: Server, perform: Perform) -> None:
    """It is killed once the server has a mail, before its answer: first with the acknowledgement, then an answer."""
    case = (await desk.receives(mail()))["case_id"]
    settings = desk.service.settings
    names = ("postgres", "kafka", "issuer", "smtp_host", "smtp_port")
    given = {f"CROSSDOCK_{name.upper()}": str(getattr(settings, name)) for name in names} | {"CROSSDOCK_MAIL_KEY": "k"}

    async def killed() -> None:
        worker = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, env=os.environ | given)

        async def kill() -> None:
            worker.send_signal(signal.SIGKILL)
            await worker.wait()

        server.taking = kill
        assert await asyncio.wait_for(worker.wait(), 60) == -signal.SIGKILL
        server.taking = None

    await killed()
    await perform(desk.service, hurry=True)
    assert len(server.of("We have")) == 1
    assert await desk.out("unknown") == [("acknowledgement", "the server may have taken it")]
    await desk.verb(case, "answer", text="It comes.")
    await killed()
    await perform(desk.service, hurry=True)
    ids = [each["Message-ID"] for each in server.of("Re: ")]
    assert len(ids) == 2 and len(set(ids)) == 1 and await desk.out("sent") == [("answer", None)]
