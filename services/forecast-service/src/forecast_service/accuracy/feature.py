"""Accuracy: past forecasts beside what was asked for."""

from crossdock_chassis import Database, Feature
from forecast_service.accuracy import http
from forecast_service.settings import Settings


def feature(database: Database, settings: Settings) -> Feature:
    return Feature(
        routers=[http.router], provides=[http.PastForecasts(database, settings.zones)], problems=http.PROBLEMS
    )
