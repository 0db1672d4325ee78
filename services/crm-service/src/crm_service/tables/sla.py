"""Policies, calendars and timers of clocks."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from crm_service.tables.base import Base


class SlaPolicyRow(Base):
    """The open seconds that a kind and severity has, for a segment and contract of customers, which are empty for all.

    `steps` are open seconds of the resolution after which a case is escalated. `calendar` is null for 24 hours a day.
    """

    __tablename__ = "sla_policies"

    kind: Mapped[str] = mapped_column(primary_key=True)
    severity: Mapped[str] = mapped_column(primary_key=True)
    segment: Mapped[str] = mapped_column(primary_key=True, server_default=text("''"))
    contract: Mapped[str] = mapped_column(primary_key=True, server_default=text("''"))
    first_answer: Mapped[int]
    resolution: Mapped[int]
    next_answer: Mapped[int | None]
    steps: Mapped[list[int]] = mapped_column(server_default=text("'{}'"))
    calendar: Mapped[str | None]


class CustomerTermsRow(Base):
    """The segment and contract of a customer, which its new and active cases take over."""

    __tablename__ = "customer_terms"

    customer_id: Mapped[UUID] = mapped_column(primary_key=True)
    segment: Mapped[str]
    contract: Mapped[str]


class SlaCalendarRow(Base):
    """Opening times: weekday (0 is Monday) and two minutes of the day each, in a time zone.

    `special` has days with their own openings: date, and pairs of minutes of the day.
    """

    __tablename__ = "sla_calendars"

    name: Mapped[str] = mapped_column(primary_key=True)
    zone: Mapped[str]
    openings: Mapped[list[Any]]
    holidays: Mapped[str | None]
    special: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))


class CaseTimerRow(Base):
    """A moment of a running clock that is to be noticed: `risk`, `breach`, or `step-1` and so on of escalation."""

    __tablename__ = "case_timers"
    __table_args__ = (Index("case_timers_due", "due_at"),)

    case_id: Mapped[UUID] = mapped_column(primary_key=True)
    clock: Mapped[str] = mapped_column(primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True, server_default=text("1"))
    noticed: Mapped[str] = mapped_column(primary_key=True)
    due_at: Mapped[datetime]


class SlaMarkRow(Base):
    """A moment of a clock that was noticed, so that its event is sent once. `round` is that of the next answer."""

    __tablename__ = "sla_marks"

    case_id: Mapped[UUID] = mapped_column(primary_key=True)
    clock: Mapped[str] = mapped_column(primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True, server_default=text("1"))
    noticed: Mapped[str] = mapped_column(primary_key=True)
    due_at: Mapped[datetime]
    noticed_at: Mapped[datetime]
