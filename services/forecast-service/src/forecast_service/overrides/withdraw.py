"""Withdraw an override. The forecasts that it changed are published again without it."""

from dataclasses import dataclass
from uuid import UUID

from crossdock_chassis import Actor, Unit, record_action, wake
from forecast_service.overrides import store, views
from forecast_service.overrides.events import event
from forecast_service.overrides.model import NoSuchOverride, OverrideEnded
from forecast_service.overrides.views import OverrideView


@dataclass(frozen=True, slots=True)
class WithdrawOverride:
    id: UUID
    by: Actor


async def withdraw_override(unit: Unit, command: WithdrawOverride) -> OverrideView:
    """Return the override. A withdrawn one stays as it is. Raise NoSuchOverride, or OverrideEnded if it is expired."""
    await unit.sql.execute(store.CHANGING)
    found = await unit.sql.fetchrow(store.LOCK, command.id)
    if found is None:
        raise NoSuchOverride(command.id)
    if found["status"] == "expired":
        raise OverrideEnded(command.id, "expired")
    if found["status"] == "in_force":
        row = await store.end(unit, command.id, "withdrawn", command.by.who)
        unit.publish(event(row), sequence=row["version"], cause=None)
        await record_action(unit, command.by, "override:withdraw", f"/v1/overrides/{command.id}")
        await wake(unit, store.WAKE)
    return await views.get(unit.sql, command.id)


async def expire_overrides(unit: Unit) -> int:
    """End the overrides whose time is over, and return their number."""
    if not await store.expired(unit.sql, unit.now):
        return 0
    await unit.sql.execute(store.CHANGING)
    over = await store.expired(unit.sql, unit.now)
    for id in over:
        row = await store.end(unit, id, "expired", None)
        unit.publish(event(row), sequence=row["version"], cause=None)
    return len(over)
