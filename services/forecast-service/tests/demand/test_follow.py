"""Which day an order counts for, and that the order of events changes nothing."""

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from stories import NOON, at, cancelled, days, placed, reserved

from crossdock_chassis import Service, new_id
from crossdock_chassis.testing import Deliver, Fresh, Violations
from crossdock_events import Envelope, Event
from forecast_service.demand.checks import not_the_orders
from forecast_service.demand.model import MEMORY
from forecast_service.places import Zones
from forecast_service.service import Settings, build

TODAY = date(2026, 3, 10)


async def test_order_counts_on_its_requested_day(service: Service, deliver: Deliver) -> None:
    await deliver(service, at(NOON, placed(new_id(), {"A": 2, "B": 3}, requested=date(2026, 3, 20))))
    await deliver(service, at(NOON, placed(new_id(), {"A": 5})))
    assert await days(service) == {
        ("A", "", "", date(2026, 3, 20)): 2,
        ("B", "", "", date(2026, 3, 20)): 3,
        ("A", "", "", TODAY): 5,
    }


async def test_day_is_that_of_the_destination(fresh: Fresh, deliver: Deliver) -> None:
    service = await fresh(build, Settings, time_zones={"US-CA": "America/Los_Angeles"})
    early = datetime(2026, 3, 8, 2, tzinfo=UTC)  # 7 March in America, 8 March in Europe
    for country, region in (("US", "CA"), ("US", "NY"), ("DE", None), ("NZ", None)):
        await deliver(service, at(early, placed(new_id(), {"A": 1}, country=country, region=region)))
    counted = await days(service)
    assert counted["A", "", "US-CA", date(2026, 3, 7)] == 1  # the setting names its zone
    assert counted["A", "", "US-NY", date(2026, 3, 7)] == 1
    assert counted["A", "", "DE", date(2026, 3, 8)] == 1
    assert counted["A", "", "NZ", date(2026, 3, 8)] == 1
    assert (counted["A", "", "", date(2026, 3, 7)], counted["A", "", "", date(2026, 3, 8)]) == (2, 2)


@pytest.mark.parametrize(
    ("reason", "stays"),
    [("partner_request", False), ("other", False), ("no_answer", True), ("backorder_expired", True), ("new", False)],
)
async def test_only_unwanted_demand_is_taken_back(service: Service, deliver: Deliver, reason: str, stays: bool) -> None:
    order = new_id()
    await deliver(service, at(NOON, placed(order, {"A": 2}, country="DE")), at(NOON, cancelled(order, reason), 2))
    assert bool(await days(service)) is stays


async def test_order_that_was_placed_anew_counts_once(service: Service, deliver: Deliver) -> None:
    first, second = new_id(), new_id()
    await deliver(service, at(NOON, placed(second, {"A": 3}, replaces=first)))  # of another partition, and earlier
    await deliver(service, at(NOON, placed(first, {"A": 2})), at(NOON, cancelled(first, "no_answer"), 2))
    assert await days(service) == {("A", "", "", TODAY): 3}


async def test_location_is_where_the_order_was_served(service: Service, deliver: Deliver) -> None:
    order = new_id()
    await deliver(service, at(NOON, reserved(order, {"A": {"north": 1}})))
    assert not await days(service)
    await deliver(service, at(NOON, placed(order, {"A": 3})))
    await deliver(service, at(NOON, reserved(order, {"A": {"north": 1, "south": 2}}), 2))
    assert await days(service) == {
        ("A", "", "", TODAY): 3,
        ("A", "north", "", TODAY): 1,
        ("A", "south", "", TODAY): 2,
    }


async def test_late_cancellation_takes_nothing_back(service: Service, deliver: Deliver) -> None:
    order, other = new_id(), new_id()
    for id in (order, other):
        await deliver(service, at(NOON, placed(id, {"A": 2})))
    await deliver(service, at(NOON + MEMORY, cancelled(order), 2))
    await deliver(service, at(NOON + MEMORY + timedelta(seconds=1), cancelled(other), 2))
    assert await days(service) == {("A", "", "", TODAY): 2}


def story(draw: random.Random, count: int) -> list[list[Envelope[Event]]]:
    """Return lanes of events. The order inside a lane is fixed, as in a partition of Kafka."""
    orders: list[UUID] = [new_id() for _ in range(count)]
    lanes: list[list[Envelope[Event]]] = []
    for n, order in enumerate(orders):
        time = NOON + timedelta(hours=draw.randrange(72))
        lines = {item: draw.randint(1, 9) for item in draw.sample("ABC", draw.randint(1, 3))}
        options: dict[str, Any] = {"country": draw.choice([None, "US", "DE"])}
        if n and draw.random() < 0.3:
            options["replaces"] = orders[n - 1]
        if draw.random() < 0.5:
            options["requested"] = TODAY + timedelta(days=draw.randrange(4))
        lane: list[Envelope[Event]] = [at(time, placed(order, lines, **options))]
        if draw.random() < 0.4:
            later = time + timedelta(days=draw.choice([1, 399, 401]))
            lane.append(at(later, cancelled(order, draw.choice(["other", "no_answer"])), 2))
        lanes.append(lane)
        lanes.append(
            [
                at(time + timedelta(days=draw.choice([0, 405])), reserved(order, {"A": {place: 1}}), n + 1)
                for n, place in enumerate(draw.choices(["north", "south"], k=draw.randrange(3)))
            ]
        )
    return lanes


@pytest.mark.parametrize("seed", range(12))
async def test_any_order_of_events_counts_the_same(
    service: Service, deliver: Deliver, violations: Violations, seed: int
) -> None:
    draw = random.Random(seed)
    lanes = [lane for lane in story(draw, count=12) if lane]
    while lanes:
        batch: list[Envelope[Event]] = []
        for _ in range(draw.randint(1, 8)):
            if lanes:
                lane = draw.choice(lanes)
                batch.append(lane.pop(0))
                lanes = [each for each in lanes if each]
        await deliver(service, *batch)
    assert await violations(service) == {}
    title = not_the_orders(Zones()).title
    for edit in (
        "UPDATE demand_days SET quantity = quantity + 1 WHERE item_id = 'A'",
        "DELETE FROM demand_days",
        "INSERT INTO demand_days VALUES ('A', '', '', '2020-01-01', 1)",
        "UPDATE demand_prices SET amount = amount + 1 WHERE item_id = 'A'",
        "DELETE FROM demand_prices",
        "INSERT INTO demand_prices VALUES ('A', '2020-01-01', 'EUR', 1, 1)",
    ):
        assert title in await violations(service, edit)


async def test_items_of_a_stuck_order_are_not_compared(
    service: Service, deliver: Deliver, violations: Violations
) -> None:
    """Its cancellation waits behind a dead letter, and is in the log."""
    order = new_id()
    await deliver(service, at(NOON, placed(order, {"A": 2})), at(NOON, placed(new_id(), {"B": 1})))
    await deliver(service, at(NOON, cancelled(order), 2))
    wrong = "UPDATE demand_days SET quantity = 9 WHERE item_id = $$A$$"
    assert await violations(service, wrong, stuck=[str(order)]) == {}
    assert await violations(service, wrong) != {}
