# ruff: noqa: RUF001  (the full-width signs are those of the programs)
"""Replies as mail programs write them: the forms of Outlook, Gmail, Apple Mail, QQ and 163, with made-up people.

Each is a name, the raw mail, and the text that the customer has written.
"""

import base64
import quopri
from typing import Final, NamedTuple

EN, ZH = "It has not come yet. Please check.", "还没有收到，请帮忙查一下。"
Q_EN, Q_ZH = "Your order is on its way.", "您的订单已发出。"
DESK = "support@crm.test"


class Sample(NamedTuple):
    name: str
    raw: bytes
    text: str


def part(text: str, kind: str, charset: str, coding: str) -> bytes:
    content = text.replace("\n", "\r\n").encode(charset)
    if coding == "base64":
        content = base64.encodebytes(content).replace(b"\n", b"\r\n")
    elif coding == "quoted-printable":
        content = quopri.encodestring(content).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    head = f'Content-Type: {kind}; charset="{charset}"\r\nContent-Transfer-Encoding: {coding}\r\n\r\n'
    return head.encode() + content


def sample(
    name: str,
    text: str,
    *,
    plain: str | None = None,
    html: str | None = None,
    charset: str = "utf-8",
    coding: str = "8bit",
    head: str = "",
    sender: str = "Ada <ada@example.com>",
    subject: str = "Re: Order",
) -> Sample:
    lines = [f"From: {sender}", f"To: {DESK}", f"Subject: {subject}", "MIME-Version: 1.0", *head.split("\n")]
    lines.insert(3, f"Message-ID: <{name.replace(' ', '.')}@example.com>")
    top = "\r\n".join(line for line in lines if line).encode() + b"\r\n"
    parts = [part(each, kind, charset, coding) for each, kind in ((plain, "text/plain"), (html, "text/html")) if each]
    if len(parts) == 1:
        return Sample(name, top + parts[0], text)
    body = b"".join(b"--=_b\r\n" + each + b"\r\n" for each in parts) + b"--=_b--\r\n"
    return Sample(name, top + b'Content-Type: multipart/alternative; boundary="=_b"\r\n\r\n' + body, text)


OUTLOOK_EN = "From: Support <support@crm.test>\nSent: Friday, November 27, 2026 12:00 PM\nTo: Ada <ada@example.com>\n"
OUTLOOK_ZH = "发件人: Support <support@crm.test>\n发送时间: 2026年11月27日 12:00\n收件人: 张飞 <zhang@example.cn>\n"
OUTLOOK_DE = "Von: Support <support@crm.test>\nGesendet: Freitag, 27. November 2026 12:00\nAn: Ada <ada@example.com>\n"
QQ = (
    '发件人: "Support" <support@crm.test>;\n发送时间: 2026年11月27日(星期五) 中午12:00\n收件人: "张飞"<zhang@qq.com>;\n'
)
QQ_HTML = (
    '<div>{text}</div><div><br></div><div style="font-size: 12px;padding:2px 0;">------------------&nbsp;原始邮件'
    '&nbsp;------------------</div><div style="background:#efefef;"><div><b>发件人:</b>&nbsp;"Support"'
    "&lt;support@crm.test&gt;;</div><div><b>发送时间:</b>&nbsp;2026年11月27日(星期五) 中午12:00</div></div>"
    "<div>{quoted}</div>"
)
GMAIL_HTML = (
    '<div dir="ltr">{text}</div><br><div class="gmail_quote"><div dir="ltr" class="gmail_attr">{line}<br></div>'
    '<blockquote class="gmail_quote" style="margin:0 0 0 .8ex">{quoted}<br></blockquote></div>'
)
ON = "On Fri, Nov 27, 2026 at 12:00 PM Support <support@crm.test> wrote:"
ON_TWO_LINES = "On Fri, Nov 27, 2026 at 12:00 PM Support of the Warehouse in Bergen <\nsupport@crm.test> wrote:"
HTML_ON = ON.replace("<support@crm.test>", '&lt;<a href="mailto:support@crm.test">support@crm.test</a>&gt;')
YU = "Support <support@crm.test> 于2026年11月27日周五 12:00写道："
ZAI = '在 2026-11-27 12:00:00，"Support" <support@crm.test> 写道：'
APPLE_ON = "On Nov 27, 2026, at 12:00, Support <support@crm.test> wrote:"
APPLE_ZAI = "在 2026年11月27日，12:00，Support <support@crm.test> 写道："
ZHANG = "=?gb18030?B?1cW3yQ==?= <zhang@qq.com>"
X_QQ = "X-QQ-mid: webmail12t1764216000\nX-QQ-STYLE: \nX-Mailer: QQMail 2.x"
X_163 = "X-Originating-IP: [203.0.113.7]\nX-Mailer: Coremail Webmail Server Version XT5.0.14"
ZH_163 = "=?GBK?B?1cW3yQ==?= <zhang@163.com>"
WRONG_ZH = ZH.replace("帮", "幫")
WRONG = sample("163 labelled gb2312", WRONG_ZH, plain=f"{WRONG_ZH}\n\n{ZAI}\n\n{Q_ZH}\n", charset="gbk", sender=ZH_163)

SAMPLES: Final = (
    sample("outlook desktop en", EN, plain=f"{EN}\n\n{OUTLOOK_EN}Subject: Order\n\n{Q_EN}", charset="us-ascii"),
    sample(
        "outlook desktop zh", ZH, plain=f"{ZH}\n\n{OUTLOOK_ZH}主题: 订单\n\n{Q_ZH}", charset="gb2312", coding="base64"
    ),
    sample("outlook desktop de", "Noch nichts da.", plain=f"Noch nichts da.\n\n{OUTLOOK_DE}Betreff: Order\n\n{Q_EN}"),
    sample("outlook original message", EN, plain=f"{EN}\n\n-----Original Message-----\n{OUTLOOK_EN}\n{Q_EN}"),
    sample(
        "outlook web", EN, plain=f"{EN}\n{'_' * 32}\n{OUTLOOK_EN}Subject: Order\n\n{Q_EN}", coding="quoted-printable"
    ),
    sample(
        "outlook html",
        EN,
        html=f'<p class="MsoNormal">{EN}</p><div><div style="border-top:solid 1pt"><p><b>From:</b> Support '
        f"&lt;support@crm.test&gt;<br><b>Sent:</b> Friday, November 27, 2026<br><b>To:</b> Ada</p></div></div>"
        f"<p>{Q_EN}</p>",
        head="X-Mailer: Microsoft Outlook 16.0",
        charset="iso-8859-1",
    ),
    sample(
        "outlook ios",
        f"{EN}\n\nGet Outlook for iOS<https://aka.ms/o0ukef>",
        plain=f"{EN}\n\nGet Outlook for iOS<https://aka.ms/o0ukef>\n{'_' * 32}\n{OUTLOOK_EN}Subject: Order\n\n{Q_EN}",
    ),
    sample(
        "gmail en",
        EN,
        plain=f"{EN}\n\n{ON}\n\n> {Q_EN}\n>\n",
        html=GMAIL_HTML.format(text=EN, line=HTML_ON, quoted=Q_EN),
    ),
    sample("gmail en wrapped", EN, plain=f"{EN}\n\n{ON_TWO_LINES}\n\n> {Q_EN}\n"),
    sample("gmail zh", ZH, plain=f"{ZH}\n\n{YU}\n\n> {Q_ZH}\n>\n", coding="base64"),
    sample("gmail html only", EN, html=GMAIL_HTML.format(text=EN, line=HTML_ON, quoted=Q_EN)),
    sample("gmail bottom posting", EN, plain=f"{ON}\n\n> {Q_EN}\n>\n\n{EN}\n"),
    sample("gmail forwarded", EN, plain=f"{EN}\n\n---------- Forwarded message ---------\nFrom: Support\n\n{Q_EN}"),
    sample(
        "gmail between the lines",
        f"See below.\n\n{ON}\n\n> Is it blue?\n\nYes.\n\n> Is it large?\n\nNo.",
        plain=f"See below.\n\n{ON}\n\n> Is it blue?\n\nYes.\n\n> Is it large?\n\nNo.",
    ),
    sample("apple mail en", EN, plain=f"{EN}\n\n> {APPLE_ON}\n> \n> {Q_EN}\n", head="X-Mailer: Apple Mail (2.3826)"),
    sample("apple mail zh", ZH, plain=f"{ZH}\n\n> {APPLE_ZAI}\n> \n> {Q_ZH}\n", coding="quoted-printable"),
    sample(
        "iphone en",
        f"{EN}\n\nSent from my iPhone",
        plain=f"{EN}\n\nSent from my iPhone\n\n> {APPLE_ON}\n> \n> {Q_EN}\n",
    ),
    sample("iphone zh", f"{ZH}\n\n发自我的iPhone", plain=f"{ZH}\n\n发自我的iPhone\n\n> {APPLE_ZAI}\n> \n> {Q_ZH}\n"),
    sample(
        "apple mail html",
        EN,
        html=f'<body>{EN}<br><div><blockquote type="cite"><div>{APPLE_ON.replace("<", "&lt;")}</div><br>'
        f"<div>{Q_EN}</div></blockquote></div></body>",
    ),
    sample("qq plain", ZH, plain=f"{ZH}\n\n\n------------------ 原始邮件 ------------------\n{QQ}\n{Q_ZH}", head=X_QQ),
    sample(
        "qq html in gb18030",
        ZH,
        html=QQ_HTML.format(text=ZH, quoted=Q_ZH),
        charset="gb18030",
        coding="base64",
        head=X_QQ,
        sender=ZHANG,
        subject="=?gb18030?B?u9i4tKO6tqm1pQ==?=",
    ),
    sample(
        "qq both parts",
        ZH,
        plain=f"{ZH}\n\n\n\n\n------------------&nbsp;原始邮件&nbsp;------------------\n{QQ}\n{Q_ZH}".replace(
            "&nbsp;", "\xa0"
        ),
        html=QQ_HTML.format(text=ZH, quoted=Q_ZH),
        coding="base64",
        sender=ZHANG,
    ),
    sample(
        "qq mobile",
        f"{ZH}\n\n来自我的iPhone",
        plain=f"{ZH}\n\n来自我的iPhone\n\n\n------------------ Original ------------------\n{QQ}",
    ),
    sample(
        "qq original",
        ZH,
        plain=f'{ZH}\n\n---Original---\nFrom: "Support"<support@crm.test>\nDate: Fri, Nov 27\n\n{Q_ZH}',
    ),
    sample(
        "foxmail",
        f"{ZH}\n\nzhang@qq.com",
        plain=f"{ZH}\n\nzhang@qq.com\n \n发件人： Support\n发送时间： 2026-11-27 12:00\n收件人： zhang\n{Q_ZH}",
    ),
    sample(
        "163 plain",
        ZH,
        plain=f"{ZH}\n\n\n\n\n{ZAI}\n\n{Q_ZH}\n",
        charset="gbk",
        coding="base64",
        head=X_163,
        sender=ZH_163,
    ),
    sample(
        "163 english",
        EN,
        plain=f'{EN}\n\n\nAt 2026-11-27 12:00:00, "Support" <support@crm.test> wrote:\n\n>{Q_EN}\n',
        head=X_163,
    ),
    sample(
        "163 html",
        ZH,
        html=f'<div style="line-height:1.7">{ZH}</div><br><br>'
        f'<p>在 2026-11-27 12:00:00，"Support" &lt;support@crm.test&gt; 写道：'
        f'</p><blockquote id="isReplyContent" style="PADDING-LEFT: 1ex"><div>{Q_ZH}</div></blockquote>',
        charset="gbk",
        coding="base64",
        sender=ZH_163,
    ),
    sample(
        "163 master",
        ZH,
        plain=f"{ZH}\n\n\n---- 回复的原邮件 ----\n| 发件人 | Support<support@crm.test> |\n"
        f"| 日期 | 2026年11月27日 |\n{Q_ZH}",
    ),
    WRONG._replace(raw=WRONG.raw.replace(b'charset="gbk"', b'charset="gb2312"')),
)
