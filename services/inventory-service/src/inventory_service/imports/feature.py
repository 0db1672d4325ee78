"""Imports: CSV files of items, locations and opening stock over HTTP."""

from crossdock_chassis import Coalescer, Database, Feature, each
from inventory_service.imports import http
from inventory_service.imports.take import take_file
from inventory_service.imports.views import ImportResult
from inventory_service.settings import Settings


def feature(database: Database, settings: Settings) -> Feature:
    imports = http.Imports(
        database=database,
        take=Coalescer(database, each(take_file), ImportResult, limit=1, name="take_file"),
        max_bytes=settings.import_max_bytes,
        max_rows=settings.import_max_rows,
    )
    return Feature(routers=[http.router], provides=[imports], problems=http.PROBLEMS)
