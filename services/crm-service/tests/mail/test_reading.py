"""Mails as people and machines write them, and mails that are made to hurt."""

import time
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mails_of_clients import SAMPLES, Sample

from crm_service.mail.reading import MAX_TEXT, Read, Unreadable, read
from crm_service.mail.replies import cut


def mail(text: str = "My order has not come.", **headers: str) -> bytes:
    one = EmailMessage()
    for name, value in {"From": "Ada <ada@example.com>", "Subject": "Order", **headers}.items():
        one[name.replace("_", "-")] = value
    one.set_content(text)
    return one.as_bytes()


def read_one(raw: bytes) -> Read:
    found, *_ = read(raw)
    assert isinstance(found, Read), found
    return found


def refused(raw: bytes) -> str:
    (found,) = read(raw)
    assert isinstance(found, Unreadable), found
    return found.reason


def test_plain_mail_is_read() -> None:
    found = read_one(mail(Message_ID="<a@b>", In_Reply_To="<c@d>", References="<e@f> <c@d>"))
    assert found == Read("ada@example.com", "Order", "My order has not come.", "<a@b>", ("<e@f>", "<c@d>"), None)


def test_chinese_mail_in_gbk_is_read() -> None:
    body = "订单没有到".encode("gbk")
    head = b"From: =?gbk?B?1cW3yQ==?= <zhang@example.cn>\r\nSubject: =?utf-8?B?5oqV6K+J?=\r\n"
    found = read_one(head + b"Content-Type: text/plain; charset=gbk\r\n\r\n" + body)
    assert (found.sender, found.subject, found.text) == ("zhang@example.cn", "投诉", "订单没有到")


def test_html_mail_is_read_without_tags_and_scripts() -> None:
    html = "<html><style>p {}</style><p>It is <b>broken</b></p><script>alert(1)</script></html>"
    one = EmailMessage()
    one["From"] = "ada@example.com"
    one.set_content(html, subtype="html")
    assert read_one(one.as_bytes()).text == "It is broken"


@pytest.mark.parametrize(
    "quoted",
    [
        "On Fri, 27 Nov 2026 at 12:00, Support <support@crm.test> wrote:\n> Which colour?",
        "在 2026年11月27日 support 写道:\n> Which colour?",
        "------------------ 原始邮件 ------------------\nFrom: support",
        "-----Original Message-----\nFrom: support",
        "> Which colour?\n> Tell us.",
    ],
)
def test_quoted_mail_is_cut(quoted: str) -> None:
    assert cut(f"Blue.\n\n{quoted}\n") == "Blue."


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda each: each.name)
def test_reply_of_each_program_is_cut(sample: Sample) -> None:
    found = read_one(sample.raw)
    assert found.text == sample.text
    assert found.sender.partition("@")[2] in ("example.com", "qq.com", "163.com") and found.machine is None


def test_thirty_programs_are_tried() -> None:
    assert len({each.name for each in SAMPLES}) == 30


def test_mail_that_only_quotes_is_kept() -> None:
    assert cut("> all of it") == "> all of it"


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"Auto_Submitted": "auto-replied"}, "auto-submitted"),
        ({"Precedence": "bulk"}, "bulk"),
        ({"Return_Path": "<>"}, "null return path"),
        ({"Auto_Submitted": "no", "Return_Path": "<ada@example.com>"}, None),
    ],
)
def test_machine_mail_is_known(headers: dict[str, str], why: str | None) -> None:
    assert read_one(mail(**headers)).machine == why


def test_report_is_a_machine_s() -> None:
    raw = mail().replace(b"Content-Type: text/plain", b"Content-Type: multipart/report; boundary=x")
    assert read_one(raw).machine == "report"


def test_mail_without_sender_is_refused() -> None:
    assert "no sender" in refused(b"Subject: x\r\n\r\nHello")
    assert "no sender" in refused(mail().replace(b"ada@example.com", b"undisclosed"))


def test_mail_of_many_or_deep_parts_is_refused() -> None:
    boundary = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    wide = b"From: a@b.c\r\n" + boundary + b"--b\r\n\r\nx\r\n" * 200 + b"--b--\r\n"
    assert "parts" in refused(wide)
    deep = b"From: a@b.c\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * 50 + b"Subject: x\r\n\r\nx"
    assert "nested" in refused(deep)


def test_hostile_mail_costs_little_time() -> None:
    begun = time.process_time()
    assert "header" in refused(b"From: a@b.c\r\nSubject: " + b"=?utf-8?q?a?= " * 20_000 + b"\r\n\r\nx")
    read_one(mail("x" * (5 << 20)))
    list(read(b"From: a@b.c\r\nReferences: " + b"<" * 60_000 + b"\r\n\r\n" + b"On " * 100_000))
    assert time.process_time() - begun < 2
    assert len(read_one(mail("x" * 100_000)).text) == MAX_TEXT


@given(st.binary(max_size=400))
def test_any_bytes_have_an_outcome(noise: bytes) -> None:
    found, *_ = read(b"From: a@b.c\r\n" + noise)
    if isinstance(found, Read):
        assert "\0" not in found.text + found.subject
        found.text.encode()
