"""Mails in and out, and what they are made from."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from crm_service.tables.base import Base


class MailRow(Base):
    """A mail as it came in or goes out. `digest` is of a mail in and its recipient, so that it is stored once.

    A mail in is `stored`, then `filed`, `duplicate`, `machine` or `unreadable`. A mail out is `requested` or
    `suppressed`, then `sent`, `refused`, `bounced`, or `unknown`. `kind` is of a mail out.
    `handed_at` is just before its final dot. `named` has the addresses in an unreadable mail, once an erasure has
    looked for them.
    """

    __tablename__ = "mails"
    __table_args__ = (
        Index("mails_digest", "digest", unique=True),
        Index("mails_message", "message_id"),
        Index("mails_case", "case_id", "at"),
        Index("mails_stored", "at", "id", postgresql_where=text("state = 'stored'")),
        Index("mails_state", "state", "id"),
        Index("mails_nameless", "id", postgresql_where=text("state = 'unreadable' AND named IS NULL")),
        Index("mails_outcome", "state", "reason", postgresql_where=text("direction = 'out'")),
        Index("mails_from", text("lower(sender)"), postgresql_where=text("case_id IS NULL")),
        Index("mails_to", text("lower(recipient)"), postgresql_where=text("case_id IS NULL")),
        Index("mails_acknowledged", text("lower(recipient)"), "at", postgresql_where=text("kind = 'acknowledgement'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    direction: Mapped[str]
    state: Mapped[str]
    reason: Mapped[str | None]
    digest: Mapped[bytes | None]
    message_id: Mapped[str | None]
    references: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    sender: Mapped[str | None]
    recipient: Mapped[str]
    case_id: Mapped[UUID | None]
    raw: Mapped[bytes]
    at: Mapped[datetime]
    kind: Mapped[str | None]
    handed_at: Mapped[datetime | None]
    html: Mapped[str | None]
    named: Mapped[list[str] | None]


class SuppressionRow(Base):
    """A mail address, as a keyed hash, that gets no mail: none at all (`all`), or no `notice`."""

    __tablename__ = "suppressions"

    address: Mapped[bytes] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(primary_key=True)
    reason: Mapped[str]
    at: Mapped[datetime]


class TemplateRow(Base):
    """A template of a mail that replaces the shipped one."""

    __tablename__ = "templates"

    name: Mapped[str] = mapped_column(primary_key=True)
    locale: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str]
    text: Mapped[str]
    changed_at: Mapped[datetime]


class ImapPositionRow(Base):
    """Up to which mail a mailbox was read."""

    __tablename__ = "imap_positions"

    mailbox: Mapped[str] = mapped_column(primary_key=True)
    validity: Mapped[int]
    uid: Mapped[int]
    at: Mapped[datetime]
