"""Wire the log: retention."""

from analytics_service.log.retain import keep_log_partitions
from analytics_service.settings import Settings
from crossdock_chassis import Database, Feature, every_in_units


def feature(database: Database, settings: Settings) -> Feature:
    return Feature(jobs=[every_in_units(60, keep_log_partitions)])
