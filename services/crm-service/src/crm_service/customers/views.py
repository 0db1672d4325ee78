"""What clients see of customers, and the queries behind it.

A customer is shown with all that was merged into it. A partner sees what it has of it: the rows of the customers for
which it has ordered.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field
from pydantic_core import from_json

from crm_service.customers.consents import Said, in_force
from crm_service.customers.model import NoSuchCustomer, match_of
from crm_service.customers.personal import Eyes
from crm_service.customers.reach import ChannelKind
from crossdock_chassis import Cursor, Page

CURSOR: Final = Cursor("customers", UUID)

MET: Final = """
    SELECT links.customer_id FROM customer_meetings AS met
    JOIN customer_links AS links USING (namespace, external_id) WHERE met.partner = $1
    UNION ALL SELECT account_id FROM partners WHERE name = $1 AND account_id IS NOT NULL
"""
"""The customers for which the partner $1 has ordered."""
SEEN: Final = f"""
    ($1::text IS NULL OR customers.root IN (SELECT root FROM customers WHERE id IN ({MET})))
"""
"""Whether the partner $1 has ordered for the customer. Without a partner everything is seen."""

ONE: Final = f"SELECT root FROM customers WHERE id = $2 AND {SEEN}"
PAGE: Final = f"""
    SELECT id FROM customers
    WHERE root = id AND {SEEN} AND ($2::uuid IS NULL OR id < $2)
          AND ($3::text IS NULL OR id IN (
              SELECT root FROM customers JOIN customer_links AS links ON links.customer_id = customers.id
              WHERE external_id = $3
          ))
          AND ($4::uuid IS NULL OR id IN (
              SELECT owner.root
              FROM customer_orders AS orders JOIN partners ON partners.name = orders.partner
              LEFT JOIN customer_links AS links
                   ON links.namespace = partners.namespace AND links.external_id = orders.external_id
              JOIN customers AS owner ON owner.id = coalesce(links.customer_id, partners.account_id)
              WHERE orders.order_id = $4
          ))
          AND ($5::text IS NULL OR id IN (
              SELECT root FROM customers JOIN channels ON channels.customer_id = customers.id WHERE match = $5
          ))
    ORDER BY id DESC LIMIT $6
"""
MEMBERS: Final = """
    SELECT id, root, kind, origin, version, registered_at, merged_at, display_name AS name, born_on, zone, locale,
           region, owner, parent_id, tags, fields::text
    FROM customers WHERE root = ANY ($1::uuid[]) ORDER BY id <> root, merged_at, id
"""
MINE: Final = f"SELECT id FROM customers WHERE id = ANY ($2::uuid[]) AND id IN ({MET})"
CHANNELS: Final = """
    SELECT customer_id, kind, address, region, verified_at, undeliverable_at, undeliverable_why FROM channels
    WHERE customer_id = ANY ($1::uuid[]) ORDER BY added_at, kind, match
"""
ADDRESSES: Final = """
    SELECT customer_id, id, purpose, street, extra, city, region, postcode, country FROM customer_addresses
    WHERE customer_id = ANY ($1::uuid[]) ORDER BY added_at, id
"""
LINKS: Final = """
    SELECT links.customer_id, met.partner, links.external_id FROM customer_links AS links
    JOIN customer_meetings AS met USING (namespace, external_id)
    WHERE links.customer_id = ANY ($2::uuid[]) AND ($1::text IS NULL OR met.partner = $1)
    UNION ALL SELECT account_id, name, NULL FROM partners
    WHERE account_id = ANY ($2::uuid[]) AND ($1::text IS NULL OR name = $1)
"""
CONSENTS: Final = """
    SELECT customer_id, consents.version, purpose, channel, state, source, at FROM consents
    JOIN customers ON customers.id = consents.customer_id WHERE root = ANY ($1::uuid[])
"""
SUMMARY: Final = """
    SELECT count(*) FILTER (WHERE kind = 'person') AS people, count(*) FILTER (WHERE kind = 'account') AS accounts,
           (SELECT count(*) FROM (
               SELECT FROM customer_links AS links JOIN customer_meetings USING (namespace, external_id)
               JOIN customers ON customers.id = links.customer_id
               GROUP BY root HAVING count(DISTINCT partner) > 1
           ) AS several) AS of_several_partners
    FROM customers WHERE root = id
"""
HISTORY: Final = """
    SELECT version, name, at, who, before::text, after::text FROM customer_changes
    WHERE customer_id = $1 AND ($2::bigint IS NULL OR (version, name) < ($2, $3))
    ORDER BY version DESC, name DESC LIMIT $4
"""
SAID: Final = """
    SELECT customer_id, version, purpose, channel, state, source, at, who FROM consents
    WHERE customer_id IN (SELECT id FROM customers WHERE root = (SELECT root FROM customers WHERE id = $1))
          AND ($2::timestamptz IS NULL OR (at, customer_id, version) < ($2, $3, $4))
    ORDER BY at DESC, customer_id DESC, version DESC LIMIT $5
"""
SAYINGS: Final = Cursor("consents", tuple[datetime, UUID, int])
CHANGES: Final = Cursor("customer-changes", tuple[int, str])


class ChannelView(BaseModel):
    kind: ChannelKind
    value: Annotated[str, Field(description="As it was given")]
    region: Annotated[str | None, Field(description="Of a number without +")]
    verified_at: datetime | None
    undeliverable_at: datetime | None
    undeliverable_why: str | None


class AddressView(BaseModel):
    id: UUID
    purpose: str
    street: str
    extra: str | None
    city: str
    region: str | None
    postcode: str | None
    country: str


class ConsentView(BaseModel):
    """A consent in force. Nothing is listed for what the customer never spoke about."""

    purpose: str
    channel: str
    state: Literal["given", "withdrawn"]
    source: str
    at: datetime


class SaidView(ConsentView):
    """A consent as it was given or withdrawn."""

    customer_id: Annotated[UUID, Field(description="The customer that gave or withdrew it, before any merge")]
    version: int
    who: str


class CustomerView(BaseModel):
    """A customer with all that was merged into it. A partner sees its own names and ids of it, and nobody else's."""

    id: UUID
    kind: Annotated[Literal["person", "account"], Field(description="An account has a partner's orders of no customer")]
    origin: Annotated[str, Field(description="How it was met: order, mail, staff or import")]
    name: str | None
    emails: list[str]
    partners: Annotated[list[str], Field(description="The partners that have ordered for it")]
    external_ids: Annotated[list[str], Field(description="The ids that they use")]
    registered_at: datetime
    version: Annotated[int, Field(description="Also its ETag")]
    masked: Annotated[bool, Field(description="Personal values are masked, because the token lacks `pii:read`")]
    other_names: Annotated[list[str], Field(description="The names of customers that were merged into it")]
    born_on: date | None
    zone: str | None
    locale: str | None
    region: Annotated[str | None, Field(description="The region of its phone numbers")]
    channels: list[ChannelView]
    addresses: list[AddressView]
    consents: list[ConsentView]
    parent_id: Annotated[UUID | None, Field(description="The account that it belongs to")]
    owner: Annotated[str | None, Field(description="Only staff see it")]
    tags: Annotated[list[str], Field(description="Only staff see them")]
    fields: Annotated[dict[str, Any], Field(description="As `/v1/customers/schema` declares them. Only staff see them")]
    merged: Annotated[list[UUID], Field(description="The customers that were merged into it")]


class CustomerSummary(BaseModel):
    people: int
    accounts: int
    of_several_partners: Annotated[int, Field(description="People for whom two or more partners have ordered")]


class ChangeView(BaseModel):
    """A value that changed. `registered` has all values that the customer began with."""

    version: int
    name: str
    at: datetime
    who: str
    before: Any
    after: Any


async def get(sql: asyncpg.Connection, partner: str | None, id: UUID, eyes: Eyes) -> CustomerView:
    """Return a customer of the partner, or any without one. Raise NoSuchCustomer, also for another's customer.

    The id of a customer that was merged shows the customer that took it in.
    """
    root = await sql.fetchval(ONE, partner, id)
    if root is None:
        raise NoSuchCustomer(f"None of your customers has the id {id}")
    (view,) = await _views(sql, partner, [root], eyes)
    return view


async def page(
    sql: asyncpg.Connection,
    partner: str | None,
    cursor: str | None,
    limit: int,
    eyes: Eyes,
    *,
    external_id: str | None,
    order_id: UUID | None,
    email: str | None,
) -> Page[CustomerView]:
    """Return customers, the newest first."""
    match = None if email is None else match_of(email)
    rows = await sql.fetch(PAGE, partner, CURSOR.decode(cursor), external_id, order_id, match, limit + 1)
    shown = [row["id"] for row in rows[:limit]]
    items = await _views(sql, partner, shown, eyes)
    return Page(items=items, next=CURSOR.encode(shown[-1]) if len(rows) > limit else None)


async def summary(sql: asyncpg.Connection) -> CustomerSummary:
    return CustomerSummary(**dict(await sql.fetchrow(SUMMARY)))


async def history(sql: asyncpg.Connection, id: UUID, cursor: str | None, limit: int, eyes: Eyes) -> Page[ChangeView]:
    """Return the changes of a customer, the newest first. Raise NoSuchCustomer."""
    after = CHANGES.decode(cursor) or (None, None)
    if not await sql.fetchval("SELECT true FROM customers WHERE id = $1", id):
        raise NoSuchCustomer(f"No customer has the id {id}")
    rows = await sql.fetch(HISTORY, id, *after, limit + 1)
    shown = rows[:limit]
    items = [ChangeView(**{**row, **{each: _value(row[each], eyes) for each in ("before", "after")}}) for row in shown]
    following = CHANGES.encode((shown[-1]["version"], shown[-1]["name"])) if len(rows) > limit else None
    return Page(items=items, next=following)


async def said(sql: asyncpg.Connection, id: UUID, cursor: str | None, limit: int) -> Page[SaidView]:
    """Return the consents of a customer and of those merged into it, the newest first. Raise NoSuchCustomer."""
    after = SAYINGS.decode(cursor) or (None, None, None)
    if not await sql.fetchval("SELECT true FROM customers WHERE id = $1", id):
        raise NoSuchCustomer(f"No customer has the id {id}")
    rows = await sql.fetch(SAID, id, *after, limit + 1)
    shown = rows[:limit]
    last = (shown[-1]["at"], shown[-1]["customer_id"], shown[-1]["version"]) if len(rows) > limit else None
    return Page(items=[SaidView(**dict(row)) for row in shown], next=None if last is None else SAYINGS.encode(last))


async def _views(sql: asyncpg.Connection, partner: str | None, roots: Sequence[UUID], eyes: Eyes) -> list[CustomerView]:
    """Return the views of customers in this order."""
    if not roots:
        return []
    rows = await sql.fetch(MEMBERS, roots)
    ids = [row["id"] for row in rows]
    mine = set(ids) if partner is None else {row["id"] for row in await sql.fetch(MINE, partner, ids)}
    root_of = {row["id"]: row["root"] for row in rows}
    members = _grouped(rows, lambda row: row["root"])

    async def joined(query: str, *arguments: object) -> Mapping[UUID, list[asyncpg.Record]]:
        return _grouped(await sql.fetch(query, *arguments), lambda row: root_of[row["customer_id"]])

    channels, addresses = await joined(CHANNELS, [*mine]), await joined(ADDRESSES, [*mine])
    links, said = await joined(LINKS, partner, [*mine]), await joined(CONSENTS, roots)
    return [
        _view(
            members[root],
            [row for row in members[root] if row["id"] in mine],
            channels[root],
            addresses[root],
            links[root],
            said[root],
            eyes,
        )
        for root in roots
    ]


def _grouped(rows: Iterable[asyncpg.Record], key: Any) -> Mapping[Any, list[asyncpg.Record]]:
    found = defaultdict[Any, list[asyncpg.Record]](list)
    for row in rows:
        found[key(row)].append(row)
    return found


def _view(
    members: Sequence[asyncpg.Record],
    mine: Sequence[asyncpg.Record],
    channels: Sequence[asyncpg.Record],
    addresses: Sequence[asyncpg.Record],
    links: Sequence[asyncpg.Record],
    said: Sequence[asyncpg.Record],
    eyes: Eyes,
) -> CustomerView:
    """Join the rows of a customer and its members, the customer itself first. Its own values win.

    The reader sees values of `mine` only. A consent of any member binds everybody.
    """

    def first(name: str) -> Any:
        return next((row[name] for row in mine if row[name] is not None), None)

    head, staff = members[0], eyes.staff
    names = [*dict.fromkeys(row["name"] for row in mine if row["name"] is not None)]
    fields: dict[str, Any] = {}
    for row in reversed(mine):
        fields |= from_json(row["fields"])
    merged_at = max((row["merged_at"] for row in members[1:]), default=None)
    force = in_force((Said(**dict(row)) for row in said), head["id"], merged_at)
    return CustomerView(
        id=head["id"],
        kind=head["kind"],
        origin=head["origin"],
        name=eyes.name(first("name")),
        emails=list(dict.fromkeys(eyes.email(row["address"]) for row in channels if row["kind"] == "email")),
        partners=sorted({row["partner"] for row in links}),
        external_ids=sorted({row["external_id"] for row in links if row["external_id"] is not None}),
        registered_at=min(row["registered_at"] for row in members),
        version=head["version"],
        masked=not eyes.open,
        other_names=[str(eyes.name(name)) for name in names[1:]],
        born_on=eyes.day(first("born_on")),
        zone=first("zone"),
        locale=first("locale"),
        region=first("region"),
        channels=[ChannelView(**{**row, "value": eyes.channel(row["kind"], row["address"])}) for row in channels],
        addresses=[_address(row, eyes) for row in addresses],
        consents=[ConsentView(**each._asdict()) for _, each in sorted(force.items())],
        parent_id=first("parent_id") if staff else None,
        owner=first("owner") if staff else None,
        tags=sorted({tag for row in mine for tag in row["tags"]}) if staff else [],
        fields=eyes.values(fields) if staff else {},
        merged=[row["id"] for row in mine if row["id"] != head["id"]],
    )


def _address(row: asyncpg.Record, eyes: Eyes) -> AddressView:
    hidden = {name: eyes.text(row[name]) for name in ("street", "extra", "city", "postcode")}
    return AddressView(**{**row, **hidden})


def _value(document: str | None, eyes: Eyes) -> Any:
    return None if document is None else eyes.any(from_json(document))
