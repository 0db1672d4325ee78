"""The service's own tables, one class per table. Hand-written SQL writes them; the ORM only reads, in views."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ARRAY, JSON, TIMESTAMP, BigInteger, CheckConstraint, Double, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import BYTEA
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[type, Any]] = {
        str: Text,
        int: BigInteger,
        datetime: TIMESTAMP(timezone=True),
        bytes: BYTEA,
    }


def _index(name: str, *columns: str) -> Index:
    return Index(name, *columns, postgresql_where=text(f"{columns[0]} IS NOT NULL"))


class LogRow(Base):
    """One record of Kafka, whole, with the attributes by which it is found. They are null if it is no readable event.

    `position` is the one order for all readers: who has read a position has seen all rows below it. It has no gap. The
    partitions are days of `kafka_time`, so that a rebuild of the log does not put all days into one. `headers` has each
    byte as one character. `repeat` marks a record whose event id the topic had before.
    """

    __tablename__ = "log"
    __table_args__ = (
        Index("log_position", "position"),
        _index("log_event", "event_id"),
        _index("log_correlation", "correlation_id"),
        _index("log_trace", "trace_id"),
        _index("log_order", "order_id", "position"),
        _index("log_partner", "partner", "position"),
        {"postgresql_partition_by": "RANGE (kafka_time)"},
    )

    position: Mapped[int]
    kafka_time: Mapped[datetime] = mapped_column(primary_key=True)
    topic: Mapped[str] = mapped_column(primary_key=True)
    partition: Mapped[int] = mapped_column(Integer, primary_key=True)
    offset: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[bytes | None]
    value: Mapped[bytes]
    headers: Mapped[dict[str, Any]] = mapped_column(JSON)
    type: Mapped[str | None]
    event_id: Mapped[UUID | None]
    source: Mapped[str | None]
    sequence: Mapped[int | None]
    correlation_id: Mapped[UUID | None]
    causation_id: Mapped[UUID | None]
    order_id: Mapped[UUID | None]
    partner: Mapped[str | None]
    repeat: Mapped[bool]
    trace_id: Mapped[UUID | None]


class LogHeadRow(Base):
    """The last position, under whose row lock each unit appends. Rows up to `forgotten` may be gone.

    `epoch` is drawn when the database is made. So a cursor of another database is recognised.
    """

    __tablename__ = "log_head"
    __table_args__ = (CheckConstraint("one"), {"postgresql_with": {"fillfactor": "50"}})

    one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    epoch: Mapped[str]
    position: Mapped[int]
    forgotten: Mapped[int]


class LogArrivalRow(Base):
    """When the log reached a position, for readers that start at a time. At most one row per few seconds and worker."""

    __tablename__ = "log_arrival"
    __table_args__ = (Index("log_arrival_at", "at"),)

    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]


class ConsoleSession(Base):
    """A person who is signed in at the console. Written with SQL only. Tokens are sealed (`sign_in/seal.py`)."""

    __tablename__ = "console_session"
    __table_args__ = (
        Index("console_session_of_person", "subject", "started_at"),
        Index("console_session_ends", "ends_at"),
    )

    id: Mapped[bytes] = mapped_column(primary_key=True)
    """The digest of the cookie's value."""
    subject: Mapped[str]
    name: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    access: Mapped[bytes]
    refresh: Mapped[bytes | None]
    identity: Mapped[bytes]
    """The ID token: the issuer needs it as a hint to end its own session."""
    access_expires_at: Mapped[datetime]
    started_at: Mapped[datetime]
    used_at: Mapped[datetime]
    """The last request, at most a minute late."""
    ends_at: Mapped[datetime]
    version: Mapped[int] = mapped_column(server_default="0")
    """Counts the refreshes."""
    refreshing_until: Mapped[datetime | None]
    """Until then one process refreshes the tokens, and all others wait for it."""


class KafkaLookRow(Base):
    """When Kafka was last asked about its consumer groups, and when it last answered. Written with SQL only.

    The five tables of `consumers/` are what was seen: nothing but a page depends on them.
    """

    __tablename__ = "kafka_look"
    __table_args__ = (CheckConstraint("one"), {"postgresql_with": {"fillfactor": "50"}})

    one: Mapped[bool] = mapped_column(primary_key=True, server_default=text("true"))
    answered_at: Mapped[datetime | None]
    tried_at: Mapped[datetime]
    error: Mapped[str | None]
    left_out: Mapped[int] = mapped_column(Integer, server_default="0")


class KafkaEndRow(Base):
    """The end of each partition when Kafka last showed it."""

    __tablename__ = "kafka_end"
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)

    topic: Mapped[str] = mapped_column(primary_key=True)
    partition: Mapped[int] = mapped_column(Integer, primary_key=True)
    end: Mapped[int]
    inflow: Mapped[float] = mapped_column(Double)


class KafkaGroupRow(Base):
    """A consumer group, also one that Kafka has forgotten. Its sums are over the partitions that it reads."""

    __tablename__ = "kafka_group"
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)

    name: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str | None]
    kafka_state: Mapped[str | None]
    members: Mapped[int | None] = mapped_column(Integer)
    replaced: Mapped[bool]
    """Another generation of its projection had members when this group had none."""
    lag: Mapped[int | None]
    unread_since: Mapped[datetime | None]
    rate: Mapped[float | None] = mapped_column(Double)
    inflow: Mapped[float | None] = mapped_column(Double)
    partitions: Mapped[int] = mapped_column(Integer)
    uncommitted: Mapped[int] = mapped_column(Integer)
    topics: Mapped[list[str]] = mapped_column(ARRAY(Text))
    first_seen_at: Mapped[datetime]
    active_at: Mapped[datetime | None]
    answered_at: Mapped[datetime | None]
    forgotten_at: Mapped[datetime | None]


class KafkaPositionRow(Base):
    """The committed position of a group in a partition. It is null if the group reads and has committed nothing."""

    __tablename__ = "kafka_position"
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)

    group: Mapped[str] = mapped_column(primary_key=True)
    topic: Mapped[str] = mapped_column(primary_key=True)
    partition: Mapped[int] = mapped_column(Integer, primary_key=True)
    position: Mapped[int | None]
    unread_since: Mapped[datetime | None]
    rate: Mapped[float | None] = mapped_column(Double)
    moved_at: Mapped[datetime | None]
    reads: Mapped[bool]
    member: Mapped[str | None]
    forgotten_at: Mapped[datetime | None]


class KafkaLagRow(Base):
    """The lag of a group over the last hour, for its plot."""

    __tablename__ = "kafka_lag"
    __table_args__ = (Index("kafka_lag_at", "at"),)

    group: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    lag: Mapped[int | None]
    seconds: Mapped[float | None] = mapped_column(Double)


class OrdersProjected(DeclarativeBase):
    """The tables of the projection `orders_now`. No migration creates them: each generation has its own."""

    type_annotation_map: ClassVar[dict[type, Any]] = Base.type_annotation_map


class OrderNowRow(OrdersProjected):
    """Each order of every partner as its last event left it. `sequence` is that of the event.

    `since` is when the order got its status. The columns of the placement are null if its event is a dead letter.
    """

    __tablename__ = "orders_now"
    __table_args__ = (
        Index("orders_now_list", "placed_at", "order_id"),
        Index("orders_now_status", "status", "placed_at", "order_id"),
        Index(
            "orders_now_partner",
            "partner",
            "placed_at",
            "order_id",
            postgresql_ops={"partner": "text_pattern_ops"},  # for the search, in databases of any collation
        ),
        Index("orders_now_partner_status", "partner", "status", "placed_at", "order_id"),
        Index("orders_now_reference", "reference", postgresql_ops={"reference": "text_pattern_ops"}),
    )

    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    partner: Mapped[str]
    reference: Mapped[str]
    status: Mapped[str]
    since: Mapped[datetime]
    placed_at: Mapped[datetime]
    sequence: Mapped[int]
    reason: Mapped[str | None]
    priority: Mapped[int | None]
    currency: Mapped[str | None]
    total: Mapped[str | None]
    lines: Mapped[int | None]
    units: Mapped[int | None]


class WaitingLineRow(OrdersProjected):
    """The lines of backordered orders that lack units, as the last event of their order has them."""

    __tablename__ = "waiting_lines"
    __table_args__ = (Index("waiting_lines_item", "item_id", "order_id"),)

    order_id: Mapped[UUID] = mapped_column(primary_key=True)
    line_id: Mapped[str] = mapped_column(primary_key=True)
    item_id: Mapped[str]
    requested: Mapped[int]
    reserved: Mapped[int]
    backordered: Mapped[int]


class LevelsProjected(DeclarativeBase):
    """The tables of the projection `levels_now`. No migration creates them: each generation has its own."""

    type_annotation_map: ClassVar[dict[type, Any]] = Base.type_annotation_map


class StockItemRow(LevelsProjected):
    """Each item, with its stock at all locations together. `sequence` is of its last event of stock, or 0.

    An item that no event of the items has named yet has no status. `empty` is true if no unit is unreserved: a column
    of its own, so that most changes of stock change no index.
    """

    __tablename__ = "stock_items"
    __table_args__ = (
        Index("stock_items_empty", "item_id", postgresql_where=text("empty")),
        Index("stock_items_search", "item_id", postgresql_ops={"item_id": "text_pattern_ops"}),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    item_id: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str | None]
    category: Mapped[str | None]
    unit_of_measure: Mapped[str | None]
    item_sequence: Mapped[int] = mapped_column(server_default=text("0"))
    on_hand: Mapped[int] = mapped_column(server_default=text("0"))
    reserved: Mapped[int] = mapped_column(server_default=text("0"))
    empty: Mapped[bool] = mapped_column(server_default=text("true"))
    sequence: Mapped[int] = mapped_column(server_default=text("0"))
    changed_at: Mapped[datetime | None]


class LevelNowRow(LevelsProjected):
    """The stock of each item at each location that holds it. `sequence` is of the item's last event."""

    __tablename__ = "levels_now"
    __table_args__ = (
        Index("levels_now_location", "location_id", "item_id"),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    item_id: Mapped[str] = mapped_column(primary_key=True)
    location_id: Mapped[str] = mapped_column(primary_key=True)
    on_hand: Mapped[int]
    reserved: Mapped[int]
    sequence: Mapped[int]
    changed_at: Mapped[datetime]
