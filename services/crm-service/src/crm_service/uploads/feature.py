"""Imports: CSV files of customers over HTTP."""

from crm_service.settings import Settings
from crm_service.uploads import http
from crm_service.uploads.kinds import kind
from crossdock_chassis import Database, Feature, Imports


def feature(database: Database, settings: Settings) -> Feature:
    kinds = http.Kinds(kind(settings.shared_namespaces))
    imports = Imports(database, {kinds.customers.name: kinds.customers}, settings.import_max_bytes)
    return Feature(routers=[http.router, http.status], provides=[imports, kinds], jobs=imports.jobs)
