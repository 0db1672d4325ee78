"""Publish forecasts whose overrides have changed, and end overrides whose time is over."""

from typing import Final

from crossdock_chassis import JobRun
from forecast_service.forecasts.publish import republish
from forecast_service.overrides import store
from forecast_service.overrides.withdraw import expire_overrides

CHUNK: Final = 100
"""Series of one unit. What is due is stored, so an interrupted job goes on where it was."""


async def follow_overrides(run: JobRun) -> dict[str, object] | None:
    """Publish the stored forecasts again, without a fit."""
    async with run.unit() as unit:
        expired = await expire_overrides(unit)
    published = 0
    while True:
        async with run.unit() as unit:
            if due := await store.due(unit.sql, CHUNK):
                published += await republish(unit, due)
        if len(due) < CHUNK:
            return {"expired": expired, "published": published} if expired or published else None
