"""Facts of orders are forgotten when they can no longer change anything. The days stay."""

from datetime import UTC, datetime, timedelta

from stories import at, days, placed, reserved, run_once

from crossdock_chassis import Service, new_id
from crossdock_chassis.testing import Deliver, Violations
from forecast_service.demand.forget import SPARE, forget_orders
from forecast_service.demand.model import MEMORY


async def test_old_facts_are_forgotten_and_days_stay(
    service: Service, deliver: Deliver, violations: Violations
) -> None:
    now = datetime.now(UTC)
    old, young = now - MEMORY - SPARE - timedelta(minutes=1), now - MEMORY - SPARE + timedelta(minutes=5)
    for time in (old, old, young):
        order = new_id()
        await deliver(service, at(time, placed(order, {"A": 2, "B": 1})))
        await deliver(service, at(time, reserved(order, {"A": {"north": 2}})))
    counted = await days(service)
    assert await run_once(service, forget_orders) == {"forgotten": 2}
    async with service.database.unit() as unit:
        assert await unit.sql.fetchval("SELECT count(*) FROM demand_orders") == 1
    assert await days(service) == counted
    assert await violations(service) == {}
