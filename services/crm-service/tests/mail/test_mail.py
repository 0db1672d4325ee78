"""Mails in and out: stored once, threaded, answered through a real SMTP server."""

import asyncio
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import httpx
import pytest
from aiosmtpd.controller import UnthreadedController
from orders_of import placed

from crm_service.mail.filing import Filing
from crm_service.service import Settings, build
from crossdock_chassis import JobRun, Service, new_id
from crossdock_chassis.jobs.rows import Claimed
from crossdock_chassis.testing import Clients, Deliver, Fresh, Perform, Violations

DESK = "support@crm.test"


class Server:
    """A real SMTP server on loopback. `refuse` is the answer to the next recipient."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refuse: str | None = None
        self.port = 0

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refuse is not None:
            answer, self.refuse = self.refuse, None
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        found = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(found, EmailMessage)
        self.mails.append(found)
        return "250 OK"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    controller = UnthreadedController(made, hostname="127.0.0.1", port=0, loop=asyncio.get_running_loop())
    listening = await asyncio.get_running_loop().create_server(controller._factory_invoker, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    yield made
    listening.close()
    await listening.wait_closed()


class Desk:
    """The service, a mail server, and the job that files mails."""

    def __init__(self, service: Service, server: Server, staff: httpx.AsyncClient) -> None:
        self.service, self.server, self.staff = service, server, staff
        settings = service.settings
        assert isinstance(settings, Settings)
        self.filing = Filing(settings.addresses, reopens=_days(14))

    async def receives(self, raw: bytes, to: str = DESK, status: int = 201) -> dict[str, Any]:
        """Hand a mail over, let it be filed, and return it as staff see it."""
        headers = {"content-type": "message/rfc822"}
        answer = await self.staff.post("/v1/mail", params={"recipient": to}, content=raw, headers=headers)
        assert answer.status_code == status, answer.text
        await self.filing.file_mails(JobRun(self.service.database, Claimed(new_id(), None, "test", {})))
        mails = (await self.staff.get("/v1/mail", params={"limit": 200})).json()["items"]
        found: dict[str, Any] = next(each for each in mails if each["id"] == answer.json()["mail_id"])
        return found

    async def case(self, id: str) -> dict[str, Any]:
        shown: dict[str, Any] = (await self.staff.get(f"/v1/cases/{id}")).json()
        return shown

    async def verb(self, id: str, verb: str, **body: Any) -> dict[str, Any]:
        answer = await self.staff.post(f"/v1/cases/{id}:{verb}", json=body or None)
        assert answer.status_code == 200, answer.text
        done: dict[str, Any] = answer.json()
        return done


def _days(days: int) -> Any:
    from datetime import timedelta  # noqa: PLC0415

    return timedelta(days=days)


@pytest.fixture
async def desk(fresh: Fresh, clients: Clients, server: Server) -> AsyncIterator[Desk]:
    service = await fresh(build, Settings, smtp_host="127.0.0.1", smtp_port=server.port, mail_key="k")
    made = Desk(service, server, clients(service, None, ["crm:staff"], subject="ann"))
    yield made
    await made.filing.child.__aexit__(None, None, None)


def mail(text: str = "My order has not come.", sender: str = "ada@example.com", **headers: str) -> bytes:
    one = EmailMessage()
    given = {"From": sender, "Subject": "Order", "Message-ID": f"<{new_id()}@example.com>"}
    for name, value in (given | {key.replace("_", "-"): value for key, value in headers.items()}).items():
        one[name] = value
    one.set_content(text)
    return one.as_bytes()


async def test_mail_opens_a_case_once_and_its_answer_goes_out(
    desk: Desk, perform: Perform, violations: Violations
) -> None:
    raw = mail()
    first = await desk.receives(raw, "complaints@crm.test")
    again = await desk.receives(raw, "complaints@crm.test", status=200)
    assert (first["state"], again["id"]) == ("filed", first["id"])
    case = await desk.case(first["case_id"])
    assert (case["kind"], case["channel"], case["status"], case["number"]) == ("complaint", "mail", "new", 1)
    assert [each["text"] for each in case["history"]] == ["My order has not come."]
    assert [each["state"] for each in case["clocks"]] == ["running", "running"]
    answered = await desk.verb(case["id"], "answer", text="It comes tomorrow.")
    (sent,) = await perform(desk.service)
    assert sent.state == "done" and "ada" not in str(sent)
    (out,) = desk.server.mails
    assert (out["To"], out["Subject"], out["From"]) == ("ada@example.com", "Re: Order [#1]", DESK)
    assert out["Message-ID"] == f"<{answered['history'][-1]['mail_id']}@crm.test>"
    assert out.get_content().strip() == "It comes tomorrow."
    original = await desk.staff.get(f"/v1/mail/{first['id']}/original")
    assert original.content == raw
    assert await violations(desk.service) == {}
    assert (await violations(desk.service, "UPDATE case_entries SET mail_id = NULL")).keys() == {
        "mails that are in no case"
    }


async def test_reply_is_threaded_by_address_reference_or_number(desk: Desk, perform: Perform) -> None:
    first = await desk.receives(mail())
    case = first["case_id"]
    await desk.verb(case, "answer", text="Which order?")
    await perform(desk.service)
    (out,) = desk.server.mails
    for number, (raw, to) in enumerate(
        [
            (mail("1", "friend@example.com"), out["Reply-To"]),
            (mail("2", "friend@example.com", References=f"<x@y> {out['Message-ID']}"), DESK),
            (mail("3", "ADA@example.com", Subject="Fwd: Order [#1]"), DESK),
        ],
        start=3,
    ):
        filed = await desk.receives(raw, to)
        assert (filed["state"], filed["case_id"]) == ("filed", case)
        assert len((await desk.case(case))["history"]) == number


async def test_forged_address_subject_or_stranger_is_another_case(desk: Desk) -> None:
    case = (await desk.receives(mail()))["case_id"]
    for raw, to in (
        (mail(sender="eve@example.com"), "support+1-" + "0" * 24 + "@crm.test"),
        (mail(sender="eve@example.com", Subject="Order [#1]"), DESK),
        (mail(sender="eve@example.com", Subject="Re: Order"), DESK),
    ):
        filed = await desk.receives(raw, to)
        assert filed["state"] == "filed" and filed["case_id"] != case
    assert len((await desk.case(case))["history"]) == 1


async def test_reply_reopens_a_resolved_case_and_follows_a_closed_one(desk: Desk) -> None:
    raw = mail()
    case = (await desk.receives(raw, "complaints@crm.test"))["case_id"]
    own = message_from_bytes(raw)["Message-ID"]
    await desk.verb(case, "resolve")
    assert (await desk.receives(mail("no", References=own)))["case_id"] == case
    assert (await desk.case(case))["status"] == "reopened"
    await desk.verb(case, "resolve")
    await desk.verb(case, "close", root_cause="lost")
    after = await desk.receives(mail("again", References=own))
    other = await desk.case(after["case_id"])
    assert (other["follows"], other["kind"], (await desk.case(case))["status"]) == (case, "complaint", "closed")


async def test_machine_mail_opens_and_reopens_nothing(desk: Desk, perform: Perform) -> None:
    raw = mail()
    case = (await desk.receives(raw))["case_id"]
    await desk.verb(case, "resolve")
    own = message_from_bytes(raw)["Message-ID"]
    for each in (
        mail("I am away", References=own, Auto_Submitted="auto-replied"),
        mail("our own", DESK),
        mail("x", Precedence="bulk"),
    ):
        assert (await desk.receives(each))["state"] == "machine"
    assert (await desk.case(case))["status"] == "resolved"
    assert len((await desk.staff.get("/v1/cases")).json()["items"]) == 1
    assert await perform(desk.service) == []


async def test_mail_that_cannot_be_read_is_kept_for_a_person(desk: Desk) -> None:
    unread = await desk.receives(b"Subject: nobody\r\n\r\nHello")
    assert (unread["state"], unread["case_id"]) == ("unreadable", None)
    waiting = (await desk.staff.get("/v1/mail", params={"state": "unreadable"})).json()["items"]
    assert [each["id"] for each in waiting] == [unread["id"]]
    assert (await desk.receives(mail()))["state"] == "filed"


async def test_mail_of_a_known_address_belongs_to_its_customer(desk: Desk, deliver: Deliver) -> None:
    await deliver(desk.service, placed("C-1"))
    customer = (await desk.staff.get("/v1/customers")).json()["items"][0]["id"]
    await desk.staff.patch(f"/v1/customers/{customer}", json={"email": "Ada@example.com"})
    case = await desk.case((await desk.receives(mail()))["case_id"])
    assert case["customer_id"] == customer
    shown = (await desk.staff.get(f"/v1/customers/{customer}/360")).json()
    assert [each["id"] for each in shown["cases"]] == [case["id"]] and len(shown["orders"]) == 1
    stranger = await desk.case((await desk.receives(mail(sender="new@example.com")))["case_id"])
    met = (await desk.staff.get(f"/v1/customers/{stranger['customer_id']}")).json()
    assert (met["origin"], met["emails"]) == ("mail", ["new@example.com"])


async def test_refused_mail_is_given_up_and_a_busy_server_retried(desk: Desk, perform: Perform) -> None:
    case = (await desk.receives(mail()))["case_id"]
    await desk.verb(case, "answer", text="a")
    desk.server.refuse = "450 try later"
    (busy,) = await perform(desk.service)
    assert busy.state == "pending" and "ada" not in str(busy)
    (done,) = await perform(desk.service, hurry=True)
    assert (done.state, len(desk.server.mails)) == ("done", 1)
    await desk.verb(case, "answer", text="b")
    desk.server.refuse = "550 no such user"
    states = sorted(each.state for each in await perform(desk.service))
    assert states == ["done", "given_up"] and len(desk.server.mails) == 1


async def test_mail_is_for_staff_and_has_a_limit(desk: Desk, clients: Clients) -> None:
    partner = clients(desk.service, "acme", ["crm:staff", "crm:write"])
    headers = {"content-type": "message/rfc822"}
    refused = await partner.post("/v1/mail", params={"recipient": DESK}, content=mail(), headers=headers)
    assert refused.status_code == 403
    for content, given, status in (
        (mail(), {"content-type": "text/plain"}, 415),
        (b"x" * (11 << 20), headers, 413),
    ):
        answer = await desk.staff.post("/v1/mail", params={"recipient": DESK}, content=content, headers=given)
        assert answer.status_code == status
