"""Levels are published when they settle, a stock-out and a recovery at once, and no last level is lost."""

import asyncio
import json
import random
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uuid_utils.compat import uuid7
from warehouse import Warehouse, placed

from crossdock_chassis import Service
from crossdock_chassis.jobs import declare, worker
from crossdock_chassis.jobs.worker import Jobs
from crossdock_chassis.testing import published
from crossdock_events import Cause
from crossdock_events.stock import StockEvent
from inventory_service.service import build
from inventory_service.settings import Settings
from inventory_service.stock.model import Head, Kind, Movement, Stock

RESTS = """
    SELECT FROM pg_stat_activity, job WHERE application_name = 'inventory-service-jobs' AND query LIKE 'LISTEN%'
      AND kind LIKE '%.settle_levels' AND seconds IS NOT NULL
"""
PLACES = ("north", "south")
KINDS: Sequence[Kind] = ("receipt", "adjustment", "reservation", "release")
MOVES = st.lists(st.tuples(st.sampled_from(PLACES), st.integers(-3, 3), st.integers(-3, 3), st.sampled_from(KINDS)))


def has_free(stock: Stock) -> dict[str, bool]:
    """Return whether the item has free units: in all, and by location."""
    places = stock.free()["a"]
    return {"in all": bool(places)} | {place: place in places for place in PLACES}


@given(st.lists(MOVES, max_size=8))
def test_only_stock_outs_and_recoveries_are_published_at_once(
    units: list[list[tuple[str, int, int, Kind]]],
) -> None:
    levels = {"a": {"north": [4, 2]}}
    since_event: set[str] = set()
    for moves in units:
        stock = Stock({"a": Head(3, 7, since_event)}, levels)
        before = has_free(stock)
        causes: list[Cause] = []
        for place, on_hand, reserved, kind in moves:
            there = levels["a"].get(place, (0, 0))
            if 0 <= there[1] + reserved <= there[0] + on_hand:
                causes.append(Cause(uuid7()))
                stock.move(Movement("a", place, on_hand, reserved, kind, "r", None, None, uuid7()), causes[-1])
                since_event |= {kind}
        stock.emptied()
        facts = list(stock.facts())
        assert bool(facts) == (has_free(stock) != before)
        for event, sequence, cause in facts:
            assert (set(event.causes), sequence, cause) == (since_event, 8, causes[0])
            assert event.available == sum(stock.free()["a"].values())
            since_event = set()


class Published(NamedTuple):
    item: str
    sequence: int
    levels: dict[str, tuple[int, int]]
    causes: list[str]
    correlation_id: str


async def levels_published(service: Service) -> list[Published]:
    """Return the stock events in the outbox, oldest first."""
    found = []
    for row in await published(service):
        if row["topic"] == StockEvent.topic.name:
            headers, data = row["headers"], json.loads(row["value"])
            levels = {each["location_id"]: (each["on_hand"], each["reserved"]) for each in data["levels"]}
            sequence = int(headers["ce_sequence"])
            found.append(Published(data["item_id"], sequence, levels, data["causes"], headers["ce_correlationid"]))
    return found


async def settle_levels(service: Service) -> None:
    """Run the job once, as a worker does at its start."""
    await Jobs(service.database, [job for job in service.jobs if job.name.endswith("settle_levels")]).run_due()


async def last_published(service: Service) -> dict[tuple[str, str], tuple[int, int]]:
    """Return on hand and reserved of the last event by item and location."""
    last = {each.item: each.levels for each in await levels_published(service)}
    return {(item, location): level for item, levels in last.items() for location, level in levels.items()}


async def test_changes_are_published_once_with_every_cause(service: Service, warehouse: Warehouse) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 10)
    order = placed(("a", 2))
    await warehouse.reserve(order)
    await warehouse.receive("a", 3)
    await warehouse.reserve(placed(("a", 1)))
    await warehouse.cancel(order.order_id)
    (recovery,) = await levels_published(service)
    assert (recovery.levels, recovery.causes) == ({"north": (10, 0)}, ["receipt"])
    await settle_levels(service)
    _, settled = await levels_published(service)
    assert (settled.sequence, settled.levels) == (2, {"north": (13, 1)})
    assert settled.causes == ["receipt", "release", "reservation"]
    (first,) = await warehouse.fetch("SELECT cause FROM movements WHERE reference = $1 LIMIT 1", str(order.order_id))
    (event,) = await warehouse.fetch(
        "SELECT headers ->> 'ce_causationid' AS cause FROM outbox WHERE topic = $1 ORDER BY id DESC LIMIT 1",
        StockEvent.topic.name,
    )
    assert event["cause"] == str(first["cause"])
    assert not await warehouse.settle()
    await warehouse.check()


async def test_stock_out_and_recovery_of_a_location_do_not_wait(service: Service, warehouse: Warehouse) -> None:
    await warehouse.open("a")
    await warehouse.receive("a", 3)
    await warehouse.receive("a", 3, "south")

    async def now(sequence: int, *causes: str) -> None:
        event = (await levels_published(service))[-1]
        assert (event.sequence, event.causes) == (sequence, list(causes))
        assert await last_published(service) == await warehouse.levels()

    await now(2, "receipt")
    await warehouse.reserve(placed(("a", 1)))
    await warehouse.receive("a", 1, "south")
    assert len(await levels_published(service)) == 2
    order = placed(("a", 2))
    await warehouse.reserve(order)
    await now(3, "receipt", "reservation")  # no unit is free at north
    await warehouse.reserve(placed(("a", 4)))
    await now(4, "reservation")  # nor anywhere
    await warehouse.cancel(order.order_id)
    await now(5, "release")
    await settle_levels(service)
    assert len(await levels_published(service)) == 5  # nothing is left to publish
    await warehouse.check()


async def test_changed_levels_survive_the_process_that_changed_them(service: Service, warehouse: Warehouse) -> None:
    """The worker that changed levels is gone. Nothing wakes the next one, which publishes them at its start."""
    await warehouse.open("a", "b")
    await warehouse.receive_all([("a", 9), ("b", 9)])
    await warehouse.reserve(placed(("a", 1)), placed(("b", 2)))
    await service.database.close()
    assert isinstance(service.settings, Settings)
    next_one = build(service.settings)
    await settle_levels(next_one)
    assert await last_published(next_one) == {("a", "north"): (9, 1), ("b", "north"): (9, 2)}
    await next_one.database.close()


async def test_two_publishers_leave_no_gap_and_lose_nothing(service: Service, warehouse: Warehouse) -> None:
    items = [f"item-{n}" for n in range(5)]
    await warehouse.open(*items)
    await warehouse.receive_all([(item, 20) for item in items])
    finished = asyncio.Event()

    async def publisher() -> None:
        while not finished.is_set():
            await warehouse.settle()

    async def client(number: int) -> None:
        chance = random.Random(number)
        for _ in range(10):
            lines = [(item, chance.randint(1, 4)) for item in chance.sample(items, 3)]
            match number % 3:
                case 0:
                    await warehouse.receive_all(lines, chance.choice(PLACES))
                case 1:
                    await warehouse.reserve(placed(*lines))
                case _:
                    order = placed(*lines)
                    await warehouse.reserve(order)
                    await warehouse.cancel(order.order_id)

    publishers = [asyncio.create_task(publisher()) for _ in range(2)]
    await asyncio.gather(*(client(number) for number in range(6)))
    finished.set()
    await asyncio.gather(*publishers)
    await settle_levels(service)
    await warehouse.check()
    assert await last_published(service) == await warehouse.levels()


@pytest.mark.parametrize("change", ["receipt", "order"])
async def test_changed_level_wakes_the_job_that_publishes_it(
    service: Service, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """No poll finds the set within the time of the test."""
    monkeypatch.setattr(worker, "POLL_SECONDS", 3_600.0)
    monkeypatch.setattr(declare, "REST_SECONDS", 3_600.0)
    await warehouse.open("a")
    await warehouse.receive("a", 5)
    stop = asyncio.Event()
    jobs = asyncio.create_task(Jobs(service.database, service.jobs).run(stop))
    try:
        async with asyncio.timeout(30):
            while not await warehouse.fetch(RESTS):
                await asyncio.sleep(0.02)
            await (warehouse.receive("a", 1) if change == "receipt" else warehouse.reserve(placed(("a", 1))))
            while await last_published(service) != await warehouse.levels():
                await asyncio.sleep(0.02)
    finally:
        stop.set()
        await jobs
