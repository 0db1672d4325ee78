"""The service's own tables, one class per table. Hand-written SQL reads and writes them."""

from crm_service.tables import cases, customers, erasures, imports, mails, rules, sla
from crm_service.tables.base import ACTIVE, TO_ERASE, Base
from crm_service.tables.orders import OrdersProjected

__all__ = [
    "ACTIVE",
    "TO_ERASE",
    "Base",
    "OrdersProjected",
    "cases",
    "customers",
    "erasures",
    "imports",
    "mails",
    "rules",
    "sla",
]
