"""Locations: registered, shown and changed over HTTP."""

from crossdock_chassis import Coalescer, Database, Feature, each
from inventory_service.conventions import Registered
from inventory_service.locations import http
from inventory_service.locations.change import change_location
from inventory_service.locations.register import register_location
from inventory_service.locations.views import LocationView
from inventory_service.settings import Settings


def feature(database: Database, settings: Settings) -> Feature:
    locations = http.Locations(
        database=database,
        register=Coalescer(database, each(register_location), Registered[LocationView], limit=1, name="location"),
        change=Coalescer(database, each(change_location), LocationView, limit=1, name="change_location"),
    )
    return Feature(routers=[http.router], provides=[locations], problems=http.PROBLEMS)
