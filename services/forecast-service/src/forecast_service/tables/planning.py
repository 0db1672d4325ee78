"""What planners state: overrides, introductions, cleaning, the calendar, drivers and questions."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from forecast_service.tables.base import Base


class OverrideRow(Base):
    """What a planner states in place of forecasts. Without item and category it is for all items.

    Without `location_id` it is of the forecasts of whole items.
    `forecast` is the sum of the models' forecasts of these days when the override was made.
    """

    __tablename__ = "overrides"
    __table_args__ = (
        Index("overrides_in_force", "item_id", "category", "first_day", postgresql_where=text("status = 'in_force'")),
        Index("overrides_ended", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    level: Mapped[str]
    item_id: Mapped[str | None]
    category: Mapped[str | None]
    kind: Mapped[str]
    value: Mapped[float]
    first_day: Mapped[date]
    last_day: Mapped[date]
    why: Mapped[str]
    requested_by: Mapped[str]
    requested_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    series: Mapped[int]
    forecast: Mapped[float]
    status: Mapped[str] = mapped_column(server_default=text("'in_force'"))
    ended_by: Mapped[str | None]
    ended_at: Mapped[datetime | None]
    version: Mapped[int]
    location_id: Mapped[str | None]


class OverridePartRow(Base):
    """What an override gives a series on each day from its first one on; null for a percentage.

    `published` is false until the forecast of the series was published with the override, or again without it.
    """

    __tablename__ = "override_parts"
    __table_args__ = (
        Index("override_parts_series", "series_id"),
        Index("override_parts_due", "series_id", postgresql_where=text("NOT published")),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    override_id: Mapped[UUID] = mapped_column(primary_key=True)
    series_id: Mapped[UUID] = mapped_column(primary_key=True)
    daily: Mapped[list[float] | None]
    published: Mapped[bool] = mapped_column(server_default=text("false"))


class IntroductionRow(Base):
    """What a new item takes over from others, its `bases`. A successor has one. Written with SQL only."""

    __tablename__ = "introductions"

    item_id: Mapped[str] = mapped_column(primary_key=True)
    successor: Mapped[bool]
    bases: Mapped[list[str]]
    weights: Mapped[list[float]]
    scale: Mapped[float]
    start: Mapped[date | None]
    ramp_days: Mapped[int]
    changed_at: Mapped[datetime]
    changed_by: Mapped[str]


class CleaningDecisionRow(Base):
    """What the last run cleaned of a day of a series. `verdict` is a person's: `undone` or `pinned`."""

    __tablename__ = "cleaning_decisions"

    series_id: Mapped[UUID] = mapped_column(ForeignKey("series.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    rule: Mapped[str]
    reason: Mapped[str]
    before: Mapped[float | None]
    after: Mapped[float]
    run_id: Mapped[UUID]
    verdict: Mapped[str | None]
    verdict_by: Mapped[str | None]
    verdict_at: Mapped[datetime | None]


class DemandOutlierRow(Base):
    """An outlier that was announced, so that it is never announced again."""

    __tablename__ = "demand_outliers"

    series_id: Mapped[UUID] = mapped_column(ForeignKey("series.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)


class CalendarCountryRow(Base):
    """A country or region whose public holidays count. Written with SQL only."""

    __tablename__ = "calendar_countries"

    name: Mapped[str] = mapped_column(primary_key=True)


class CalendarDayRow(Base):
    """One of the company's own days. Written with SQL only."""

    __tablename__ = "calendar_days"

    day: Mapped[date] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]


class PlannedDriverRow(Base):
    """A value of a driver on some days, for an item, a category, a location or all: those that are not empty.

    Rows never change, so that an origin of the past can be forecast from what was known then. `withdrawn_at` ends one.
    `last_day` is null if it has no last day. Written with SQL only.
    """

    __tablename__ = "planned_drivers"
    __table_args__ = (
        Index("planned_drivers_scope", "item_id", "category", "name", "first_day"),
        Index("planned_drivers_name", "name", postgresql_where=text("withdrawn_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str]
    item_id: Mapped[str]
    category: Mapped[str]
    location_id: Mapped[str]
    first_day: Mapped[date]
    last_day: Mapped[date | None]
    value: Mapped[float]
    elsewhere: Mapped[str]
    known_from: Mapped[datetime]
    planned_by: Mapped[str]
    withdrawn_at: Mapped[datetime | None]


class WhatIfRow(Base):
    """A question that a runner answers under a lease. It is deleted minutes later. Written with SQL only."""

    __tablename__ = "what_ifs"
    __table_args__ = (Index("what_ifs_asked", "asked_at"), {"postgresql_with": {"fillfactor": "70"}})

    id: Mapped[UUID] = mapped_column(primary_key=True)
    question: Mapped[dict[str, Any]]
    asked_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    leased_until: Mapped[datetime | None]
    answer: Mapped[dict[str, Any] | None]
