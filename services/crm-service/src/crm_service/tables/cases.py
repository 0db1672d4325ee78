"""Cases, their files, and the queues, agents and macros that work on them."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Identity, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from crm_service.tables.base import ACTIVE, TO_ERASE, Base


class CaseRow(Base):
    """A case as its history left it. `version` counts its events, and `entries` the rows of its history.

    `erased_at` is the `changed_at` of a case from which the retention erased texts, mails and files.
    """

    __tablename__ = "cases"
    __table_args__ = (
        Index("cases_number", "number", unique=True),
        Index("cases_customer", "customer_id", "id"),
        Index("cases_partner", "partner", "id"),
        Index("cases_assigned", "assignee", postgresql_where=text(f"assignee IS NOT NULL AND {ACTIVE}")),
        Index("cases_queued", "queue", "id", postgresql_where=text(f"assignee IS NULL AND queue <> '' AND {ACTIVE}")),
        Index("cases_to_erase", "changed_at", postgresql_where=text(TO_ERASE)),
        Index("cases_parent", "parent", postgresql_where=text("parent IS NOT NULL")),
        {"postgresql_with": {"fillfactor": "80"}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Identity(always=True))
    kind: Mapped[str]
    customer_id: Mapped[UUID]
    partner: Mapped[str | None]
    status: Mapped[str]
    waiting_for: Mapped[str | None]
    severity: Mapped[str]
    category: Mapped[str | None]
    subject: Mapped[str]
    channel: Mapped[str]
    follows: Mapped[UUID | None]
    assignee: Mapped[str | None]
    root_cause: Mapped[str | None]
    segment: Mapped[str] = mapped_column(server_default=text("''"))
    contract: Mapped[str] = mapped_column(server_default=text("''"))
    level: Mapped[int] = mapped_column(server_default=text("0"))
    merged_into: Mapped[UUID | None]
    queue: Mapped[str] = mapped_column(server_default=text("''"))
    split_from: Mapped[UUID | None]
    parent: Mapped[UUID | None]
    version: Mapped[int]
    entries: Mapped[int]
    opened_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    erased_at: Mapped[datetime | None]


class CaseEntryRow(Base):
    """An entry of the history of a case, with the status after it. Entries never change."""

    __tablename__ = "case_entries"

    case_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    did: Mapped[str]
    status: Mapped[str]
    waiting_for: Mapped[str | None]
    side: Mapped[str]
    who: Mapped[str | None]
    body: Mapped[str | None]
    mail_id: Mapped[UUID | None]


class CaseTieRow(Base):
    """An order, or a line of it, that a case concerns. `line_id` is empty for the whole order."""

    __tablename__ = "case_ties"
    __table_args__ = (Index("case_ties_order", "order_id"),)

    case_id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    line_id: Mapped[str] = mapped_column(primary_key=True)
    quantity: Mapped[int | None]


class AttachmentRow(Base):
    """A file of a case. `stored_at` is null until all of its chunks are stored, and `size` and `sha256` are, too."""

    __tablename__ = "attachments"
    __table_args__ = (
        Index("attachments_case", "case_id", "id"),
        Index("attachments_begun", "begun_at", postgresql_where=text("stored_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    case_id: Mapped[UUID]
    mail_id: Mapped[UUID | None]
    name: Mapped[str]
    media_type: Mapped[str]
    internal: Mapped[bool]
    side: Mapped[str]
    who: Mapped[str | None]
    size: Mapped[int | None]
    sha256: Mapped[bytes | None]
    begun_at: Mapped[datetime]
    stored_at: Mapped[datetime | None]


class AttachmentChunkRow(Base):
    """A piece of a file: 256 KiB, the last one less."""

    __tablename__ = "attachment_chunks"

    attachment_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    content: Mapped[bytes]


class QueueRow(Base):
    """A queue of cases of a kind and category, which are empty for any. `skill` is what an agent needs for it."""

    __tablename__ = "queues"

    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    category: Mapped[str]
    skill: Mapped[str]


class AgentRow(Base):
    """A person of the desk who gets cases. `calendar` has the shifts, and is null for always."""

    __tablename__ = "agents"

    who: Mapped[str] = mapped_column(primary_key=True)
    skills: Mapped[list[str]]
    capacity: Mapped[int]
    present: Mapped[bool]
    calendar: Mapped[str | None]


class MacroRow(Base):
    """A named list of acts on a case, each with its text."""

    __tablename__ = "macros"

    name: Mapped[str] = mapped_column(primary_key=True)
    acts: Mapped[list[Any]]
