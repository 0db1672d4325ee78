"""Wire the feature: the overview of a customer."""

from crm_service.overview import http
from crossdock_chassis import Database, Feature


def feature(database: Database) -> Feature:
    return Feature(routers=[http.router], provides=[http.Overviews(database)])
