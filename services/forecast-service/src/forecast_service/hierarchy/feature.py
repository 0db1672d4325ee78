"""The hierarchy of forecasts: items, categories, and all items together."""

from crossdock_chassis import Database, Feature
from forecast_service.hierarchy import http


def feature(database: Database) -> Feature:
    return Feature(routers=[http.router], provides=[http.Sums(database)], problems=http.PROBLEMS)
