"""Which items are known, and how little of an address is told."""

from typing import Any

import pytest

from crossdock_chassis.testing import envelope_of
from crossdock_events.items import ItemChanged, ItemRegistered
from order_service.catalogue.learn import learn
from order_service.orders.place import outward


def changed(status: str, sequence: int) -> Any:
    return envelope_of(ItemChanged(item_id="A", unit_of_measure="each", status=status), sequence=sequence)


async def known(shop: Any) -> dict[str, tuple[str, int]]:
    async with shop.service.database.unit() as unit:
        rows = await unit.sql.fetch("SELECT * FROM known_items WHERE item_id = 'A'")
    return {row["item_id"]: (row["status"], row["sequence"]) for row in rows}


async def test_the_latest_counts_however_they_come(shop: Any) -> None:
    registered = envelope_of(ItemRegistered(item_id="A", unit_of_measure="each", status="active"), sequence=1)
    await shop.hears(changed("discontinued", 3))
    assert await known(shop) == {"A": ("discontinued", 3)}
    await shop.hears(registered, changed("active", 2))
    assert await known(shop) == {"A": ("discontinued", 3)}
    await shop.hears(changed("discontinued", 4), changed("active", 5))
    assert await known(shop) == {"A": ("active", 5)}


async def test_while_the_projection_is_rebuilt_what_is_known_does_not_go_back(shop: Any) -> None:
    """A new generation reads the topic from its beginning, into the table that orders are checked against meanwhile."""
    await shop.hears(changed("discontinued", 3))
    async with shop.service.database.unit() as unit:
        await learn(unit, [changed("active", 1), changed("active", 2)])
    assert await known(shop) == {"A": ("discontinued", 3)}


@pytest.mark.parametrize(
    ("country", "postcode", "told"),
    [
        ("GB", "SW1Y 4LB", "SW1Y"),
        ("GB", "sw1y4lb", "SW1Y"),
        ("GB", " M1 1AE ", "M1"),
        ("GB", "M11AE", "M1"),
        ("GB", "1AE", None),
        ("US", "94107-1234", "941"),
        ("NL", "1012 AB", "101"),
        ("CA", "K1A 0B1", "K1A"),
        ("IS", "10", "10"),
        ("SE", "11 455", "11"),
        ("DE", " ", None),
    ],
)
def test_the_outward_part_of_a_postcode(country: str, postcode: str, told: str | None) -> None:
    assert outward(country, postcode) == told
