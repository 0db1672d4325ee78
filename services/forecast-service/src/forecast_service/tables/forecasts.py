"""The series, their forecasts, and how good the forecasts were."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from forecast_service.tables.base import Base


class SeriesRow(Base):
    """A series that has a forecast. `version` counts its events, and the columns after it have the last one."""

    __tablename__ = "series"
    __table_args__ = (
        Index("series_item", "item_id", "location_id", "region", unique=True),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    item_id: Mapped[str]
    location_id: Mapped[str]
    region: Mapped[str]
    version: Mapped[int] = mapped_column(server_default=text("0"))
    published_origin: Mapped[date | None]
    published_run: Mapped[UUID | None]
    published_overrides: Mapped[list[UUID]] = mapped_column(server_default=text("'{}'"))


class ForecastRow(Base):
    """A forecast as a run made it. `quantiles` and `cumulative` have an array for each level, one after another.

    `version` is that of the event that published it. It is null if the forecast before it was near enough.
    """

    __tablename__ = "forecasts"
    __table_args__ = (Index("forecasts_run", "run_id"), Index("forecasts_made", "made_at"))

    series_id: Mapped[UUID] = mapped_column(primary_key=True)
    origin: Mapped[date] = mapped_column(primary_key=True)
    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    made_at: Mapped[datetime]
    model: Mapped[str]
    demand_class: Mapped[str]
    why: Mapped[str | None]
    scores: Mapped[dict[str, Any]]
    mean: Mapped[list[float]]
    quantiles: Mapped[list[float]]
    cumulative: Mapped[list[float]]
    version: Mapped[int | None]


class ChoiceRow(Base):
    """How a series is forecast until it is chosen anew. Written with SQL only.

    `origin` is that of the last full choice, and `since` when these models were chosen first. `daily` and `sums` have
    an array for each level, one after another.
    """

    __tablename__ = "choices"

    series_id: Mapped[UUID] = mapped_column(primary_key=True)
    origin: Mapped[date]
    run_id: Mapped[UUID]
    since: Mapped[datetime]
    horizon: Mapped[int]
    kind: Mapped[str]
    models: Mapped[list[str]]
    weights: Mapped[list[float]]
    daily: Mapped[list[float]]
    sums: Mapped[list[float]]
    error: Mapped[float | None]
    scores: Mapped[dict[str, Any]]


class AdjustedForecastRow(Base):
    """A forecast after `overrides`, in the order in which they apply. Without any, the model's numbers are the last.

    There is a row for each time at which the numbers of a forecast changed. The model's own stay in `forecasts`.
    """

    __tablename__ = "adjusted_forecasts"

    series_id: Mapped[UUID] = mapped_column(primary_key=True)
    origin: Mapped[date] = mapped_column(primary_key=True)
    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    made_at: Mapped[datetime] = mapped_column(primary_key=True)
    overrides: Mapped[list[UUID]]
    mean: Mapped[list[float]]
    quantiles: Mapped[list[float]]
    cumulative: Mapped[list[float]]


class ForecastSumRow(Base):
    """The forecast of a category at a place, or (with an empty `category`) of all items, as a reconciliation made it.

    `quantiles` and `cumulative` are as in `forecasts`, and null if the sum itself could not be forecast. Written with
    SQL only.
    """

    __tablename__ = "forecast_sums"

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    location_id: Mapped[str] = mapped_column(primary_key=True)
    region: Mapped[str] = mapped_column(primary_key=True)
    category: Mapped[str] = mapped_column(primary_key=True)
    origin: Mapped[date]
    made_at: Mapped[datetime]
    items: Mapped[int]
    method: Mapped[str]
    why: Mapped[str | None]
    model: Mapped[str | None]
    mean: Mapped[list[float]]
    quantiles: Mapped[list[float] | None]
    cumulative: Mapped[list[float] | None]


class CoherentMeanRow(Base):
    """The mean of a forecast after it was reconciled with the sums above it. Written with SQL only."""

    __tablename__ = "coherent_means"

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    series_id: Mapped[UUID] = mapped_column(primary_key=True)
    mean: Mapped[list[float]]


class AccuracyProgressRow(Base):
    """The next day to measure, and the last series of it that is measured. There is at most one row."""

    __tablename__ = "accuracy_progress"
    __table_args__ = (CheckConstraint("one"),)

    one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    day: Mapped[date]
    after: Mapped[UUID | None]


class SeriesAccuracyRow(Base):
    """A series whose forecasts were measured. `version` counts its events, and `errors` are the last ones at lag 1."""

    __tablename__ = "series_accuracy"
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)

    series_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    direction: Mapped[str]
    errors: Mapped[list[float]]
