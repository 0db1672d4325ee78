"""Override the forecasts of an item, a category or all items."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from crossdock_chassis import Actor, Unit, new_id, record_action, storable, wake
from forecast_service.overrides import store, views
from forecast_service.overrides.events import event
from forecast_service.overrides.model import InvalidOverride, NothingToOverride, Overlapping, Target, Terms
from forecast_service.overrides.views import OverrideView


@dataclass(frozen=True, slots=True)
class PlaceOverride:
    target: Target
    terms: Terms
    why: str
    expires_at: datetime | None
    by: Actor


async def place_override(unit: Unit, command: PlaceOverride) -> OverrideView:
    """Store the override and what each series gets of it. A job then publishes the series.

    Raise InvalidOverride, NothingToOverride, or Overlapping if the target is overridden on one of the days.
    """
    target, terms = command.target, command.terms
    terms.check()
    if command.expires_at is not None and command.expires_at <= unit.now:
        raise InvalidOverride("expires_at", "must be in the future")
    await unit.sql.execute(store.CHANGING)
    days = terms.first_day, terms.last_day
    of = target.item_id, target.category
    if other := await unit.sql.fetchrow(store.OVERLAPPING, unit.now, *of, *days, target.location_id):
        raise Overlapping(other["id"], target, other["first_day"], other["last_day"])
    found = await store.newest(unit.sql, target)
    if not found:
        raise NothingToOverride(target)
    last = max(found, key=lambda each: each.origin)
    terms.check_days(last.origin, last.origin + timedelta(days=len(last.means) - 1))
    forecasts = {each.series: part for each in found if (part := terms.of(each.origin, each.means))}
    id, forecast = new_id(), sum(sum(each) for each in forecasts.values())
    await unit.sql.execute(
        store.INSERT,
        id,
        target.level,
        *of,
        terms.kind,
        terms.value,
        *days,
        storable(command.why),
        command.by.who,
        unit.now,
        command.expires_at,
        len(forecasts),
        forecast,
        target.location_id,
    )
    spread = terms.spread(list(forecasts.values()))
    await store.insert_parts(unit, id, list(zip(forecasts, spread, strict=True)))
    unit.publish(event(await unit.sql.fetchrow(store.LOCK, id)), sequence=1, cause=None)
    override = await views.get(unit.sql, id)
    shown = override.model_dump(mode="json", exclude={"why", "published"}, exclude_none=True)
    await record_action(unit, command.by, "override:place", override.path, why=command.why, after=shown)
    await wake(unit, store.WAKE)
    return override
