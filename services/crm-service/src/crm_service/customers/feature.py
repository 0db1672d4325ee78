"""Wire the feature: customers are met by events, and registered, changed and shown over HTTP."""

from crm_service.customers import http
from crm_service.customers.change import Changed, change_customer
from crm_service.customers.consent import record_consent
from crm_service.customers.create import Created, create_customer
from crm_service.customers.merge import merge_customers
from crm_service.customers.schema import SchemaView, set_schema
from crm_service.customers.suspects import index_customers
from crm_service.customers.views import Digest
from crossdock_chassis import Coalescer, Database, Feature, each, every_in_units

DAY_SECONDS = 86_400.0


def feature(database: Database, digest: Digest) -> Feature:
    customers = http.Customers(
        database,
        Coalescer(database, each(create_customer), Created, limit=1, name="create_customer"),
        Coalescer(database, each(change_customer), Changed, limit=1, name="change_customer"),
        Coalescer(database, each(record_consent), Changed, limit=1, name="record_consent"),
        Coalescer(database, each(set_schema), SchemaView, limit=1, name="set_customer_schema"),
        Coalescer(database, each(merge_customers), Changed, limit=1, name="merge_customers"),
        digest,
    )
    jobs = [every_in_units(DAY_SECONDS, index_customers)]
    return Feature(routers=[http.router], provides=[customers], problems=http.PROBLEMS, jobs=jobs)
