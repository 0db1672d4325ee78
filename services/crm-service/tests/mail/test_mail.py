"""Mails in and out: stored once, threaded, answered through a real SMTP server."""

from email import message_from_bytes

from mail_desk import DESK, Desk, mail
from orders_of import placed

from crossdock_chassis.testing import Clients, Deliver, Perform, Violations


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
    sent = await perform(desk.service)
    assert [each.state for each in sent] == ["done", "done"] and "ada@" not in str(sent)
    (out,) = desk.server.of("Re: ")
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
    (out,) = desk.server.of("Re: ")
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
    for number in (2, 3):
        assert (await desk.receives(mail("and again", References=own)))["case_id"] == other["id"]
        assert len((await desk.case(other["id"]))["history"]) == number
    await desk.verb(other["id"], "resolve")
    await desk.verb(other["id"], "close", root_cause="lost")
    third = await desk.case((await desk.receives(mail("still", References=own)))["case_id"])
    assert third["follows"] == other["id"]


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
    await perform(desk.service)
    assert [each["To"] for each in desk.server.mails] == ["ada@example.com"]


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


async def test_refused_mail_is_given_up_and_a_busy_server_retried(
    desk: Desk, perform: Perform, violations: Violations
) -> None:
    case = (await desk.receives(mail()))["case_id"]
    await desk.verb(case, "answer", text="a")
    desk.server.refuse = "450 try later"
    busy = (await perform(desk.service))[0]
    assert busy.state == "pending" and "ada@" not in str(busy)
    done = await perform(desk.service, hurry=True)
    assert ([each.state for each in done], len(desk.server.mails)) == (["done", "done"], 2)
    await desk.verb(case, "answer", text="b")
    desk.server.refuse = "550 no such user"
    states = sorted(each.state for each in await perform(desk.service))
    assert states == ["done", "done", "given_up"] and len(desk.server.mails) == 2
    last = (await desk.case(case))["history"][-1]
    assert (last["did"], last["side"], last["text"]) == ("undelivered", "system", "refused with 550")
    assert await violations(desk.service) == {}


async def test_addresses_of_mails_are_masked(desk: Desk, clients: Clients, perform: Perform) -> None:
    filed = await desk.receives(mail())
    await desk.verb(filed["case_id"], "answer", text="a")
    clerk = clients(desk.service, None, ["crm:staff"], subject="ben")
    listed = (await clerk.get("/v1/mail")).json()["items"]
    shown = (await clerk.get(f"/v1/mail/{filed['id']}")).json()
    assert "ada@" not in str((listed, shown)) and shown["sender"] == "a…@…"
    assert {each["recipient"] for each in listed} == {DESK, "a…@…"}
    refused = await clerk.get(f"/v1/mail/{filed['id']}/original")
    assert (refused.status_code, "pii:read" in refused.json()["detail"]) == (403, True)
    assert (await clerk.get(f"/v1/cases/{filed['case_id']}")).json()["history"][0]["text"] == "My order has not come."
    async with desk.service.database.unit() as unit:
        read = await unit.sql.fetch("SELECT who FROM operator_action WHERE action = 'customer:read'")
    assert {each["who"] for each in read} == {"ann"}, "a masked read is not noted"


async def test_mail_is_for_staff_and_has_a_limit(desk: Desk, clients: Clients) -> None:
    partner = clients(desk.service, "acme", ["crm:staff", "crm:write"])
    headers = {"content-type": "message/rfc822"}
    refused = await partner.post("/v1/mail", params={"recipient": DESK}, content=mail(), headers=headers)
    assert refused.status_code == 403
    for content, given, status in (
        (mail(), {"content-type": "text/plain"}, 415),
        (b"x" * (37 << 20), headers, 413),
    ):
        answer = await desk.staff.post("/v1/mail", params={"recipient": DESK}, content=content, headers=given)
        assert answer.status_code == status
