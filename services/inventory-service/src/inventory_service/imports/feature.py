"""Imports: CSV files of items, locations and opening stock over HTTP."""

from crossdock_chassis import Database, Feature, Imports
from inventory_service.imports import http
from inventory_service.imports.kinds import ALL
from inventory_service.settings import Settings


def feature(database: Database, settings: Settings) -> Feature:
    imports = Imports(database, ALL, settings.import_max_bytes)
    return Feature(routers=[http.router, http.status], provides=[imports], jobs=imports.jobs)
