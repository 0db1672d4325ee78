"""The stores of personal data: what an erasure takes from each, and what an export shows of it.

`KEPT` has what holds none, with the reason. A test walks through the service's own tables, so that no new column is
left out of both. It leaves out the tables of the chassis, of which only the bodies of requests are erased.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

CHUNK: Final = 500
"""The rows that one statement erases at most."""

CASES: Final = "SELECT id FROM cases WHERE customer_id = ANY ($1)"
MATCHES: Final = "SELECT match FROM channels WHERE customer_id = ANY ($1)"
MAIL: Final = (
    "state <> 'stored' AND (raw <> '' OR sender IS NOT NULL OR recipient <> '' OR message_id IS NOT NULL "
    "OR html IS NOT NULL OR \"references\" <> '{}')"
)
MAIL_COLUMNS: Final = ("raw", "sender", "recipient", "message_id", "references", "html")
BLANK_MAIL: Final = (
    "raw = '', sender = NULL, recipient = '', message_id = NULL, \"references\" = '{}', html = NULL, "
    "reason = CASE state WHEN 'requested' THEN 'erased' ELSE reason END, "
    "state = CASE state WHEN 'requested' THEN 'suppressed' ELSE state END"
)
"""A mail that waits to be sent is not sent any more. One that waits to be read is read first."""


@dataclass(frozen=True, slots=True)
class Store:
    """`rows` selects the rows of the customers $1 that hold personal data: `table WHERE condition`.

    They are deleted, or blanked by `blank`, the assignments of an UPDATE. `columns` have the personal data.
    """

    name: str
    rows: str
    columns: Sequence[str]
    blank: str | None = None

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
    Store("texts of cases", f"case_entries WHERE case_id IN ({CASES}) AND body IS NOT NULL", ["body"], "body = NULL"),
    Store("subjects of cases", "cases WHERE customer_id = ANY ($1) AND subject <> ''", ["subject"], "subject = ''"),
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
        "channels",
        "channels WHERE customer_id = ANY ($1)",
        ["match", "address", "region", "undeliverable_why"],
    ),
)
"""In the order of the erasure. Channels come last, because they lead to the mails that are in no case."""

_CODES: Final = "a code, an id or a state"
_STAFF: Final = "written by staff for all customers"
KEPT: Final[Mapping[str, str]] = {
    "partners": "a company's name",
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
}
"""Why a table, or a column of it, holds no personal data of customers. Tables that are blanked name each column."""


async def erase_some(sql: asyncpg.Connection, ids: Sequence[UUID]) -> int:
    """Erase at most `CHUNK` rows of the first store that still has any. Return how many."""
    for store in STORES[:-1]:
        if count := await sql.fetchval(store.erase, ids):
            return int(count)
    return 0


async def left(sql: asyncpg.Connection, ids: Sequence[UUID]) -> dict[str, int]:
    """Return the rows that still hold personal data of the customers, by store."""
    found = {store.name: await sql.fetchval(store.count, ids) for store in STORES}
    return {name: count for name, count in found.items() if count}
