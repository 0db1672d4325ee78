"""Erasures of customers, and what holds them back."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from crm_service.tables.base import Base


class ErasureRow(Base):
    """A customer that is to be erased, with all that was merged into it. `erased` counts rows, and stays as proof.

    `sequence` is that of the event that was sent before a restore, and null if the erasure sends one.
    """

    __tablename__ = "erasures"
    __table_args__ = (
        Index("erasures_open", "customer_id", unique=True, postgresql_where=text("done_at IS NULL")),
        Index("erasures_looked", "looked_at", postgresql_where=text("done_at IS NULL")),
        Index("erasures_done", "done_at", postgresql_where=text("done_at IS NOT NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID]
    reason: Mapped[str]
    who: Mapped[str]
    asked_at: Mapped[datetime]
    looked_at: Mapped[datetime]
    erased: Mapped[int] = mapped_column(server_default=text("0"))
    done_at: Mapped[datetime | None]
    sequence: Mapped[int | None]


class ErasedLinkRow(Base):
    """A customer id of a customer that was erased. Orders placed before then lead to nobody."""

    __tablename__ = "erased_links"

    namespace: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    erased_at: Mapped[datetime]


class HoldRow(Base):
    """A reason of law not to erase a customer, up to and with a day."""

    __tablename__ = "holds"
    __table_args__ = (Index("holds_customer", "customer_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID]
    reason: Mapped[str]
    until: Mapped[date]
    who: Mapped[str]
    placed_at: Mapped[datetime]
    lifted_at: Mapped[datetime | None]
