"""Runs, which forecast many series in chunks."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, mapped_column

from forecast_service.tables.base import Base


class RunRow(Base):
    """A run: the forecast of some series from `origin` on. `open` counts its chunks that are not finished.

    `scope` is the filter as a text, so that one run of it at a time can be running. `demand` is the sum that a nightly
    run has counted, and null for other runs. `calendar` is that of the request, so that a resumed run gives the same
    forecasts.
    """

    __tablename__ = "runs"
    __table_args__ = (
        Index("runs_running", "origin", "scope", unique=True, postgresql_where=text("state = 'running'")),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    origin: Mapped[date]
    horizon: Mapped[int]
    item_prefix: Mapped[str | None]
    category: Mapped[str | None]
    chosen: Mapped[list[UUID] | None]
    levels: Mapped[list[str]] = mapped_column(server_default=text("'{item}'"))
    scope: Mapped[str]
    deadline_seconds: Mapped[int | None]
    deadline_at: Mapped[datetime | None]
    demand: Mapped[Decimal | None]
    reselect: Mapped[bool] = mapped_column(server_default=text("false"))
    state: Mapped[str]
    requested_by: Mapped[str]
    requested_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    open: Mapped[int]
    calendar: Mapped[dict[str, Any] | None]


class RunChunkRow(Base):
    """Series of a run that are forecast together, under a lease. `number` is its place in the order of work."""

    __tablename__ = "run_chunks"
    __table_args__ = (
        Index("run_chunks_open", "run_id", "number", postgresql_where=text("state = 'open'")),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    level: Mapped[str]
    series: Mapped[list[UUID]]
    state: Mapped[str] = mapped_column(server_default=text("'open'"))
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    leased_by: Mapped[str | None]
    leased_until: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class RunFailureRow(Base):
    """A series that could not be forecast as it should have been."""

    __tablename__ = "run_failures"

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    series_id: Mapped[UUID] = mapped_column(primary_key=True)
    reason: Mapped[str]
