"""Rules that open cases, and what they watch."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from crm_service.tables.base import Base


class CaseRuleRow(Base):
    """A rule that opens a case once an order has had a trouble for so long. Only troubles after `made_at` count."""

    __tablename__ = "case_rules"

    name: Mapped[str] = mapped_column(primary_key=True)
    trouble: Mapped[str]
    after_seconds: Mapped[int]
    kind: Mapped[str]
    severity: Mapped[str]
    category: Mapped[str | None]
    subject: Mapped[str]
    notice: Mapped[str]
    made_at: Mapped[datetime]


class OrderTroubleRow(Base):
    """An order that is in trouble now, and since when."""

    __tablename__ = "order_troubles"

    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    trouble: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime]


class RuleWatchRow(Base):
    """An order in trouble for which a rule opens a case at `due_at`, unless the trouble ends before."""

    __tablename__ = "rule_watches"
    __table_args__ = (Index("rule_watches_due", "due_at"), Index("rule_watches_order", "order_id"))

    rule: Mapped[str] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    since: Mapped[datetime]
    due_at: Mapped[datetime]


class RuleCaseRow(Base):
    """A case that a rule has opened. Its key allows one per rule and order. `suppressed`: why no notice was sent."""

    __tablename__ = "rule_cases"
    __table_args__ = (Index("rule_cases_case", "case_id", unique=True),)

    rule: Mapped[str] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    case_id: Mapped[UUID]
    suppressed: Mapped[str | None]
    opened_at: Mapped[datetime]
