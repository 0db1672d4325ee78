"""The topics: what their contracts declare, who reads them, and what the log has of them now."""

from analytics_service.asking import Services
from analytics_service.topics import http
from crossdock_chassis import Database, Feature


def feature(database: Database, services: Services) -> Feature:
    return Feature(routers=[http.router], provides=[http.Topics(database, services)])
