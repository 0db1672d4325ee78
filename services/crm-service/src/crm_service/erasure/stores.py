"""The stores of personal data: what an erasure takes from each, and what an export shows of it.

`KEPT` has what holds none, with the reason. A test walks through all tables, so that no new column is left out of both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import asyncpg

CHUNK: Final = 500
"""The rows that one statement erases at most."""

CASES: Final = "SELECT id FROM cases WHERE customer_id = ANY ($1)"
CHANNELS: Final = "SELECT address FROM channels WHERE customer_id = ANY ($1)"
MATCHES: Final = "SELECT match FROM channels WHERE customer_id = ANY ($1)"
LINKS: Final = "SELECT external_id FROM customer_links WHERE customer_id = ANY ($1)"
ROWS: Final = f"""
    (cells ->> 'partner', cells ->> 'external_id') IN (
        SELECT name, external_id FROM customer_links JOIN partners USING (namespace) WHERE customer_id = ANY ($1)
    )
    OR lower(cells ->> 'email') IN ({MATCHES}) OR cells ->> 'phone' IN ({CHANNELS})
"""
"""The condition of imported rows that name a customer by its id, a mail address or a phone number."""
FILES: Final = f"""
    SELECT import_id FROM import_row WHERE {ROWS}
    UNION SELECT file.id FROM import_file AS file JOIN job USING (id)
    WHERE (status = 'done' OR status IN ('stopped', 'failed') AND coalesce(state ->> 'step', 'read') = 'read')
          AND EXISTS ({CHANNELS} UNION ALL {LINKS})
"""
"""The files that have the customer. One that has ended or was not read to its end may have it, too: nobody needs it."""
ERRORS: Final = f"""
    (import_id, number) IN (
        SELECT import_id, number FROM import_row WHERE {ROWS}
        UNION SELECT import_id, number FROM import_error
        JOIN ({CHANNELS} UNION {LINKS}) AS its (word) ON lower(field) = lower(word)
    )
    OR EXISTS (SELECT FROM ({CHANNELS}) AS its WHERE strpos(lower(detail), lower(address)) > 0)
"""
"""The errors of rows that have the customer. A file without a header has a person's values as names of columns."""
NAMED: Final = """EXISTS (
    SELECT FROM channels WHERE customer_id = ANY ($1) AND kind = 'email'
    AND (position(convert_to(address, 'UTF8') IN raw) > 0 OR match = ANY (named))
)"""
"""The condition of mails of which only the bytes are known, and the addresses found in them (`mail.named`)."""
MAIL: Final = (
    "state <> 'stored' AND (raw <> '' OR sender IS NOT NULL OR recipient <> '' OR message_id IS NOT NULL "
    "OR html IS NOT NULL OR \"references\" <> '{}' OR named <> '{}')"
)
MAIL_COLUMNS: Final = ("raw", "sender", "recipient", "message_id", "references", "html", "named")
BLANK_MAIL: Final = (
    "raw = '', sender = NULL, recipient = '', message_id = NULL, \"references\" = '{}', html = NULL, "
    "named = '{}', "
    "reason = CASE WHEN state IN ('requested', 'unreadable') THEN 'erased' ELSE reason END, "
    "state = CASE state WHEN 'requested' THEN 'suppressed' ELSE state END"
)
"""A mail that waits to be sent is not sent any more. One that waits to be read is read first."""


@dataclass(frozen=True, slots=True)
class Store:
    """`rows` selects the rows of the customers $1 that hold personal data: `table WHERE condition`.

    They are deleted, or blanked by `blank`, the assignments of an UPDATE. `columns` have the personal data. A store
    that is not `exported` has data of other people too.
    """

    name: str
    rows: str
    columns: Sequence[str]
    blank: str | None = None
    exported: bool = True

    @property
    def table(self) -> str:
        return self.rows.split()[0]

    @property
    def count(self) -> str:
        return f"SELECT count(*) FROM {self.rows}"

    @property
    def erase(self) -> str:
        some = f"WHERE ctid = ANY (ARRAY(SELECT ctid FROM {self.rows} LIMIT {CHUNK}))"
        if self.blank is None:
            return f"WITH gone AS (DELETE FROM {self.table} {some} RETURNING 1) SELECT count(*) FROM gone"
        return f"WITH gone AS (UPDATE {self.table} SET {self.blank} {some} RETURNING 1) SELECT count(*) FROM gone"

    @property
    def export(self) -> str:
        return f"SELECT to_jsonb({self.table})::text FROM {self.rows}"


STORES: Final = (
    Store(
        "bodies of requests about the customer",
        "idempotency_key WHERE answer ->> 'customer_id' = ANY ($1::uuid[]::text[]) AND document IS NOT NULL",
        ["document"],
        "document = NULL",
    ),
    Store(
        "bodies of requests about its cases",
        f"idempotency_key WHERE answer ->> 'case_id' IN (SELECT id::text FROM ({CASES}) AS its) "
        "AND document IS NOT NULL",
        ["document"],
        "document = NULL",
    ),
    Store(
        "attachments' bytes",
        f"attachment_chunks WHERE attachment_id IN (SELECT id FROM attachments WHERE case_id IN ({CASES}))",
        ["content"],
    ),
    Store("attachments", f"attachments WHERE case_id IN ({CASES})", ["name", "who", "sha256", "media_type"]),
    Store("mails of cases", f"mails WHERE case_id IN ({CASES}) AND {MAIL}", MAIL_COLUMNS, BLANK_MAIL),
    Store(
        "other mails from the customer",
        f"mails WHERE case_id IS NULL AND lower(sender) IN ({MATCHES}) AND {MAIL}",
        MAIL_COLUMNS,
        BLANK_MAIL,
    ),
    Store(
        "other mails to the customer",
        f"mails WHERE case_id IS NULL AND lower(recipient) IN ({MATCHES}) AND {MAIL}",
        MAIL_COLUMNS,
        BLANK_MAIL,
    ),
    Store("mails that cannot be read", f"mails WHERE state = 'unreadable' AND {NAMED}", MAIL_COLUMNS, BLANK_MAIL),
    Store("texts of cases", f"case_entries WHERE case_id IN ({CASES}) AND body IS NOT NULL", ["body"], "body = NULL"),
    Store("subjects of cases", f"cases WHERE id IN ({CASES}) AND subject <> ''", ["subject"], "subject = ''"),
    Store("notes and calls", "customer_activities WHERE customer_id = ANY ($1)", ["body"]),
    Store(
        "history",
        "customer_changes WHERE customer_id = ANY ($1) AND (before IS NOT NULL OR after IS NOT NULL)",
        ["before", "after"],
        "before = NULL, after = NULL",
    ),
    Store("match keys", "match_keys WHERE customer_id = ANY ($1)", ["key"]),
    Store("suspicions", "suspects WHERE one = ANY ($1) OR other = ANY ($1)", ["reasons"]),
    Store("terms", "customer_terms WHERE customer_id = ANY ($1)", ["segment", "contract"]),
    Store(
        "addresses",
        "customer_addresses WHERE customer_id = ANY ($1)",
        ["street", "extra", "city", "region", "postcode", "country", "purpose"],
    ),
    Store(
        "profile",
        "customers WHERE id = ANY ($1) AND (display_name IS NOT NULL OR born_on IS NOT NULL OR zone IS NOT NULL "
        "OR locale IS NOT NULL OR region IS NOT NULL OR owner IS NOT NULL OR parent_id IS NOT NULL "
        "OR tags <> '{}' OR fields <> '{}')",
        ["display_name", "born_on", "zone", "locale", "region", "owner", "tags", "fields"],
        "display_name = NULL, born_on = NULL, zone = NULL, locale = NULL, region = NULL, owner = NULL, "
        "parent_id = NULL, tags = '{}', fields = '{}'",
    ),
    Store(
        "files to import",
        f"import_file WHERE data = 'kept' AND id IN ({FILES})",
        ["data"],
        "data = 'dropping'",
        exported=False,
    ),
    Store("pieces of files to import", f"import_piece WHERE import_id IN ({FILES})", ["content"], exported=False),
    Store("errors of imported rows", f"import_error WHERE {ERRORS}", ["field", "detail"]),
    Store("imported rows", f"import_row WHERE {ROWS}", ["cells"]),
    Store(
        "channels",
        "channels WHERE customer_id = ANY ($1)",
        ["match", "address", "region", "undeliverable_why"],
    ),
)
"""In the order of the erasure. Channels come last, because they lead to imports and to mails that are in no case."""

OF_CASES: Final = tuple(
    replace(each, rows=each.rows.replace(CASES, "SELECT id FROM unnest($1::uuid[]) AS given (id)"))
    for each in STORES
    if CASES in each.rows
)
"""The stores of the cases $1."""

_CODES: Final = "a code, an id or a state"
_STAFF: Final = "written by staff for all customers"
_POSITIONS: Final = "names of topics, groups and partitions"
KEPT: Final[Mapping[str, str]] = {
    "partners": "a company's name",
    "imported_customers": "ids, numbers and codes",
    "customers.kind": _CODES,
    "customers.origin": _CODES,
    "customers.met_by": _CODES,
    "customers.met_as": "the partner's opaque id, which is on the topics too and leads to nobody",
    "channels.kind": _CODES,
    "customer_changes.name": _CODES,
    "customer_changes.who": "the subject of a token",
    "consents": "codes, ids and times: the proof of what was allowed",
    "suspects.state": _CODES,
    "customer_activities": "ids, codes and times; whole rows go",
    "customer_schemas": _STAFF,
    "customer_links": "the partner's opaque id; whole rows go",
    "customer_meetings": "the partner's opaque id; whole rows go",
    "erasures": "ids, codes, times and the subject of a token",
    "erased_links": "the partner's opaque id, which leads to nobody",
    "holds": "ids, codes, times and the subject of a token",
    "cases.kind": _CODES,
    "cases.partner": "a company's name",
    "cases.status": _CODES,
    "cases.waiting_for": _CODES,
    "cases.severity": _CODES,
    "cases.category": _CODES,
    "cases.channel": _CODES,
    "cases.assignee": "the subject of a token",
    "cases.root_cause": _CODES,
    "cases.segment": "chooses the policy",
    "cases.contract": "chooses the policy",
    "cases.queue": _STAFF,
    "case_entries.did": _CODES,
    "case_entries.status": _CODES,
    "case_entries.waiting_for": _CODES,
    "case_entries.side": _CODES,
    "case_entries.who": "the subject of a token",
    "case_ties": _CODES,
    "mails.direction": _CODES,
    "mails.state": _CODES,
    "mails.reason": "a code, or the status of an SMTP answer without its text",
    "mails.kind": _CODES,
    "mails.digest": "a hash of the whole mail, so that the same mail is not filed again",
    "suppressions": "keyed hashes: opt-outs outlive an erasure",
    "templates": _STAFF,
    "attachments": "ids and codes; whole rows go",
    "imap_positions": "the name of a mailbox of the company",
    "sla_policies": _STAFF,
    "sla_calendars": _STAFF,
    "case_timers": _CODES,
    "sla_marks": _CODES,
    "queues": _STAFF,
    "agents": "people of the company",
    "macros": _STAFF,
    "case_rules": _STAFF,
    "order_troubles": _CODES,
    "rule_watches": _CODES,
    "rule_cases": _CODES,
    "customer_orders": "ids, codes and times of orders",
    "outbox": "events carry ids: the lint of libs/events refuses personal members",
    "outbox_pending": _CODES,
    "inbox": _CODES,
    "dead_letter": "records of topics, which carry no personal data",
    "dead_letter_result": _CODES,
    "parked_key": _POSITIONS,
    "consumer_stop": _POSITIONS,
    "consumer_position": _POSITIONS,
    "consumer_progress": _POSITIONS,
    "projection_head": _POSITIONS,
    "projection": _POSITIONS,
    "idempotency_key.partner": "a company's name",
    "idempotency_key.route": _CODES,
    "idempotency_key.key": "a random text of the client",
    "idempotency_key.fingerprint": "a hash, kept 72 hours",
    "idempotency_key.answer": "ids: verbs answer with nothing else",
    "effect": "the id of a mail, and codes",
    "job": "ids, counts, codes, and the text of an error of the service",
    "import_file.kind": _CODES,
    "import_file.partner": "a company's name",
    "import_file.sha256": "a hash of the whole file",
    "import_file.arguments": "names of columns, given by staff",
    "import_file.traceparent": _CODES,
    "import_piece": "pieces of files; whole rows go",
    "import_row": "whole rows go",
    "import_error": "numbers of rows; whole rows go",
    "operator_action": "ids and codes, and the subject of a token, kept 400 days",
    "rate_limit": "a company's name",
    "rate_bucket": "a company's name",
    "commit_generation": _CODES,
    "crossdock_version": _CODES,
    "crossdock_chassis_version": _CODES,
}
"""Why a table, or a column of it, holds no personal data of customers. Tables that are blanked name each column."""


async def erase_some(sql: asyncpg.Connection, ids: Sequence[UUID], stores: Sequence[Store] = STORES[:-1]) -> int:
    """Erase at most `CHUNK` rows of the first store that still has any. Return how many."""
    for store in stores:
        if count := await sql.fetchval(store.erase, ids):
            return int(count)
    return 0


async def left(sql: asyncpg.Connection, ids: Sequence[UUID]) -> dict[str, int]:
    """Return the rows that still hold personal data of the customers, by store."""
    found = {store.name: await sql.fetchval(store.count, ids) for store in STORES}
    return {name: count for name, count in found.items() if count}
