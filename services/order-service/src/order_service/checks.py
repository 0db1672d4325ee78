"""The invariants of order-service's tables, for `crossdock verify`."""

from order_service.known_items import checks as catalogue
from order_service.orders import checks as orders
from order_service.orders import erasure_checks as erasures

CHECKS = (*orders.CHECKS, *catalogue.CHECKS, *erasures.CHECKS)
UNSETTLED = erasures.UNSETTLED
