"""The orders of customers, a projection."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from crm_service.tables.base import Base


class OrdersProjected(DeclarativeBase):
    """The tables of the projection `customer_orders`. No migration creates them: each generation has its own."""

    type_annotation_map: ClassVar[dict[type, Any]] = Base.type_annotation_map


class CustomerOrderRow(OrdersProjected):
    """An order by its partner and customer id, empty without one. It names no customer: links can move.

    `lines` has line id, item and quantity of each line. `waiting` has item and missing quantity of each line that lacks
    stock. `since` is when it reached its status.
    """

    __tablename__ = "customer_orders"
    __table_args__ = (
        Index("customer_orders_customer", "partner", "external_id", "placed_at"),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    partner: Mapped[str]
    reference: Mapped[str]
    external_id: Mapped[str] = mapped_column(server_default=text("''"))
    status: Mapped[str]
    since: Mapped[datetime]
    placed_at: Mapped[datetime]
    sequence: Mapped[int]
    currency: Mapped[str | None]
    total: Mapped[str | None]
    reason: Mapped[str | None]
    lines: Mapped[list[Any] | None]
    waiting: Mapped[list[Any] | None]
