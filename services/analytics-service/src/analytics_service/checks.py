"""The invariants of analytics-service's tables, for `crossdock verify`."""

from analytics_service.levels import checks as levels
from analytics_service.log import checks as log
from analytics_service.orders import checks as orders

CHECKS = (*log.CHECKS, *orders.CHECKS, *levels.CHECKS)
