"""Consents by purpose and channel. The last one counts, and after a merge the stricter of both. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, NamedTuple, TypeAlias
from uuid import UUID

State = Literal["given", "withdrawn"]
ConsentChannel = Literal["email", "phone", "sms", "post"]
Subject: TypeAlias = tuple[str, str]
"""A purpose and a channel."""


class Said(NamedTuple):
    """A consent that a customer gave or withdrew. `version` orders those of one customer."""

    customer_id: UUID
    version: int
    purpose: str
    channel: ConsentChannel
    state: State
    source: str
    at: datetime


def in_force(said: Iterable[Said], root: UUID, merged_at: datetime | None = None) -> dict[Subject, Said]:
    """Return the consent for each purpose and channel of a customer and of those that were merged into it.

    A consent of the customer after the last merge counts alone. Otherwise the last one of each counts, and a withdrawal
    wins.
    """
    last: dict[tuple[Subject, UUID], Said] = {}
    for each in sorted(said, key=lambda each: (each.customer_id, each.version)):
        last[(each.purpose, each.channel), each.customer_id] = each
    found: dict[Subject, Said] = {}
    for (subject, _), each in last.items():
        known = found.get(subject)
        found[subject] = each if known is None else max(known, each, key=lambda one: (one.state == "withdrawn", one.at))
    for (subject, id), each in last.items():
        if id == root and merged_at is not None and each.at > merged_at:
            found[subject] = each
    return found
