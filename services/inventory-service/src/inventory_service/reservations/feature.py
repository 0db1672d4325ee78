"""Reservations and backorders: shown over HTTP, withdrawn by adjustments, and served by a job."""

from crossdock_chassis import Coalescer, Database, Feature, each, every_in_units
from inventory_service.reservations import backorders, http
from inventory_service.reservations.adjust import adjust_stock
from inventory_service.reservations.release import GivenBack, give_back
from inventory_service.settings import Settings
from inventory_service.stock.adjust import Adjusting
from inventory_service.stock.store import RELEASE
from inventory_service.stock.views import Recorded


def feature(database: Database, settings: Settings) -> Feature:
    serve_backorders = backorders.serving(settings.backorder_earmark_after, settings.release_limit)
    adjust = Coalescer(database, each(adjust_stock), Recorded, limit=1, name="adjust_stock")
    released = Coalescer(database, each(give_back), GivenBack, limit=1, name="release_reservation")
    return Feature(
        routers=[http.router],
        provides=[http.Reservations(database, settings.backorder_earmark_after, released), Adjusting(adjust)],
        jobs=[every_in_units(settings.release_seconds, serve_backorders, woken_by=RELEASE)],
        problems=http.PROBLEMS,
    )
