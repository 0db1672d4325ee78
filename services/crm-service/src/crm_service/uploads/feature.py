"""Imports: CSV and XLSX files of customers over HTTP."""

from crm_service.settings import Settings
from crm_service.uploads import http
from crm_service.uploads.kinds import kinds
from crossdock_chassis import Database, Feature, Imports


def feature(database: Database, settings: Settings) -> Feature:
    of_type = kinds(settings.shared_namespaces)
    imports = Imports(database, {kind.name: kind for kind in of_type.values()}, settings.import_max_bytes)
    provides = [imports, http.Kinds(of_type)]
    return Feature(routers=[http.router, http.status], provides=provides, jobs=imports.jobs)
