"""Wire the feature: customers are met by events, and shown and described over HTTP."""

from crm_service.customers import http
from crm_service.customers.describe import Described, describe_customer
from crossdock_chassis import Coalescer, Database, Feature, each


def feature(database: Database) -> Feature:
    describe = Coalescer(database, each(describe_customer), Described, limit=1, name="describe_customer")
    return Feature(routers=[http.router], provides=[http.Customers(database, describe)], problems=http.PROBLEMS)
