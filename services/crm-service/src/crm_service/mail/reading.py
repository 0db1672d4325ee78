"""Read a mail (RFC 5322) in a process of its own. Limits come first: a hostile mail takes seconds and memory."""

import re
from collections.abc import Callable, Iterable, Iterator
from email import policy
from email.header import decode_header
from email.message import Message
from email.parser import BytesParser
from email.utils import parseaddr
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from crm_service.mail.replies import cut

if TYPE_CHECKING:
    from crm_service.mail.bounces import Failure

MAX_HEADER_BYTES: Final = 64 * 1024
MAX_PARTS: Final = 100
MAX_DEPTH: Final = 20
MAX_TEXT: Final = 20_000
MAX_QUOTED: Final = 200_000
MAX_HTML: Final = 500_000
MAX_SUBJECT: Final = 200
MAX_REFERENCES: Final = 200
ADDRESS: Final = re.compile(r"[^\s@<>,;:\"\\\x00-\x1f\x7f]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,187}[A-Za-z0-9])?")
ID: Final = re.compile(r"<[^<>\s]{1,250}>")
BARE_ID: Final = re.compile(r"[^<>\s@]{1,125}@[^<>\s@]{1,124}")
BULK: Final = frozenset({"bulk", "junk", "list", "auto_reply"})
RESPONDERS: Final = ("X-Autoreply", "X-Autorespond", "X-Autoresponder")
AUTOMATIC: Final = re.compile(
    r"\s*(?:自动回复|自動回覆|automatic reply|auto[- ]?reply|abwesenheitsnotiz)\s*[:\uff1a]", re.I
)
"""Subjects of responders that have no header for it, such as those of QQ and 163."""
DAEMONS: Final = frozenset({"mailer-daemon", "postmaster"})
TO: Final = ("Delivered-To", "X-Original-To", "Envelope-To", "To", "Cc")
WIDER: Final = {"gb2312": "gb18030", "gbk": "gb18030", "iso-8859-1": "cp1252", "us-ascii": "utf-8"}
"""Charsets that are named more often than meant, and the one that has all of their characters."""
_END: Final = re.compile(rb"\r?\n\r?\n")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class Read(NamedTuple):
    """What a mail has. `text` is without what it quotes. `machine` is why no person has written it.

    `references` has the mails that it names, and the one that it answers last. `addressed` has whom its header names.
    `html` is cleaned. `failed` is why a mail of ours has not arrived, if this is a report of it.
    """

    sender: str
    subject: str
    text: str
    message_id: str | None
    references: tuple[str, ...]
    machine: str | None
    addressed: tuple[str, ...] = ()
    html: str | None = None
    failed: "Failure | None" = None


class Unreadable(NamedTuple):
    reason: str


class Attached(NamedTuple):
    """A part of a mail that is no text of it. `name` is as the mail has it."""

    name: str
    media_type: str
    content: bytes


Outcome: TypeAlias = Read | Unreadable


def make() -> Callable[[bytes], Iterable[Outcome | Attached]]:
    """Return the function of the child process."""
    return read


def read(raw: bytes) -> Iterator[Outcome | Attached]:
    """Yield what the mail has and then what is attached, or why it cannot be read."""
    end = _END.search(raw)
    if (len(raw) if end is None else end.start()) > MAX_HEADER_BYTES:
        yield Unreadable(f"its header is longer than {MAX_HEADER_BYTES} bytes")
        return
    # The policies other than compat32 raise on lines that From, Message-ID and charset have in real mails.
    mail = BytesParser(policy=policy.compat32).parsebytes(raw)
    if (reason := _too_large(mail)) is not None:
        yield Unreadable(reason)
        return
    sender = parseaddr(_raw(mail, "From"))[1]
    machine = _machine(mail, sender)
    if not ADDRESS.fullmatch(sender):
        if machine is None:
            yield Unreadable("it names no sender that can be answered")
            return
        sender = ""  # reports may come from <>
    text, html = _texts(mail)
    yield Read(
        sender,
        _subject(mail) or "(no subject)",
        cut(text[:MAX_QUOTED])[:MAX_TEXT] or "(no text)",
        _own_id(mail),
        _references(mail),
        machine,
        tuple(dict.fromkeys(ADDRESS.findall(" ".join(_raw(mail, name) for name in TO))))[:MAX_PARTS],
        html,
        None if machine is None else _failure(mail),
    )
    if machine is None:
        yield from _attached(mail)


def _attached(mail: Message) -> Iterator[Attached]:
    """Yield the parts that are no text of the mail, as they are: also `winmail.dat`, and mails that are attached."""
    stack = [mail]
    while stack:
        part = stack.pop()
        kind, payload = part.get_content_type(), part.get_payload()
        name = _decoded(part.get_filename() or "")
        if kind == "message/rfc822" and isinstance(payload, list):
            yield Attached(name or "message.eml", kind, b"".join(each.as_bytes() for each in payload))  # type: ignore[union-attr]
        elif isinstance(payload, list):
            stack += [each for each in reversed(payload) if isinstance(each, Message)]
        elif name or kind not in ("text/plain", "text/html") or part.get_content_disposition() == "attachment":
            content = part.get_payload(decode=True)
            yield Attached(name, kind, content if isinstance(content, bytes) else b"")


def body_of(raw: bytes) -> bytes:
    """Return a mail without its header."""
    end = _END.search(raw)
    return b"" if end is None else raw[end.end() :]


def _too_large(mail: Message) -> str | None:
    parts, stack = 0, [(mail, 0)]
    while stack:
        part, depth = stack.pop()
        parts += 1
        if parts > MAX_PARTS:
            return f"it has more than {MAX_PARTS} parts"
        if depth > MAX_DEPTH:
            return f"its parts are nested deeper than {MAX_DEPTH}"
        payload = part.get_payload()
        if isinstance(payload, list):
            stack += [(each, depth + 1) for each in payload if isinstance(each, Message)]
    return None


def _machine(mail: Message, sender: str) -> str | None:
    """Return why no person has written the mail (RFC 3834, RFC 3464), or None."""
    if _raw(mail, "Auto-Submitted").split(";")[0].strip().lower() not in ("", "no"):
        return "auto-submitted"
    if _raw(mail, "Precedence").strip().lower() in BULK:
        return "bulk"
    if mail.get_content_type() == "multipart/report" or sender.partition("@")[0].lower() in DAEMONS:
        return "report"
    if mail.get("Return-Path") is not None and _raw(mail, "Return-Path").strip() == "<>":
        return "null return path"
    if any(mail.get(name) is not None for name in RESPONDERS) or AUTOMATIC.match(_subject(mail)):
        return "automatic reply"
    return None


def _failure(mail: Message) -> "Failure | None":
    from crm_service.mail.bounces import failure  # noqa: PLC0415  (6 MB, which only the child process needs)

    return failure(mail)


def _own_id(mail: Message) -> str | None:
    value = _raw(mail, "Message-ID").strip()
    if (found := ID.search(value)) is not None:
        return found[0]
    return f"<{value}>" if BARE_ID.fullmatch(value) else None


def _references(mail: Message) -> tuple[str, ...]:
    """Return the mails that a mail names, the one that it answers last."""
    named = ID.findall(_all(mail, "References"))
    answered = ID.findall(_all(mail, "In-Reply-To"))
    return tuple(dict.fromkeys([each for each in named if each not in answered] + answered))[-MAX_REFERENCES:]


def _subject(mail: Message) -> str:
    return _CONTROL.sub(" ", _decoded(_raw(mail, "Subject")).replace("\n", " ")).strip()[:MAX_SUBJECT]


def _raw(mail: Message, name: str) -> str:
    """Return the first value of a header as it is, but as text also if it has bytes that are none of ASCII."""
    return next(_values(mail, name), "")


def _all(mail: Message, name: str) -> str:
    return " ".join(_values(mail, name))


def _values(mail: Message, name: str) -> Iterator[str]:
    for key, value in mail.raw_items():
        if key.lower() == name.lower():
            yield _as_text(str(value).encode("utf-8", "surrogateescape"), None)


def _decoded(value: str) -> str:
    """Decode a header (RFC 2047), also if a charset is unknown or wrong."""
    if "=?" not in value:
        return value
    try:
        parts = decode_header(value)
    except ValueError:  # its base64 is broken
        return value
    return "".join(part if isinstance(part, str) else _as_text(part, charset) for part, charset in parts)


def _texts(mail: Message) -> tuple[str, str | None]:
    """Return the text, and the first HTML cleaned. The text is the first plain one, or else that of the HTML."""
    found: dict[str, str] = {}
    for part in mail.walk():
        kind = part.get_content_type()
        if kind in ("text/plain", "text/html") and kind not in found and part.get_filename() is None:
            payload = part.get_payload(decode=True)
            text = _as_text(payload if isinstance(payload, bytes) else b"", part.get_content_charset())
            if text.strip():
                found[kind] = text
    html = found.get("text/html")
    text = found.get("text/plain") or _without_tags((html or "")[:MAX_HTML])
    text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\xa0", " "))
    return text, None if html is None else _cleaned(html[:MAX_HTML])


def _cleaned(html: str) -> str:
    """Return HTML that runs nothing and loads nothing: no scripts, forms, styles and images."""
    import nh3  # noqa: PLC0415  (only the child process needs it)

    return nh3.clean(_CONTROL.sub("", html), tags=nh3.ALLOWED_TAGS - {"img"}, url_schemes={"http", "https", "mailto"})


def _as_text(content: bytes, charset: str | None) -> str:
    named = (charset or "utf-8").lower()
    for name in (WIDER.get(named, named), "utf-8", "gb18030"):
        try:
            return content.decode(name).encode("utf-8", "replace").decode()
        except (LookupError, ValueError):
            continue
    return content.decode("utf-8", errors="replace")


class _Tags(HTMLParser):
    """Collects the text. Quoted lines get a mark, as plain mails have it."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._hidden = self._quoted = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._hidden += tag in ("script", "style", "title")
        self._quoted += tag == "blockquote"
        if tag in ("br", "p", "div", "tr", "li", "blockquote"):
            self._break()

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style", "title") and self._hidden > 0
        if tag == "blockquote" and self._quoted:
            self._quoted -= 1
            self._break()

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data.replace("\n", " "))

    def _break(self) -> None:
        self.words.append("\n> " if self._quoted else "\n")


def _without_tags(html: str) -> str:
    parser = _Tags()
    parser.feed(html)
    parser.close()
    return "".join(parser.words).strip()
