"""The invariants of crm-service's tables, for `crossdock verify`."""

from crm_service.attachments import checks as attachments
from crm_service.cases import checks as cases
from crm_service.customers import checks as customers
from crm_service.erasure import checks as erasure
from crm_service.mail import checks as mail
from crm_service.orders import checks as orders
from crm_service.rules import checks as rules

UNSETTLED = (*cases.UNSETTLED, *mail.UNSETTLED, *rules.UNSETTLED)
CHECKS = (
    *customers.CHECKS,
    *orders.CHECKS,
    *cases.CHECKS,
    *mail.CHECKS,
    *attachments.CHECKS,
    *rules.CHECKS,
    *erasure.CHECKS,
)
