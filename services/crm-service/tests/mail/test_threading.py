"""Which case a mail belongs to, and mail that nobody can read. No mail is lost."""

from email import message_from_bytes
from email.message import EmailMessage

from mail_desk import DESK, Desk, mail

from crossdock_chassis import new_id
from crossdock_chassis.testing import Violations


def own_id(raw: bytes) -> str:
    return str(message_from_bytes(raw)["Message-ID"])


async def test_mail_that_is_answered_counts_before_others(desk: Desk) -> None:
    first, second = mail(), mail(sender="bob@example.com")
    one, two = (await desk.receives(first))["case_id"], (await desk.receives(second))["case_id"]
    for references, answered, case in (
        (f"{own_id(first)} {own_id(second)}", own_id(first), one),
        (f"{own_id(second)} {own_id(first)}", "<unknown@example.com>", one),
        (f"{own_id(first)} {own_id(second)} <unknown@example.com>", "", two),
    ):
        headers = {"References": references} | ({"In_Reply_To": answered} if answered else {})
        assert (await desk.receives(mail(**headers)))["case_id"] == case


async def test_copied_id_leads_nowhere_else(desk: Desk) -> None:
    """Somebody sends a mail with the id of an older one, to catch its replies."""
    raw = mail()
    case = (await desk.receives(raw))["case_id"]
    thief = (await desk.receives(mail(sender="eve@example.com", Message_ID=own_id(raw))))["case_id"]
    assert thief != case
    assert (await desk.receives(mail(References=own_id(raw))))["case_id"] == case


async def test_mail_to_others_with_the_desk_in_copy_is_threaded(desk: Desk) -> None:
    raw = mail(To="shop@example.com", Cc=DESK)
    case = (await desk.receives(raw))["case_id"]
    reply = mail("We look.", "shop@example.com", To="ada@example.com", Cc=DESK, In_Reply_To=own_id(raw))
    assert (await desk.receives(reply))["case_id"] == case
    later = mail("Thanks.", To="shop@example.com", Cc=DESK, In_Reply_To=own_id(reply))
    assert (await desk.receives(later))["case_id"] == case


async def test_signed_address_in_the_header_counts_a_forged_one_not(desk: Desk) -> None:
    case = await desk.case((await desk.receives(mail()))["case_id"])
    signed = desk.post.addresses.of_case(case["number"])
    place = signed.index("@") - 1
    forged = signed[:place] + ("0" if signed[place] != "0" else "1") + signed[place + 1 :]
    friend = await desk.receives(mail(sender="friend@example.com", To=f"Desk <{signed}>"))
    assert friend["case_id"] == case["id"]
    stranger = await desk.receives(mail(sender="eve@example.com", To=forged), forged)
    assert stranger["state"] == "filed" and stranger["case_id"] != case["id"]
    assert len((await desk.case(case["id"]))["history"]) == 2


async def test_machines_of_all_kinds_open_nothing(desk: Desk) -> None:
    raws = [
        mail(Return_Path="<>"),
        mail(X_Autoreply="yes"),
        mail(Subject="自动回复:我在休假"),
        mail(sender="MAILER-DAEMON@example.com"),
        mail(Precedence="list"),
        b"From: <>\r\nAuto-Submitted: auto-generated\r\n\r\nx",
    ]
    for raw in raws:
        assert (await desk.receives(raw))["state"] == "machine"
    assert (await desk.staff.get("/v1/cases")).json()["items"] == []
    assert (await desk.staff.get("/v1/mail/summary")).json()["out"] == []


async def test_garbage_is_kept_for_a_person_or_filed(desk: Desk, violations: Violations) -> None:
    boundary = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    kept = {
        b"Subject: nobody\r\n\r\nx": "unreadable",
        b"From: a@b.c\r\nX: " + b"x" * 280_000 + b"\r\n\r\nx": "unreadable",
        b"From: a@b.c\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * 50 + b"Subject: x\r\n\r\nx": "unreadable",
        b"From: a@b.c\r\n" + boundary + b"--b\r\n\r\nx\r\n" * 200 + b"--b--\r\n": "unreadable",
        b"\x00\xff\xfe" * 1_000: "unreadable",
        b"From: a@b.c\r\n\r\nno id": "filed",
        b"From: a@b.c\r\nMessage-ID: [broken]\r\nReferences: <<>> <\xff@x>\r\n\r\nx": "filed",
        b"From: a@b.c\r\nContent-Type: text/plain; charset=klingon\r\n\r\n\xe4\xb8\xad\xff": "filed",
        b"From: \xd5\xc5\xb7\xc9 <z@b.c>\r\nSubject: \xb6\xa9\xb5\xa5\r\n\r\n\xc3\xbb\xca\xd5\xb5\xbd": "filed",
        b"From: a@b.c\r\nSubject: =?utf-8?b?!!!?= =?x?q?y?=\r\nContent-Transfer-Encoding: base64\r\n\r\n***": "filed",
        b"From: a@b.c\r\nContent-Type: multipart/mixed\r\n\r\nno boundary": "filed",
        b"From: a@b.c\r\nDate: never\r\nTo: undisclosed-recipients:;\r\n\r\nx": "filed",
    }
    for raw, state in kept.items():
        found = await desk.receives(raw)
        assert found["state"] == state, (raw[:60], found)
        assert (await desk.staff.get(f"/v1/mail/{found['id']}/original")).content == raw
        assert (found["case_id"] is None) == (state == "unreadable")
    assert await violations(desk.service) == {}
    latin = (await desk.staff.get("/v1/cases", params={"limit": 200})).json()["items"]
    assert "订单" in [each["subject"] for each in latin], "bytes without a charset are tried as Chinese"


async def test_html_is_shown_without_what_runs_or_loads(desk: Desk) -> None:
    one = EmailMessage()
    one["From"], one["Message-ID"] = "ada@example.com", f"<{new_id()}@example.com>"
    one.set_content(
        '<p onclick="x()">Hello <a href="javascript:x()">you</a><script>x()</script><img src="http://t/1.gif">'
        '<style>p{}</style><iframe src="http://t"></iframe><form action="/x"><input></form></p>',
        subtype="html",
    )
    html = (await desk.receives(one.as_bytes()))["html"]
    assert "Hello" in html
    for bad in ("script", "onclick", "javascript", "img", "iframe", "form", "style"):
        assert bad not in html


async def test_mail_that_breaks_the_filing_stops_no_other(desk: Desk) -> None:
    async with desk.service.database.unit() as unit:
        await unit.sql.execute("ALTER TABLE cases ADD CHECK (subject <> 'breaks')")
    broken = await desk.receives(mail(Subject="breaks"))
    assert (broken["state"], broken["reason"]) == ("unreadable", "it cannot be filed: CheckViolationError")
    assert (await desk.receives(mail()))["state"] == "filed"
    assert len((await desk.staff.get("/v1/cases")).json()["items"]) == 1


async def test_mail_to_two_of_our_addresses_is_filed_once(desk: Desk) -> None:
    raw = mail(To=f"{DESK}, complaints@crm.test")
    first = await desk.receives(raw)
    again = await desk.receives(b"Received: by mx2.example.com\r\n" + raw, "complaints@crm.test")
    assert (again["state"], again["case_id"]) == ("duplicate", first["case_id"])
    other = mail("Another text", Message_ID=own_id(raw))
    assert (await desk.receives(other))["state"] == "filed", "one id, two mails"
    assert len((await desk.case(first["case_id"]))["history"]) == 1
