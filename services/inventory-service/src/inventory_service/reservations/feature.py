"""Reservations and backorders: shown over HTTP; backorders are served by a job."""

from crossdock_chassis import Database, Feature, every
from inventory_service.reservations import backorders, http
from inventory_service.settings import Settings


def feature(database: Database, settings: Settings) -> Feature:
    serve_backorders = backorders.serving(settings.backorder_earmark_after, settings.release_limit)
    return Feature(
        routers=[http.router],
        provides=[http.Reservations(database, settings.backorder_earmark_after)],
        jobs=[every(settings.release_seconds, serve_backorders)],
        problems=http.PROBLEMS,
    )
