"""The invariants of order-service's tables, for `crossdock verify`."""

from order_service.known_items import checks as catalogue
from order_service.orders import checks as orders

CHECKS = (*orders.CHECKS, *catalogue.CHECKS)
