"""Find out from a report whether a mail will never arrive. Only the child process imports it."""

import re
from email.message import Message
from typing import Final, NamedTuple

from flufl.bounce import all_failures

STATUS: Final = re.compile(r"\b[45]\.\d{1,3}\.\d{1,3}\b")
NOT_THE_ADDRESS: Final = re.compile(r"5\.2\.[2-4]|5\.[35-7]\.\d+|5\.4\.[0-24-7]")
"""A full mailbox, the mail's size, content or a policy, or the way to the server: another mail may arrive."""


class Failure(NamedTuple):
    """Why a mail has not arrived. With `hard`, no other mail to the address will arrive."""

    status: str | None
    hard: bool


def failure(mail: Message) -> Failure | None:
    """Return the failure that a report states, or None if it states none, or a delay."""
    _, permanent = all_failures(mail)
    if not permanent:
        return None
    status = _status(mail)
    return Failure(status, hard=status is None or (status[0] == "5" and not NOT_THE_ADDRESS.fullmatch(status)))


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
