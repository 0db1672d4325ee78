"""The topics: what their contracts declare, and what the log has of them now."""

from analytics_service.topics import http
from crossdock_chassis import Database, Feature


def feature(database: Database) -> Feature:
    return Feature(routers=[http.router], provides=[http.Topics(database)], problems=http.PROBLEMS)
