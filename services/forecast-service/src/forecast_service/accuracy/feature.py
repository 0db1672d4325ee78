"""Accuracy: past forecasts beside what was asked for."""

from crossdock_chassis import Database, Feature, every_in_units
from forecast_service.accuracy import http
from forecast_service.accuracy.measure import Measure
from forecast_service.settings import Settings

MEASURE_SECONDS = 60.0


def feature(database: Database, settings: Settings) -> Feature:
    return Feature(
        routers=[http.router],
        provides=[http.PastForecasts(database, settings.zones)],
        jobs=[every_in_units(MEASURE_SECONDS, Measure(settings.zones).measure_accuracy)],
        problems=http.PROBLEMS,
    )
