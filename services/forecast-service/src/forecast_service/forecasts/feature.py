"""Forecasts: what runs have made, and what was published."""

from crossdock_chassis import Database, Feature, every_in_units
from forecast_service.forecasts import http
from forecast_service.forecasts.follow_overrides import follow_overrides
from forecast_service.forecasts.forget import forget_forecasts
from forecast_service.overrides.store import WAKE

FORGET_SECONDS = 3600.0
FOLLOW_SECONDS = 0.1


def feature(database: Database) -> Feature:
    return Feature(
        routers=[http.router],
        provides=[http.Forecasts(database)],
        jobs=[
            every_in_units(FORGET_SECONDS, forget_forecasts),
            every_in_units(FOLLOW_SECONDS, follow_overrides, woken_by=WAKE),
        ],
        problems=http.PROBLEMS,
    )
