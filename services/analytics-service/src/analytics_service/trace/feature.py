"""The way of an order through the services."""

from analytics_service.trace import http
from crossdock_chassis import Database, Feature


def feature(database: Database) -> Feature:
    return Feature(routers=[http.router], provides=[http.Traces(database)])
