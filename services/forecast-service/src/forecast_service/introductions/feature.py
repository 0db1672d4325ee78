"""Introductions and ends: what a new item takes over, and that a discontinued one is forecast as zero."""

from crossdock_chassis import Coalescer, Database, Feature, each, every_in_units
from forecast_service.introductions import http
from forecast_service.introductions.change import Stated, change_introduction
from forecast_service.introductions.end import End
from forecast_service.settings import Settings

END_SECONDS = 60.0


def feature(database: Database, settings: Settings) -> Feature:
    change = Coalescer(database, each(change_introduction), Stated, limit=1)
    return Feature(
        routers=[http.router],
        provides=[http.Introductions(database, change)],
        jobs=[every_in_units(END_SECONDS, End(settings.zones).end_forecasts)],
        problems=http.PROBLEMS,
    )
