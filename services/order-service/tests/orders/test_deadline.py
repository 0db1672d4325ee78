"""Time passing: answers that never come, backorders that wait too long, and outages that are nobody's silence."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shop import Shop

from crossdock_chassis import partition_of
from crossdock_chassis.observability.metrics import WAITING_OLDEST, WAITING_ORDERS
from order_service.orders import deadline
from order_service.orders.deadline import (
    COMMITTED_AFTER,
    FIRST,
    LAST,
    AnswerDeadline,
    cancel_unanswered,
    expire_after,
    passed_over,
)
from order_service.orders.measure import measure_waiting
from order_service.orders.store import first_id_of, time_of

WITHIN = timedelta(minutes=1)
PARTITIONS = 4
NONE: Mapping[int, int] = dict.fromkeys(range(PARTITIONS), 0)


class Clock:
    """Runs the job as if at some minute from now, with inventory so many messages behind."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.lag: Mapping[int, int] | Exception = NONE
        self.asked = 0
        self.minutes = 0.0
        self.job = AnswerDeadline(WITHIN, self._lag, lag_limit=10, outbox_age=timedelta(seconds=5))

    async def _lag(self) -> Mapping[int, int]:
        self.asked += 1
        if isinstance(self.lag, Exception):
            raise self.lag
        return self.lag

    async def until(self, minutes: float) -> None:
        """Run the job every 15 seconds."""
        while self.minutes < minutes - 0.25:
            await self.at(self.minutes + 0.25)
        await self.at(minutes)

    async def at(self, minutes: float) -> None:
        self.minutes = minutes
        async with self.shop.service.database.unit() as unit:
            unit.now += timedelta(minutes=minutes)
            await self.job.look(unit)

    async def publishes(self) -> None:
        async with self.shop.service.database.unit() as unit:
            await unit.sql.execute("DELETE FROM outbox_pending")


async def status(shop: Shop, order_id: UUID) -> str:
    return str((await shop.show(order_id))["status"])


async def test_unanswered_order_is_cancelled_and_late_answer_ignored(shop: Shop) -> None:
    clock = Clock(shop)
    order_id, answered = await shop.placed(), await shop.placed()
    await shop.hears(shop.reserved(answered))
    await clock.publishes()
    await clock.at(0)
    await clock.until(1.01)
    assert await status(shop, order_id) == "placed", "its event may have taken five seconds to be published"
    await clock.at(1.2)
    assert await status(shop, order_id) == "cancelled"
    assert await status(shop, answered) == "confirmed"
    last = (await shop.timeline(order_id))[-1]
    assert (last["reason"], last["because"]["kind"]) == ("no_answer", "clock")
    assert await shop.hears(shop.reserved(order_id)) == []
    assert await status(shop, order_id) == "cancelled"


async def test_kafka_is_not_asked_while_no_order_waits(shop: Shop) -> None:
    """Asking costs two connections to the broker. An order that comes later still gets its full time."""
    clock = Clock(shop)
    answered = await shop.placed()
    await shop.hears(shop.reserved(answered))
    await clock.publishes()
    await clock.until(0.25)
    assert clock.asked == 0
    late = await shop.placed()
    await clock.publishes()
    await clock.until(1.2)
    assert (clock.asked > 0, await status(shop, late)) == (True, "placed")
    await clock.until(1.3)
    assert await status(shop, late) == "cancelled"


async def test_order_is_not_cancelled_while_its_event_is_unpublished(shop: Shop) -> None:
    clock = Clock(shop)
    order_id = await shop.placed()
    await clock.at(0)
    await clock.at(60)
    assert await status(shop, order_id) == "placed"
    await clock.publishes()
    await clock.at(61)
    await clock.until(61.9)
    assert await status(shop, order_id) == "placed", "the clock has started anew"
    await clock.at(62.1)
    assert await status(shop, order_id) == "cancelled"


async def test_order_is_not_cancelled_if_no_job_looked_for_a_while(shop: Shop) -> None:
    """Another worker ran the job meanwhile, and only that worker knows of an outage."""
    clock = Clock(shop)
    order_id = await shop.placed()
    await clock.publishes()
    await clock.at(0)
    await clock.at(2)
    assert await status(shop, order_id) == "placed"
    await clock.until(3.1)
    assert await status(shop, order_id) == "cancelled"


@pytest.mark.parametrize("trouble", [{0: 6, 1: 5}, ConnectionError("no broker"), TimeoutError()])
async def test_order_is_not_cancelled_during_or_soon_after_an_outage(
    shop: Shop, trouble: Mapping[int, int] | Exception
) -> None:
    clock = Clock(shop)
    order_id = await shop.placed()
    await clock.publishes()
    await clock.at(0)
    clock.lag = trouble
    await clock.at(5)
    clock.lag = NONE
    await clock.at(6)
    await clock.until(6.9)
    assert await status(shop, order_id) == "placed"
    await clock.at(7.1)
    assert await status(shop, order_id) == "cancelled"


async def test_small_lag_cancels_only_orders_passed_over(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inventory died in a quiet hour: three messages behind is below every limit."""
    monkeypatch.setattr(deadline, "COMMITTED_AFTER", timedelta(0))
    clock = Clock(shop)
    before = await each_partition(shop)
    answered = await each_partition(shop)
    unread = await each_partition(shop)
    await shop.hears(shop.reserved(answered[1]), shop.reserved(answered[2]))
    await clock.publishes()
    clock.lag = {0: 2, 1: 1, 2: 0, 3: 0}
    await clock.at(0)
    await clock.until(10)
    assert await status(shop, before[0]) == "placed", "its partition has no answer; those of others prove nothing"
    assert await status(shop, before[1]) == "cancelled", "inventory answered a later order of its partition"
    assert await status(shop, unread[1]) == "placed"
    for partition in (2, 3):
        assert await status(shop, unread[partition]) == "cancelled", "inventory has read all of its partition"


async def each_partition(shop: Shop) -> dict[int, UUID]:
    """Place an order in each of the four partitions."""
    found: dict[int, UUID] = {}
    while len(found) < PARTITIONS:
        order_id = await shop.placed()
        found.setdefault(partition_of(str(order_id).encode(), PARTITIONS), order_id)
    return found


async def test_stuck_partition_does_not_hide_orders_of_others(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "AT_ONCE", 1)
    first = await each_partition(shop)
    for _ in range(await shop.count("orders")):
        async with shop.service.database.unit() as unit:
            unit.now += timedelta(minutes=5)
            await cancel_unanswered(unit, unit.now - timedelta(minutes=1), {0: 9, 1: 0, 2: 0, 3: 0})
    assert [await status(shop, first[p]) for p in range(PARTITIONS)] == ["placed", *["cancelled"] * 3]


@given(
    ages=st.lists(st.integers(0, 120), min_size=1, max_size=30),
    behind=st.lists(st.integers(0, 2), min_size=1, max_size=6),
)
def test_order_is_passed_over_only_within_its_partition(ages: list[int], behind: list[int]) -> None:
    now = datetime.now(UTC)
    answered = sorted((id_of(now - timedelta(seconds=age)) for age in ages), reverse=True)
    passed = passed_over(answered, dict(enumerate(behind)))
    for partition, messages in enumerate(behind):
        own = [id for id in answered if partition_of(str(id).encode(), len(behind)) == partition]
        if not messages:
            assert passed[partition] == LAST
        elif not own:
            assert passed[partition] == FIRST
        else:
            assert passed[partition] < first_id_of(time_of(own[0]) - COMMITTED_AFTER + timedelta(milliseconds=1))
            assert passed[partition] > first_id_of(time_of(own[0]) - COMMITTED_AFTER - timedelta(milliseconds=1))


def id_of(time: datetime) -> UUID:
    return UUID(int=first_id_of(time).int + uuid4().int % 2**60)


async def test_first_look_after_a_start_cancels_no_order(shop: Shop) -> None:
    order_id = await shop.placed()
    clock = Clock(shop)
    await clock.publishes()
    await clock.at(600)
    assert await status(shop, order_id) == "placed"


async def swept(shop: Shop, minutes: float) -> UUID:
    """A sweep over all orders of half a minute's age, as if at some minute from now; answers its low mark."""
    async with shop.service.database.unit() as unit:
        unit.now += timedelta(minutes=minutes)
        await cancel_unanswered(unit, unit.now - timedelta(seconds=1), NONE)
        low: UUID = await unit.sql.fetchval("SELECT low FROM sweeps")
    return low


async def test_sweep_mark_stays_behind_uncommitted_orders(shop: Shop) -> None:
    """Ids are made before the commit: the mark stays behind whatever a unit may still bring."""
    decided = await shop.placed()
    await shop.hears(shop.reserved(decided))
    assert await swept(shop, 0.1) < decided
    assert await swept(shop, 5) > decided
    assert await swept(shop, 1) > decided, "it never goes back"


async def test_sweep_mark_stops_at_the_first_unanswered_order(shop: Shop) -> None:
    answered, waits, late = await shop.placed(), await shop.placed(), await shop.placed()
    await shop.hears(shop.reserved(answered), shop.reserved(late))
    async with shop.service.database.unit() as unit:
        await unit.sql.execute("SELECT FROM orders WHERE id = $1 FOR UPDATE", waits)
        async with shop.service.database.unit() as other:  # somebody decides it just now: left for the next sweep
            other.now += timedelta(minutes=5)
            await cancel_unanswered(other, other.now - timedelta(minutes=1), NONE)
            assert await other.sql.fetchval("SELECT low FROM sweeps") == waits
    assert await status(shop, waits) == "placed"


async def test_backorder_expires_after_its_days(shop: Shop) -> None:
    old, young, served = await shop.placed(), await shop.placed(), await shop.placed()
    await shop.hears(*(shop.backordered(order_id) for order_id in (old, young, served)))
    async with shop.service.database.unit() as unit:
        for order_id in (old, served):
            await unit.sql.execute(
                "UPDATE waiting_items SET since = since - interval '30 days' WHERE order_id = $1", order_id
            )
            await unit.sql.execute(
                "UPDATE orders SET waiting = jsonb_set(waiting, '{since}', to_jsonb(now() - interval '30 days')) "
                "WHERE id = $1",
                order_id,
            )
    await shop.hears(shop.reserved(served))
    async with shop.service.database.unit() as unit:
        await expire_after(timedelta(days=30))(unit)
    assert [await status(shop, each) for each in (old, young, served)] == ["cancelled", "backordered", "confirmed"]
    assert (await shop.show(old))["reason"] == "backorder_expired"
    assert await shop.count("waiting_items") == 1


async def test_backorder_served_before_the_lock_is_not_expired(shop: Shop) -> None:
    order_id = await shop.placed()
    await shop.hears(shop.reserved(order_id))
    async with shop.service.database.unit() as unit:  # what a look just before the answer would have found
        await unit.sql.execute(
            "INSERT INTO waiting_items VALUES ($1, 'SKU-1', 'acme', $2)", order_id, unit.now - timedelta(days=31)
        )
    async with shop.service.database.unit() as unit:
        await expire_after(timedelta(days=30))(unit)
    assert await status(shop, order_id) == "confirmed"


async def test_waiting_orders_are_measured_by_reason(shop: Shop) -> None:
    await shop.placed()
    for _ in range(2):
        await shop.hears(shop.backordered(await shop.placed(), shop.line("SKU-1", 3, 0), shop.line("SKU-2", 3, 0, "2")))
    async with shop.service.database.unit() as unit:
        unit.now += timedelta(seconds=100)
        await measure_waiting(unit)
    assert WAITING_ORDERS.labels("answer")._value.get() == 1
    assert WAITING_ORDERS.labels("stock")._value.get() == 2
    for reason in ("answer", "stock"):
        assert 100 <= WAITING_OLDEST.labels(reason)._value.get() < 160
