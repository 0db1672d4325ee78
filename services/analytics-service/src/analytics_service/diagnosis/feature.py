"""The diagnosis of an order."""

from datetime import timedelta

from analytics_service.asking import Services
from analytics_service.diagnosis import http
from analytics_service.diagnosis.gather import Gatherer
from analytics_service.settings import Settings
from crossdock_chassis import Database, Feature


def feature(database: Database, settings: Settings, services: Services) -> Feature:
    overdue = timedelta(seconds=settings.answer_overdue_seconds)
    return Feature(routers=[http.router], provides=[Gatherer(database, services, overdue)])
