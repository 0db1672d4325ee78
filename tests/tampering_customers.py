"""Edits by hand of crm-service's database, each with the checks of `crossdock verify` that report it."""

from harness import CRM
from tampering import ORPHAN, Case, Tamper

from crm_service.attachments import checks as attachments
from crm_service.cases import checks as cases
from crm_service.customers import checks as customers
from crm_service.erasure import checks as erasure
from crm_service.mail import checks as mail
from crm_service.orders import checks as orders
from crm_service.rules import checks as rules
from crossdock_cli.verify import Violation


def edit(statement: str, *values: object) -> Tamper:
    async def tamper(case: Case) -> None:
        await case.edit(CRM, statement, *values)

    return tamper


CASE = """
    WITH new AS (
        INSERT INTO cases (id, kind, customer_id, status, severity, subject, channel, version, entries, opened_at,
                           changed_at)
        SELECT $1, 'enquiry', id, 'new', 'low', 'x', 'api', 1, 1, '2026-01-01Z', '2026-01-01Z' FROM customers LIMIT 1
    )
"""
ENTRY = "INSERT INTO case_entries (case_id, number, at, did, status, side) VALUES ({})".format(
    "$1, 1, '2026-01-01Z', 'opened', 'new', 'staff'"
)

CUSTOMER_TAMPERINGS: dict[str, tuple[Tamper, set[Violation]]] = {
    "partners have no account": (edit("UPDATE partners SET account_id = NULL"), {customers.WITHOUT_CUSTOMER}),
    "a customer has other events": (edit("UPDATE customers SET version = 9"), {customers.NOT_THE_CUSTOMERS}),
    "a mail address leads to no customer": (
        edit("INSERT INTO channels (match, customer_id, address, added_at) VALUES ('x', $1, 'x', now())", ORPHAN),
        {customers.LEADS_NOWHERE},
    ),
    "a customer has another root": (
        edit("UPDATE customers SET root = $1 WHERE id = (SELECT min(id::text)::uuid FROM customers)", ORPHAN),
        {customers.NOT_THE_ROOT},
    ),
    "a consent has no event": (
        edit(
            "INSERT INTO consents SELECT id, 9, 'marketing', 'email', 'given', 'x', now(), 'x' FROM customers LIMIT 1"
        ),
        {customers.NOT_THE_CONSENTS},
    ),
    "a case has no event": (edit(CASE + ENTRY, ORPHAN), {cases.NOT_THE_CASES, cases.OTHER_TIMERS}),
    "a case has no history": (edit(CASE + "SELECT", ORPHAN), {cases.NOT_THE_CASES, cases.NOT_THE_HISTORY}),
    "a filed mail is in no case": (
        edit(
            "INSERT INTO mails (id, direction, state, recipient, raw, at) VALUES ($1, 'in', 'filed', 'x', 'x', now())",
            ORPHAN,
        ),
        {mail.FILED},
    ),
    "a breach was noticed and not published": (
        edit(
            "INSERT INTO sla_marks (case_id, clock, noticed, due_at, noticed_at) "
            "VALUES ($1, 'x', 'breach', now(), now())",
            ORPHAN,
        ),
        {cases.NOTICED_OTHERWISE},
    ),
    "a case was escalated without its level": (
        edit(
            "INSERT INTO case_entries (case_id, number, at, did, status, side) "
            "VALUES ($1, 1, now(), 'escalated', 'new', 'staff')",
            ORPHAN,
        ),
        {cases.ESCALATED_OTHERWISE},
    ),
    "a rule has opened a case that is gone": (
        edit("INSERT INTO rule_cases (rule, order_id, case_id, opened_at) VALUES ('x', $1, $1, now())", ORPHAN),
        {rules.ONCE},
    ),
    "no order waits for stock": (edit("DELETE FROM order_troubles"), {rules.NOT_THE_TROUBLES}),
    "a chunk belongs to no attachment": (
        edit("INSERT INTO attachment_chunks (attachment_id, number, content) VALUES ($1, 0, 'x')", ORPHAN),
        {attachments.NOT_WHOLE},
    ),
    "an erased customer has a note, and no event": (
        edit(
            "WITH one AS (UPDATE customers SET erased_at = now() "
            "WHERE id = (SELECT min(id::text)::uuid FROM customers) RETURNING id) "
            "INSERT INTO customer_activities (id, customer_id, kind, at, who, body) "
            "SELECT $1, id, 'note', now(), 'x', 'x' FROM one",
            ORPHAN,
        ),
        {erasure.STILL_HELD, erasure.NOT_THE_ERASURES},
    ),
    "an order of a customer has another status": (
        edit("UPDATE customer_orders SET status = 'placed'"),
        {orders.NOT_THE_ORDERS},
    ),
}
