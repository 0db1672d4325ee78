"""Wire the feature: policies and calendars over HTTP, and new timers after a change."""

from crm_service.cases.timing import RETIME
from crm_service.sla import http
from crm_service.sla.change import Changed, set_customer_terms, set_terms
from crossdock_chassis import Coalescer, Database, Feature, each


def feature(database: Database) -> Feature:
    change = Coalescer(database, each(set_terms), Changed, limit=1, name="set_terms")
    terms = Coalescer(database, each(set_customer_terms), Changed, limit=1, name="set_customer_terms")
    sla = http.Sla(database, change, terms)
    return Feature(routers=[http.router], provides=[sla], jobs=[RETIME], problems=http.PROBLEMS)
