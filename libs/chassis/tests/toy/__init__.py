"""The smallest service: it marks each order that was placed, and answers."""

from collections.abc import Sequence

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import crossdock_chassis
from crossdock_chassis import Database, Projection, Service, Unit, on
from crossdock_events import Envelope
from crossdock_events.items import ItemEvent
from crossdock_events.orders import OrderCancelled, OrderConfirmed, OrderPlaced
from toy import migrations


class Base(DeclarativeBase):
    pass


class MarkRow(Base):
    __tablename__ = "mark"

    name: Mapped[str] = mapped_column(primary_key=True)
    times: Mapped[int]


class Poisonous(Exception):
    pass


class Settings(crossdock_chassis.Settings):
    poison: str = "poison"


MARK = """
    INSERT INTO mark (name, times) SELECT name, count(*) FROM unnest($1::text[]) AS name GROUP BY name ORDER BY name
    ON CONFLICT (name) DO UPDATE SET times = mark.times + excluded.times
"""


def build(settings: Settings) -> Service:
    database = Database(
        settings.postgres, source="toy-service", pool_size=settings.pool_size, direct=settings.postgres_direct
    )

    async def mark_placed(unit: Unit, batch: Sequence[Envelope[OrderPlaced]]) -> None:
        await unit.sql.execute(MARK, [placed.event.reference for placed in batch])
        for placed in batch:
            if placed.event.reference.startswith(settings.poison):
                unprintable = "\0\udc80" if "unprintable" in placed.event.reference else ""
                raise Poisonous(placed.event.reference + unprintable)
            confirmed = OrderConfirmed(
                order_id=placed.event.order_id, partner=placed.event.partner, reference=placed.event.reference
            )
            unit.publish(confirmed, sequence=placed.sequence + 1, cause=placed.as_cause())

    async def mark_cancelled(unit: Unit, batch: Sequence[Envelope[OrderCancelled]]) -> None:
        await unit.sql.execute(MARK, [f"cancelled {cancelled.event.reference}" for cancelled in batch])

    async def project_item(unit: Unit, batch: Sequence[Envelope[ItemEvent]]) -> None:
        await unit.sql.execute(MARK, [f"item {changed.event.item_id} {changed.event.status}" for changed in batch])

    return Service(
        name="toy-service",
        settings=settings,
        database=database,
        metadata=Base.metadata,
        migrations=migrations,
        reactions=[on(OrderPlaced, mark_placed), on(OrderCancelled, mark_cancelled)],
        reactions_start="beginning",
        projections=[Projection("items_marked", MetaData(), [on(ItemEvent, project_item)])],
    )


async def marks(service: Service) -> dict[str, int]:
    async with service.database.unit() as unit:
        rows = await unit.sql.fetch("SELECT name, times FROM mark ORDER BY name")
    return {row["name"]: row["times"] for row in rows}
