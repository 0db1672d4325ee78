"""Wire the feature: templates are listed and changed over HTTP."""

from crm_service.templates import http
from crm_service.templates.change import TemplateSet, set_template
from crossdock_chassis import Coalescer, Database, Feature, each


def feature(database: Database) -> Feature:
    change = Coalescer(database, each(set_template), TemplateSet, limit=1)
    return Feature(routers=[http.router], provides=[http.Templates(database, change)], problems=http.PROBLEMS)
