"""The desk's mailbox on a real IMAP server (GreenMail), which gets its mails over real SMTP."""

import asyncio
import smtplib
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes
from typing import Any

import pytest
from greenmail import PASSWORD, USER, GreenMail, started
from imapclient import IMAPClient
from imapclient.exceptions import LoginError
from mail_desk import DESK, Desk, mail

from crm_service.imap.fetch import Fetching
from crm_service.imap.mailbox import Mailbox
from crossdock_chassis import JobRun, new_id
from crossdock_chassis.jobs.rows import Claimed
from crossdock_chassis.testing import Perform

LARGEST = 100_000


@pytest.fixture(scope="module")
def greenmail() -> Iterator[GreenMail]:
    with started() as server:
        yield server


@pytest.fixture
def mailbox(greenmail: GreenMail) -> Mailbox:
    """Return the mailbox, emptied."""
    with IMAPClient("127.0.0.1", port=greenmail.imap, ssl=False) as server:
        server.login(USER, PASSWORD)
        server.select_folder("INBOX")
        if uids := server.search():
            server.delete_messages(uids)
            server.expunge()
    return Mailbox("127.0.0.1", greenmail.imap, USER, PASSWORD, False, "INBOX", LARGEST)


def send(greenmail: GreenMail, *mails: bytes, sender: str = "ada@example.com") -> None:
    with smtplib.SMTP("127.0.0.1", greenmail.smtp, timeout=20) as server:
        for each in mails:
            server.sendmail(sender, [USER], each)


async def fetch(desk: Desk, mailbox: Mailbox) -> list[dict[str, Any]]:
    """Read the mailbox, file what is new, and return all mails in, the oldest first."""
    run = JobRun(desk.service.database, Claimed(new_id(), None, "test", {}))
    await Fetching(mailbox, DESK).fetch_mails(run)
    await desk.filing.file_mails(run)
    items = (await desk.staff.get("/v1/mail", params={"limit": 200})).json()["items"]
    return [each for each in reversed(items) if each["direction"] == "in"]


async def test_mail_of_the_mailbox_is_filed_once_and_answered(
    desk: Desk, greenmail: GreenMail, mailbox: Mailbox, perform: Perform
) -> None:
    await asyncio.to_thread(send, greenmail, mail(To="complaints@crm.test"), mail("Two", "bob@example.com"))
    first, second = await fetch(desk, mailbox)
    assert (first["state"], second["state"], first["sender"]) == ("filed", "filed", "ada@example.com")
    case = await desk.case(first["case_id"])
    assert case["kind"] == "complaint"
    assert len(await fetch(desk, mailbox)) == 2
    await desk.verb(case["id"], "answer", text="It comes.")
    await perform(desk.service)
    (out,) = desk.server.of("Re: ")
    reply = mail("Thanks", "friend@example.com", To=str(out["Reply-To"]), Subject="Re: Order")
    await asyncio.to_thread(send, greenmail, reply)
    *_, third = await fetch(desk, mailbox)
    assert third["case_id"] == case["id"], "the signed address is in the header alone"


async def test_report_in_the_mailbox_is_a_machine_s(desk: Desk, greenmail: GreenMail, mailbox: Mailbox) -> None:
    daemon = "mailer-daemon@mx.example.com"
    await asyncio.to_thread(send, greenmail, mail(sender=daemon), sender=daemon)
    (found,) = await fetch(desk, mailbox)
    assert (found["state"], found["reason"]) == ("machine", "report")


async def test_mailbox_numbered_anew_repeats_no_mail(desk: Desk, greenmail: GreenMail, mailbox: Mailbox) -> None:
    await asyncio.to_thread(send, greenmail, mail(), mail())
    assert len(await fetch(desk, mailbox)) == 2
    async with desk.service.database.unit() as unit:
        await unit.sql.execute("UPDATE imap_positions SET validity = validity + 1")
    assert len(await fetch(desk, mailbox)) == 2
    with IMAPClient("127.0.0.1", port=greenmail.imap, ssl=False) as server:
        server.login(USER, PASSWORD)
        assert server.folder_status("INBOX", ["UNSEEN"])[b"UNSEEN"] == 2, "the mailbox is as it was"


async def test_large_mail_waits_for_a_person(desk: Desk, greenmail: GreenMail, mailbox: Mailbox) -> None:
    raw = mail("x" * 79 + "\n" + ("y" * 70 + "\n") * (LARGEST // 70))
    await asyncio.to_thread(send, greenmail, raw, mail())
    large, small = await fetch(desk, mailbox)
    assert (large["state"], small["state"]) == ("unreadable", "filed")
    kept = (await desk.staff.get(f"/v1/mail/{large['id']}/original")).content
    assert message_from_bytes(kept)["Message-ID"] == message_from_bytes(raw)["Message-ID"] and len(kept) < 2_000


async def test_wrong_password_is_an_error_and_moves_nothing(desk: Desk, greenmail: GreenMail, mailbox: Mailbox) -> None:
    await asyncio.to_thread(send, greenmail, mail())
    with pytest.raises(LoginError):
        await fetch(desk, replace(mailbox, password="wrong"))
    assert len(await fetch(desk, mailbox)) == 1
