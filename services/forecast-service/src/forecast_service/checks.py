"""The invariants of this service's tables."""

from collections.abc import Sequence

from crossdock_chassis import Check, CheckAtRest
from forecast_service.demand.checks import not_the_orders
from forecast_service.forecasts import checks as forecasts
from forecast_service.places import Zones
from forecast_service.runs import checks as runs

UNSETTLED = (forecasts.UNSETTLED,)


def checks(zones: Zones) -> Sequence[Check | CheckAtRest]:
    return [not_the_orders(zones), *runs.CHECKS, *forecasts.CHECKS]
