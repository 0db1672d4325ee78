"""The service's own tables, one class per table. Hand-written SQL writes them; the ORM only reads, in views."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    TIMESTAMP,
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    Numeric,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[type, Any]] = {
        str: Text,
        int: BigInteger,
        float: Double,
        datetime: TIMESTAMP(timezone=True),
        Decimal: Numeric,
        list[float]: ARRAY(Double),
        list[UUID]: ARRAY(Uuid),
        list[str]: ARRAY(Text),
        dict[str, Any]: JSONB,
    }


class ImportedDemandRow(Base):
    """Demand before Crossdock counted it, by day. Empty `location_id` and `region` mean the whole item.

    `in_stock` is false for a day on which more might have been asked for.
    """

    __tablename__ = "imported_demand"

    item_id: Mapped[str] = mapped_column(primary_key=True)
    location_id: Mapped[str] = mapped_column(primary_key=True)
    region: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    quantity: Mapped[int]
    price: Mapped[Decimal | None]
    promotion: Mapped[bool | None]
    in_stock: Mapped[bool | None]


class CutOverRow(Base):
    """Until the day before it imported rows count, and from it on orders do. There is at most one."""

    __tablename__ = "cut_over"
    __table_args__ = (CheckConstraint("one"),)

    one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    day: Mapped[date]


class SettledRow(Base):
    """All events that were published before `at` are counted. There is one row."""

    __tablename__ = "settled"
    __table_args__ = (CheckConstraint("one"), {"postgresql_with": {"fillfactor": "50"}})

    one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    at: Mapped[datetime]


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


class DemandProjected(DeclarativeBase):
    """The tables of the projection `demand`. No migration creates them: each generation has its own."""

    type_annotation_map: ClassVar[dict[type, Any]] = Base.type_annotation_map


class DemandOrderRow(DemandProjected):
    """An order that may still change what is counted. It is kept for `demand.model.MEMORY`.

    Columns are null until their event is read. `withdrawn_at` is the partner's cancellation, and `replaced_at` is the
    placement of the order that replaces this one. `region` is empty if the destination is not known.
    """

    __tablename__ = "demand_orders"
    __table_args__ = (Index("demand_orders_placed", "placed_at"), {"postgresql_with": {"fillfactor": "70"}})

    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    placed_at: Mapped[datetime | None]
    day: Mapped[date | None]
    region: Mapped[str] = mapped_column(server_default=text("''"))
    withdrawn_at: Mapped[datetime | None]
    replaced_at: Mapped[datetime | None]
    reserved_at: Mapped[datetime | None]


class DemandLineRow(DemandProjected):
    """What an order asks of an item, in base units."""

    __tablename__ = "demand_lines"

    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    item_id: Mapped[str] = mapped_column(primary_key=True)
    quantity: Mapped[int]


class DemandPlaceRow(DemandProjected):
    """From which location an order gets an item, as its last `StockReserved` has it."""

    __tablename__ = "demand_places"

    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    item_id: Mapped[str] = mapped_column(primary_key=True)
    location_id: Mapped[str] = mapped_column(primary_key=True)
    quantity: Mapped[int]


class DemandDayRow(DemandProjected):
    """The demand of a day that orders asked for: of an item, at a location, or of a region."""

    __tablename__ = "demand_days"
    __table_args__ = ({"postgresql_with": {"fillfactor": "70"}},)

    item_id: Mapped[str] = mapped_column(primary_key=True)
    location_id: Mapped[str] = mapped_column(primary_key=True)
    region: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    quantity: Mapped[int]


class DemandPriceRow(DemandProjected):
    """What the orders of a day asked of an item, and what they were to pay for it after discounts, in one currency."""

    __tablename__ = "demand_prices"
    __table_args__ = ({"postgresql_with": {"fillfactor": "70"}},)

    item_id: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    currency: Mapped[str] = mapped_column(primary_key=True)
    quantity: Mapped[int]
    amount: Mapped[Decimal]


class DemandItemRow(DemandProjected):
    """An item that inventory-service knows, as its last event has it."""

    __tablename__ = "demand_items"

    item_id: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str]
    category: Mapped[str | None]
    unit_of_measure: Mapped[str]
    sequence: Mapped[int]


class StockStateRow(DemandProjected):
    """Whether an item has free units, at a location or (with an empty `location_id`) anywhere."""

    __tablename__ = "stock_states"
    __table_args__ = ({"postgresql_with": {"fillfactor": "70"}},)

    item_id: Mapped[str] = mapped_column(primary_key=True)
    location_id: Mapped[str] = mapped_column(primary_key=True)
    out: Mapped[bool]


class StockOutRow(DemandProjected):
    """A time without free units. `ended` is null while it lasts."""

    __tablename__ = "stock_outs"

    item_id: Mapped[str] = mapped_column(primary_key=True)
    location_id: Mapped[str] = mapped_column(primary_key=True)
    began: Mapped[datetime] = mapped_column(primary_key=True)
    ended: Mapped[datetime | None]
