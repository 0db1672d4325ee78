"""The search for orders, items, partners and events."""

from analytics_service.search import http
from crossdock_chassis import Database, Feature


def feature(database: Database) -> Feature:
    return Feature(routers=[http.router], provides=[http.Finder(database)])
