"""The orders of all partners: a projection of their events, and its lists."""

from analytics_service.orders import http
from crossdock_chassis import Database, Feature


def feature(database: Database) -> Feature:
    return Feature(routers=[http.router], provides=[http.Orders(database)])
