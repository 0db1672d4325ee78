"""Find out from a report whether a mail will never arrive. Only the child process imports it."""

import re
from email.message import Message
from itertools import islice
from typing import Final, NamedTuple

from flufl.bounce import all_failures

STATUS: Final = re.compile(r"\b[45]\.\d{1,3}\.\d{1,3}\b")
ID: Final = re.compile(r"<[^<>\s]{1,250}>")
HEADERS: Final = re.compile(r"^(?:Message-ID|Original-Message-ID):\s*(<[^<>\s]{1,250}>)", re.I | re.M)
MAX_PARTS: Final = 100
MAX_ABOUT: Final = 50
MAX_ADDRESS: Final = 320
NOT_THE_ADDRESS: Final = re.compile(r"5\.2\.[2-4]|5\.[35-7]\.\d+|5\.4\.[0-24-7]")
"""A full mailbox, the mail's size, content or a policy, or the way to the server: another mail may arrive."""


class Failure(NamedTuple):
    """Why a mail has not arrived. With `hard`, no other mail to the address will arrive.

    `about` has the ids of mails that the report names, and `to` the address that it states.
    """

    status: str | None
    hard: bool
    about: tuple[str, ...] = ()
    to: str | None = None


def failure(mail: Message) -> Failure | None:
    """Return the failure that a report states, or None if it states none, or a delay."""
    _, permanent = all_failures(mail)
    if not permanent:
        return None
    status = _status(mail)
    hard = status is None or (status[0] == "5" and not NOT_THE_ADDRESS.fullmatch(status))
    return Failure(status, hard, _about(mail), _recipient(mail))


def _about(mail: Message) -> tuple[str, ...]:
    """Return the ids of the mails that a report answers, names, or returns with their header."""
    named = [str(mail.get(name, "")) for name in ("In-Reply-To", "References", "Original-Message-ID")]
    for part in islice(mail.walk(), 1, MAX_PARTS):
        named += [str(part.get(name, "")) for name in ("Message-ID", "Original-Message-ID")]
        if part.get_content_type() == "text/rfc822-headers":
            payload = part.get_payload(decode=True)
            named += HEADERS.findall(payload.decode("utf-8", "replace")) if isinstance(payload, bytes) else []
    return tuple(dict.fromkeys(ID.findall(" ".join(named))))[:MAX_ABOUT]


def _recipient(mail: Message) -> str | None:
    """Return the address that the part for machines states first (RFC 3464, 2.3)."""
    for name in ("Original-Recipient", "Final-Recipient"):
        for part in mail.walk():
            kind, _, address = str(part.get(name, "")).partition(";")
            if kind.strip().lower() == "rfc822" and address.strip():
                return address.strip()[:MAX_ADDRESS]
    return None


def _status(mail: Message) -> str | None:
    """Return the enhanced status code (RFC 3463) of the part for machines, or else of the text."""
    for part in mail.walk():
        if part.get_content_type() == "message/delivery-status":
            for block in part.get_payload() if part.is_multipart() else ():
                if isinstance(block, Message) and (found := STATUS.search(str(block.get("Status", "")))):
                    return found[0]
    for part in mail.walk():
        if part.get_content_type() == "text/plain":
            payload = part.get_payload(decode=True)
            if isinstance(payload, bytes) and (found := STATUS.search(payload[:20_000].decode("utf-8", "replace"))):
                return found[0]
    return None
