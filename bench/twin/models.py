"""Tables of the twin's order service and inventory service, which have separate databases."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, Numeric, UniqueConstraint
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Orders(DeclarativeBase):
    type_annotation_map = {datetime: TIMESTAMP(timezone=True), dict[str, Any]: JSON}  # noqa: RUF012


class Order(Orders):
    __tablename__ = "orders"
    __table_args__ = (UniqueConstraint("partner", "reference"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    partner: Mapped[str]
    reference: Mapped[str]
    customer_id: Mapped[str | None]
    priority: Mapped[int]
    currency: Mapped[str]
    total: Mapped[Decimal] = mapped_column(Numeric(18, 2))
    ship_to: Mapped[dict[str, Any] | None]
    status: Mapped[str] = mapped_column(default="placed", index=True)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    lines: Mapped[list["OrderLine"]] = relationship(back_populates="order", lazy="raise")


class OrderLine(Orders):
    __tablename__ = "order_lines"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(ForeignKey("orders.id"), index=True)
    line_id: Mapped[str]
    item_id: Mapped[str]
    quantity: Mapped[int]
    unit_price: Mapped[Decimal] = mapped_column(Numeric(18, 6))
    order: Mapped[Order] = relationship(back_populates="lines", lazy="raise")


class Inventory(DeclarativeBase):
    type_annotation_map = {datetime: TIMESTAMP(timezone=True)}  # noqa: RUF012


class Stock(Inventory):
    __tablename__ = "stock"

    item_id: Mapped[str] = mapped_column(primary_key=True)
    on_hand: Mapped[int]
    reserved: Mapped[int]


class Reservation(Inventory):
    __tablename__ = "reservations"
    __table_args__ = (UniqueConstraint("order_id", "line_id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    order_id: Mapped[UUID] = mapped_column(index=True)
    line_id: Mapped[str]
    item_id: Mapped[str]
    quantity: Mapped[int]
    created_at: Mapped[datetime]
