"""Wire the feature: a link in each notice ends the notices, without a sign-in."""

from crm_service.post.address import Addresses
from crm_service.unsubscribe import http
from crm_service.unsubscribe.act import Unsubscribed, unsubscribe
from crossdock_chassis import Coalescer, Database, Feature, each


def feature(database: Database, addresses: Addresses) -> Feature:
    act = Coalescer(database, each(unsubscribe), Unsubscribed, limit=20)
    return Feature(routers=[http.router], provides=[http.Unsubscribing(addresses, act)], problems=http.PROBLEMS)
