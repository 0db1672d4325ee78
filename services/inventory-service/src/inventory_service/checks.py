"""The invariants of inventory-service's tables, for `crossdock verify`."""

from collections.abc import Sequence
from datetime import timedelta

from crossdock_chassis import Check, CheckAtRest
from inventory_service.imports import checks as imports
from inventory_service.items import checks as items
from inventory_service.reservations import checks as reservations
from inventory_service.stock import checks as stock

UNSETTLED = (reservations.UNSETTLED, imports.UNSETTLED, stock.UNSETTLED)


def checks(earmark_after: timedelta) -> Sequence[Check | CheckAtRest]:
    return *items.CHECKS, *stock.CHECKS, *reservations.CHECKS, reservations.waits_in_vain(earmark_after)
