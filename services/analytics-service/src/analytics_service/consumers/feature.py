"""The consumer groups of Kafka: a job that looks at them, and its lists."""

from typing import Final

from analytics_service.consumers import http
from analytics_service.consumers.measure import MEASURE_SECONDS, measure_groups
from analytics_service.consumers.sample import SAMPLE_SECONDS, Sampler
from analytics_service.settings import Settings
from crossdock_chassis import Database, Feature, every_in_units, measured
from crossdock_events import CATALOGUE

SELF: Final = "analytics-service"


def feature(database: Database, settings: Settings) -> Feature:
    services = {SELF, *settings.services, *(topic.owner for topic in CATALOGUE.topics())}
    sampler = Sampler(database, settings.broker, services)
    return Feature(
        routers=[http.router],
        provides=[http.Consumers(database)],
        jobs=[every_in_units(SAMPLE_SECONDS, sampler.sample), measured(MEASURE_SECONDS, measure_groups)],
    )
