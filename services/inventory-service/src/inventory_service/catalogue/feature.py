"""The catalogue: partners read which items they can order, and whether stock is there."""

from crossdock_chassis import Database, Feature
from inventory_service.catalogue import http
from inventory_service.settings import Settings


def feature(database: Database, settings: Settings) -> Feature:
    return Feature(routers=[http.router], provides=[http.Catalogue(database)])
