"""Overrides: what planners state in place of forecasts."""

from crossdock_chassis import Coalescer, Database, Feature, each, every_in_units
from forecast_service.overrides import http
from forecast_service.overrides.forget import forget_overrides
from forecast_service.overrides.place import place_override
from forecast_service.overrides.views import OverrideView
from forecast_service.overrides.withdraw import withdraw_override

FORGET_SECONDS = 3600.0


def feature(database: Database) -> Feature:
    overrides = http.Overrides(
        database=database,
        place=Coalescer(database, each(place_override), OverrideView, limit=1),
        withdraw=Coalescer(database, each(withdraw_override), OverrideView, limit=1),
    )
    return Feature(
        routers=[http.router],
        provides=[overrides],
        jobs=[every_in_units(FORGET_SECONDS, forget_overrides)],
        problems=http.PROBLEMS,
    )
