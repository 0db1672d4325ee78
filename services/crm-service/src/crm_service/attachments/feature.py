"""Wire the feature: files of cases are streamed over HTTP, and uploads that broke off are swept."""

from crm_service.attachments import http
from crm_service.attachments.attach import Attached, attach
from crm_service.attachments.store import sweep
from crossdock_chassis import Coalescer, Database, Feature, each, every

SWEEP_SECONDS = 600.0


def feature(database: Database) -> Feature:
    return Feature(
        routers=[http.router],
        provides=[http.Attachments(database, Coalescer(database, each(attach), Attached, limit=20))],
        jobs=[every(SWEEP_SECONDS, sweep)],
        problems=http.PROBLEMS,
    )
