"""Read a mail (RFC 5322) in a process of its own. Limits come first: a hostile mail takes seconds and memory."""

import re
from collections.abc import Callable, Iterable, Iterator
from email import policy
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesParser
from email.utils import parseaddr
from html.parser import HTMLParser
from typing import Final, NamedTuple, TypeAlias

MAX_HEADER_BYTES: Final = 64 * 1024
MAX_PARTS: Final = 100
MAX_DEPTH: Final = 20
MAX_TEXT: Final = 20_000
MAX_SUBJECT: Final = 200
MAX_REFERENCES: Final = 50
ADDRESS: Final = re.compile(r"[^\s@<>,;:\"\\\x00-\x1f\x7f]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,187}[A-Za-z0-9])?")
ID: Final = re.compile(r"<[^<>\s]{1,250}>")
BULK: Final = frozenset({"bulk", "junk", "list"})
_END: Final = re.compile(rb"\r?\n\r?\n")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_QUOTE: Final = re.compile(
    r"^\s*(?:On\b.{5,300}\bwrote:|Am\b.{5,300}\bschrieb\b.{0,200}:|在.{3,200}写道[:\uff1a]|-{2,}\s*(?:Original Message|"
    r"Forwarded message|原始邮件|Ursprüngliche Nachricht)\s*-{2,}|_{20,})\s*$",
    re.MULTILINE,
)


class Read(NamedTuple):
    """What a mail has. `text` is without what it quotes. `machine` is why no person has written it."""

    sender: str
    subject: str
    text: str
    message_id: str | None
    references: tuple[str, ...]
    machine: str | None


class Unreadable(NamedTuple):
    reason: str


Outcome: TypeAlias = Read | Unreadable


def make() -> Callable[[bytes], Iterable[Outcome]]:
    """Return the function of the child process."""
    return read


def read(raw: bytes) -> Iterator[Outcome]:
    """Yield what the mail has, or why it cannot be read."""
    end = _END.search(raw)
    if (len(raw) if end is None else end.start()) > MAX_HEADER_BYTES:
        yield Unreadable(f"its header is longer than {MAX_HEADER_BYTES} bytes")
        return
    mail = BytesParser(policy=policy.compat32).parsebytes(raw)
    if (reason := _too_large(mail)) is not None:
        yield Unreadable(reason)
        return
    sender = parseaddr(str(mail.get("From", "")))[1]
    if not ADDRESS.fullmatch(sender):
        yield Unreadable("it names no sender that can be answered")
        return
    own = ID.findall(str(mail.get("Message-ID", "")))
    named = [str(each) for name in ("References", "In-Reply-To") for each in mail.get_all(name, [])]
    references = dict.fromkeys(ID.findall(" ".join(named)))
    subject = _CONTROL.sub(" ", _decoded(str(mail.get("Subject", ""))).replace("\n", " ")).strip()[:MAX_SUBJECT]
    text = cut(_CONTROL.sub("", _text(mail).replace("\r\n", "\n")))[:MAX_TEXT]
    yield Read(
        sender,
        subject or "(no subject)",
        text or "(no text)",
        own[0] if own else None,
        tuple(references)[-MAX_REFERENCES:],
        _machine(mail),
    )


def cut(text: str) -> str:
    """Return a reply without the mail that it quotes. The whole mail is kept elsewhere."""
    if (found := _QUOTE.search(text)) is not None and text[: found.start()].strip():
        text = text[: found.start()]
    lines = text.rstrip().split("\n")
    while lines and (lines[-1].startswith(">") or not lines[-1].strip()):
        lines.pop()
    return "\n".join(lines).strip() or text.strip()


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


def _machine(mail: Message) -> str | None:
    """Return why no person has written the mail (RFC 3834, RFC 3464), or None."""
    automatic = str(mail.get("Auto-Submitted", "no")).split(";")[0].strip().lower()
    if automatic != "no":
        return "auto-submitted"
    if str(mail.get("Precedence", "")).strip().lower() in BULK:
        return "bulk"
    if mail.get("Return-Path", "x").strip() == "<>":
        return "null return path"
    return "report" if mail.get_content_type() == "multipart/report" else None


def _decoded(value: str) -> str:
    try:
        return str(make_header(decode_header(value)))
    except (LookupError, ValueError):  # an unknown charset, or bytes that are none of it
        return value


def _text(mail: Message) -> str:
    """Return the first plain text, or else the text of the first HTML, in the order of the parts."""
    found: dict[str, str] = {}
    for part in mail.walk():
        kind = part.get_content_type()
        if kind in ("text/plain", "text/html") and kind not in found and part.get_filename() is None:
            payload = part.get_payload(decode=True)
            found[kind] = _as_text(payload if isinstance(payload, bytes) else b"", part.get_content_charset())
    return found.get("text/plain") or _without_tags(found.get("text/html", ""))


def _as_text(content: bytes, charset: str | None) -> str:
    for name in (charset or "utf-8", "utf-8"):
        try:
            return content.decode(name)
        except (LookupError, ValueError):
            continue
    return content.decode("utf-8", errors="replace")


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._hidden += tag in ("script", "style")
        if tag in ("br", "p", "div", "tr", "li"):
            self.words.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style") and self._hidden > 0

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)


def _without_tags(html: str) -> str:
    parser = _Tags()
    parser.feed(html)
    return "".join(parser.words).strip()
