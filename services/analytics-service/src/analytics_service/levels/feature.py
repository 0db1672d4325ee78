"""Stock levels: a projection of their events, and its list."""

from analytics_service.levels import http
from crossdock_chassis import Database, Feature


def feature(database: Database) -> Feature:
    return Feature(routers=[http.router], provides=[http.Levels(database)])
