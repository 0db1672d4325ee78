"""Planned drivers: prices, promotions and other values that forecasts know in advance."""

from crossdock_chassis import Coalescer, Database, Feature, each
from forecast_service.drivers import http
from forecast_service.drivers.plan import Planned, plan_driver, withdraw_driver
from forecast_service.drivers.views import DriverView


def feature(database: Database) -> Feature:
    plan = Coalescer(database, each(plan_driver), Planned, limit=1, name="plan_driver")
    withdraw = Coalescer(database, each(withdraw_driver), DriverView, limit=1)
    return Feature(routers=[http.router], provides=[http.Drivers(database, plan, withdraw)], problems=http.PROBLEMS)
