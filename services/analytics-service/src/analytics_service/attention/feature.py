"""What needs attention: facts of all services, and a row for each cause."""

from analytics_service.asking import Services
from analytics_service.attention import http
from analytics_service.attention.gather import Broker, Gatherer
from analytics_service.settings import Settings
from crossdock_chassis import Database, Feature, broker_trouble

BROKER_SECONDS = 2.0


def feature(database: Database, settings: Settings, services: Services) -> Feature:
    broker = Broker(lambda: broker_trouble(settings.broker, BROKER_SECONDS))
    return Feature(routers=[http.router], provides=[Gatherer(database, services, broker)])
