"""The invariants of analytics-service's tables, for `crossdock verify`."""

from analytics_service.log import checks as log

CHECKS = log.CHECKS
