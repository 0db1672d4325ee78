"""Imports: CSV and XLSX files of customers over HTTP."""

from crm_service.settings import Settings
from crm_service.uploads import http
from crm_service.uploads.kinds import kinds
from crm_service.uploads.undo import UNDO, Asked, forget_imports, undo_import
from crossdock_chassis import Coalescer, Database, Feature, Imports, each, every_in_units

FORGET_SECONDS = 3_600.0


def feature(database: Database, settings: Settings) -> Feature:
    of_type = kinds(settings.shared_namespaces)
    imports = Imports(database, {kind.name: kind for kind in of_type.values()}, settings.import_max_bytes)
    undo = Coalescer(database, each(undo_import), Asked, limit=1, name="undo_import")
    provides = [imports, http.Kinds(of_type), http.Undoing(database, undo)]
    return Feature(
        routers=[http.router, http.status],
        provides=provides,
        jobs=[*imports.jobs, UNDO, every_in_units(FORGET_SECONDS, forget_imports)],
    )
