"""Wire the log: one event, the feed, the live stream, and retention."""

from analytics_service.log import http
from analytics_service.log.retain import keep_log_partitions
from analytics_service.log.tail import Tail
from analytics_service.settings import Settings
from crossdock_chassis import Database, Feature, every_in_units


def feature(database: Database, settings: Settings) -> Feature:
    tail = Tail(database)
    return Feature(
        routers=[http.router],
        provides=[http.Log(database, tail)],
        jobs=[every_in_units(60, keep_log_partitions)],
        parts={"tail of the log": tail},
    )
