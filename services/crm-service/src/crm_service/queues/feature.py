"""Wire the feature: queues and agents over HTTP, and the job that assigns cases."""

from crm_service.queues import http
from crm_service.queues.assigning import assign_cases
from crm_service.queues.change import Changed, change_queues
from crossdock_chassis import Coalescer, Database, Feature, each, every_in_units

ASSIGN_SECONDS = 1.0


def feature(database: Database) -> Feature:
    change = Coalescer(database, each(change_queues), Changed, limit=1, name="change_queues")
    return Feature(
        routers=[http.router],
        provides=[http.Desk(database, change)],
        jobs=[every_in_units(ASSIGN_SECONDS, assign_cases)],
        problems=http.PROBLEMS,
    )
