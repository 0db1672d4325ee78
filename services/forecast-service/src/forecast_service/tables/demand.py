"""Demand: what was imported, and the projection that counts it from events."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import JSON, CheckConstraint, Index, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from forecast_service.tables.base import Base


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


class DemandProjected(DeclarativeBase):
    """The tables of the projection `demand`. No migration creates them: each generation has its own."""

    type_annotation_map: ClassVar[dict[type, Any]] = Base.type_annotation_map


class DemandOrderRow(DemandProjected):
    """The facts of an order that may still change what is counted: `demand.model.Order`. Written with SQL only.

    It is kept for `demand.model.MEMORY`.
    """

    __tablename__ = "demand_orders"
    __table_args__ = (
        # It costs nothing to write: orders are stored in about the order of their placement.
        Index("demand_orders_placed", "placed_at", postgresql_using="brin"),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    placed_at: Mapped[datetime | None]
    day: Mapped[date | None]
    region: Mapped[str | None]
    ended_at: Mapped[datetime | None]
    reserved_at: Mapped[datetime | None]
    lines: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    places: Mapped[dict[str, Any] | None] = mapped_column(JSON)


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
