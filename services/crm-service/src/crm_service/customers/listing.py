"""The query of a list of customers: only the conditions that are asked for.

PostgreSQL keeps one plan for each text of a query. One text with `$1 IS NULL OR …` for each condition would get a plan
that reads all customers to find one, because a plan for any values must work without the condition too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

ITS: Final = """
    EXISTS (
        SELECT FROM customer_links AS own JOIN customer_meetings AS met USING (namespace, external_id)
        WHERE own.customer_id = {customers}.id AND met.partner = $1
        UNION ALL SELECT FROM partners WHERE name = $1 AND account_id = {customers}.id
    )
"""
"""Whether the partner $1 has ordered for the customer. This is fast for one customer."""
OWN_PLAN: Final = "SET LOCAL plan_cache_mode = force_custom_plan"
"""A kept plan expects the average of all partners, and reads all meetings for those of a partner that has few."""
MANY: Final = 1_000
HAS_MANY: Final = (
    f"SELECT count(*) = {MANY} FROM (SELECT FROM customer_meetings WHERE partner = $1 LIMIT {MANY}) AS met"
)
OF_FEW: Final = f"""
    id = ANY (ARRAY(
        SELECT root FROM customers WHERE id = ANY (ARRAY(
            SELECT (
                SELECT customer_id FROM customer_links AS links
                WHERE links.namespace = met.namespace AND links.external_id = met.external_id
            ) FROM (SELECT * FROM customer_meetings WHERE partner = $1 LIMIT {MANY}) AS met
            UNION ALL SELECT account_id FROM partners WHERE name = $1 AND account_id IS NOT NULL
        ))
    ))
"""
"""Each step by its index, because the planner expects the average of all partners and would read all customers."""
OF_MANY: Final = f"""
    (SELECT true FROM customers AS member
     WHERE member.root = customers.root AND {ITS.format(customers="member")} LIMIT 1)
"""
"""The customers of a partner that has few are looked up. Of a partner that has many, the newest soon fill a page."""

EXTERNAL_ID: Final = """
    id IN (
        SELECT root FROM customers JOIN customer_links AS links ON links.customer_id = customers.id
        WHERE (links.namespace, external_id) IN (SELECT namespace, {value}::text FROM partners) {mine}
    )
"""
ORDER: Final = """
    id IN (
        SELECT root FROM customer_orders AS orders JOIN partners ON partners.name = orders.partner
        LEFT JOIN customer_links AS links
             ON links.namespace = partners.namespace AND links.external_id = orders.external_id
                AND orders.placed_at >= links.since
        JOIN customers
             ON customers.id = CASE orders.external_id WHEN '' THEN partners.account_id ELSE links.customer_id END
        WHERE orders.order_id = {value} {ordered}
    )
"""
MATCHES: Final = """
    id IN (
        SELECT root FROM customers JOIN channels ON channels.customer_id = customers.id
        WHERE match = ANY ({value}::text[]) {mine} GROUP BY root HAVING count(DISTINCT match) = cardinality({value})
    )
"""
NAME: Final = """
    id IN (
        SELECT root FROM customers JOIN match_keys ON match_keys.customer_id = customers.id
        WHERE key = ANY ({value}::bigint[]) {mine}
        GROUP BY customers.id, root HAVING count(*) = cardinality({value})
    )
"""
PARENT: Final = """
    id IN (
        SELECT customers.root FROM customers JOIN customers AS parent ON parent.id = customers.parent_id
        WHERE parent.root = (SELECT root FROM customers WHERE id = {value})
    )
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list of customers is limited to: equal to `Wanted()` if to nothing.

    `matches` are channels in the form that is compared.
    """

    external_id: str | None = None
    order_id: UUID | None = None
    matches: tuple[str, ...] = ()
    name: str | None = None
    parent_id: UUID | None = None


def page_query(
    partner: str | None, after: UUID | None, wanted: Wanted, words: Sequence[int] | None, limit: int, *, many: bool
) -> tuple[str, list[object]]:
    """Return the query of a page, the newest customers first, and its arguments.

    `words` are keys of the name. `many`: the partner has ordered for many customers, or few are looked at.
    """
    arguments = list[object]([] if partner is None else [partner])
    limits = {
        "mine": "" if partner is None else f"AND {ITS.format(customers='customers')}",
        "ordered": "" if partner is None else "AND orders.partner = $1",
    }
    conditions = ["root = id"] if partner is None else ["root = id", OF_MANY if many else OF_FEW]
    for condition, value in (
        ("id < {value}", after),
        (EXTERNAL_ID, wanted.external_id),
        (ORDER, wanted.order_id),
        (MATCHES, list(wanted.matches) or None),
        (NAME, words),
        (PARENT, wanted.parent_id),
    ):
        if value is not None:
            arguments.append(value)
            conditions.append(condition.format(value=f"${len(arguments)}", **limits))
    return f"SELECT id FROM customers WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT {limit:d}", arguments
