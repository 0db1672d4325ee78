"""The projection of inventory's items."""

from shop import Shop

from crossdock_chassis.testing import envelope_of
from crossdock_events import Envelope
from crossdock_events.items import ItemChanged, ItemRegistered
from order_service.known_items.learn import learn


def changed(status: str, sequence: int) -> Envelope[ItemChanged]:
    return envelope_of(ItemChanged(item_id="A", unit_of_measure="each", status=status), sequence=sequence)


async def known(shop: Shop) -> dict[str, tuple[str, int]]:
    async with shop.service.database.unit() as unit:
        rows = await unit.sql.fetch("SELECT * FROM known_items WHERE item_id = 'A'")
    return {row["item_id"]: (row["status"], row["sequence"]) for row in rows}


async def test_item_events_out_of_order_keep_the_latest(shop: Shop) -> None:
    registered = envelope_of(ItemRegistered(item_id="A", unit_of_measure="each", status="active"), sequence=1)
    await shop.hears(changed("discontinued", 3))
    assert await known(shop) == {"A": ("discontinued", 3)}
    await shop.hears(registered, changed("active", 2))
    assert await known(shop) == {"A": ("discontinued", 3)}
    await shop.hears(changed("discontinued", 4), changed("active", 5))
    assert await known(shop) == {"A": ("active", 5)}


async def test_rebuild_of_the_projection_keeps_newer_status(shop: Shop) -> None:
    """A new generation reads the topic from its beginning, into the table that orders are checked against meanwhile."""
    await shop.hears(changed("discontinued", 3))
    async with shop.service.database.unit() as unit:
        await learn(unit, [changed("active", 1), changed("active", 2)])
    assert await known(shop) == {"A": ("discontinued", 3)}
