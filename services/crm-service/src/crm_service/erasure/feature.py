"""Wire the feature: erasures and holds over HTTP, and the jobs that erase."""

from crm_service.erasure import http
from crm_service.erasure.act import Asked, Held, ask_to_erase, hold_back
from crm_service.erasure.retention import Retention
from crm_service.erasure.run import Erasing
from crm_service.post.address import Addresses
from crossdock_chassis import Coalescer, Database, Feature, each, every_in_units

ERASE_SECONDS = 5.0
RETENTION_SECONDS = 3_600.0


def feature(database: Database, addresses: Addresses, retention: Retention) -> Feature:
    ask = Coalescer(database, each(ask_to_erase), Asked, limit=1, name="ask_to_erase")
    hold = Coalescer(database, each(hold_back), Held, limit=1, name="hold_back")
    return Feature(
        routers=[http.router],
        provides=[http.Erasures(database, ask, hold)],
        jobs=[
            every_in_units(ERASE_SECONDS, Erasing(addresses).erase_customers),
            every_in_units(RETENTION_SECONDS, retention.ask_for_the_inactive),
            every_in_units(RETENTION_SECONDS, retention.erase_old_cases),
        ],
        problems=http.PROBLEMS,
    )
