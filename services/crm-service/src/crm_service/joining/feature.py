"""Wire the feature: cases are merged, split and grouped over HTTP."""

from crm_service.joining import http
from crm_service.joining.join import Joined, join_cases
from crossdock_chassis import Coalescer, Database, Feature, each


def feature(database: Database) -> Feature:
    join = Coalescer(database, each(join_cases), Joined, limit=1, name="join_cases")
    return Feature(routers=[http.router], provides=[http.Joining(database, join)], problems=http.PROBLEMS)
