"""Forecasts: what runs have made, and what was published."""

from crossdock_chassis import Database, Feature, every_in_units
from forecast_service.forecasts import http
from forecast_service.forecasts.forget import forget_forecasts

FORGET_SECONDS = 3600.0


def feature(database: Database) -> Feature:
    return Feature(
        routers=[http.router],
        provides=[http.Forecasts(database)],
        jobs=[every_in_units(FORGET_SECONDS, forget_forecasts)],
        problems=http.PROBLEMS,
    )
