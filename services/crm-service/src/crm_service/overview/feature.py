"""Wire the feature: the overview of a customer, notes and calls."""

from crm_service.customers.views import Digest
from crm_service.overview import http
from crm_service.overview.activities import Recorded, record_activity
from crossdock_chassis import Coalescer, Database, Feature, each


def feature(database: Database, digest: Digest) -> Feature:
    record = Coalescer(database, each(record_activity), Recorded, limit=50, name="record_activity")
    return Feature(routers=[http.router], provides=[http.Overviews(database, record, digest)])
