"""Plan a value of a driver, and withdraw a plan. A plan never changes: a newer one for the same days replaces it."""

from dataclasses import dataclass
from uuid import UUID

from pydantic import BaseModel

from crossdock_chassis import Actor, Unit, new_id, record_action
from forecast_service.drivers import store, views
from forecast_service.drivers.model import Driver, NoSuchDriver, TooManyDrivers
from forecast_service.drivers.views import DriverView


@dataclass(frozen=True, slots=True)
class PlanDriver:
    driver: Driver
    by: Actor


@dataclass(frozen=True, slots=True)
class WithdrawDriver:
    id: UUID
    by: Actor


class Planned(BaseModel):
    driver: DriverView


async def plan_driver(unit: Unit, command: PlanDriver) -> Planned:
    """Store a plan. Raise TooManyDrivers."""
    if await store.beyond(unit.sql, [command.driver.name]):
        raise TooManyDrivers(command.driver.name)
    id = new_id()
    await store.insert(unit, [(id, command.driver)], command.by.who, always=True)
    planned = await views.get(unit.sql, id)
    await record_action(unit, command.by, "driver:plan", planned.path, after=planned.model_dump(mode="json"))
    return Planned(driver=planned)


async def withdraw_driver(unit: Unit, command: WithdrawDriver) -> DriverView:
    """End a plan: later origins do not know it. One that was withdrawn stays as it is. Raise NoSuchDriver."""
    before = await unit.sql.fetchrow(store.LOCK, command.id)
    if before is None:
        raise NoSuchDriver(command.id)
    if before["withdrawn_at"] is None:
        await unit.sql.execute(store.WITHDRAW, command.id, unit.now)
        await record_action(unit, command.by, "driver:withdraw", f"/v1/drivers/{command.id}")
    return await views.get(unit.sql, command.id)
