"""Replay a day against real services that is so small that each outcome is known."""

import asyncio
from datetime import datetime, timedelta
from io import StringIO
from uuid import uuid4

import pytest
from harness import INVENTORY, Harness, eventually
from rich.console import Console

from crossdock_cli.replay import Summary, show
from crossdock_cli.replay.data import THE_DAY, Basket, Day, Product, Sale
from crossdock_cli.replay.orders import clean
from crossdock_cli.replay.play import play
from crossdock_cli.replay.stock import CASE, NORTH

OPENING = datetime(2017, 12, 23, 9)


@pytest.fixture
def day() -> Day:
    """Return four baskets of two units of an item with six in stock, and one skipped basket of fuel."""
    first = uuid4().int % 10**9
    bacon, bread, fuel = range(first, first + 3)
    baskets = [
        Basket(first + n, first, 900 + n, OPENING + timedelta(minutes=n), (Sale(bacon, 2, 500), Sale(bread, 1, 199)))
        for n in range(4)
    ]
    baskets.append(Basket(first + 4, first, 904, OPENING + timedelta(hours=1), (Sale(fuel, 15_698, 3_499),)))
    products = {number: Product(number, f"PRODUCT {number}", None, None) for number in (bacon, bread, fuel)}
    return Day(THE_DAY, tuple(baskets), {}, products)


async def replayed(harness: Harness, day: Day) -> Summary:
    return await play(harness.stack, day, clean(day.baskets), 0.0, Console(file=StringIO()))


async def test_the_day_adds_up_and_a_second_time_changes_nothing(harness: Harness, day: Day) -> None:
    summary = await replayed(harness, day)
    assert summary.clean
    assert (summary.outcomes["confirmed"], summary.outcomes["backordered"]) == (3, 1)
    assert sum(summary.skipped.values()) == 1
    assert summary.existing == 0
    assert summary.accepted_to_confirmed is not None
    assert summary.accepted_to_confirmed.count == 3
    assert summary.events["crossdock.orders.v1"] >= 8

    again = await replayed(harness, day)
    assert again.clean
    assert again.existing == 4
    assert again.outcomes == summary.outcomes
    scarce = (await harness.availability(str(day.baskets[0].sales[0].product)))["on_hand"]
    assert scarce == CASE
    await harness.adds_up()


async def test_the_receipt_it_names_releases_who_it_says(harness: Harness, day: Day) -> None:
    summary = await replayed(harness, day)
    scarce = summary.scarcest
    assert scarce is not None
    text = StringIO()
    show(summary, Console(file=text, width=200))
    assert f"crossdock receive {scarce.item_id} {scarce.quantity}" in text.getvalue()

    async with harness.client(INVENTORY) as client:

        async def waiting() -> set[str]:
            answer = await client.get("/v1/backorders/orders", params={"item_id": scarce.item_id, "limit": 200})
            return {row["order_id"] for row in answer.json()["items"]}

        before = await waiting()
        assert len(before) == scarce.waiting
        await harness.receive({scarce.item_id: scarce.quantity}, NORTH.id)

        async def released() -> bool:
            return len(before - await waiting()) >= scarce.released

        assert scarce.released > 0
        await eventually(released)


async def test_two_at_once_place_each_order_once(harness: Harness, day: Day) -> None:
    one, other = await asyncio.gather(replayed(harness, day), replayed(harness, day))
    assert one.clean
    assert other.clean
    assert one.existing + other.existing == 4
    assert one.outcomes == other.outcomes
