"""What clients see of customers, and the queries behind it.

A customer is shown with all that was merged into it. A partner sees what it has of it: the rows of the customers for
which it has ordered.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, TypeAlias
from uuid import UUID

import asyncpg
from pydantic import BaseModel, Field
from pydantic_core import from_json

from crm_service.customers.consents import Said, in_force
from crm_service.customers.listing import HAS_MANY, ITS, OF_MANY, OWN_PLAN, Wanted, page_query
from crm_service.customers.matching import compare, name_keys
from crm_service.customers.model import NoSuchCustomer, WrongValue
from crm_service.customers.personal import Eyes
from crm_service.customers.reach import ChannelKind
from crm_service.customers.suspects import hashed, traits_of
from crossdock_chassis import Cursor, Page

CURSOR: Final = Cursor("customers", UUID)
Digest: TypeAlias = Callable[[str], bytes]
"""The keyed hash of a mail address or phone number."""

SEEN: Final = f"($1::text IS NULL OR {OF_MANY})"
"""Whether the partner $1 has ordered for the customer. Without a partner everything is seen."""

ONE: Final = f"SELECT root FROM customers WHERE id = $2 AND {SEEN}"
MEMBERS: Final = """
    SELECT id, root, kind, origin, version, registered_at, merged_at, erased_at, display_name AS name, born_on, zone,
           locale, region, owner, parent_id, tags, fields::text
    FROM customers WHERE root = ANY ($1::uuid[]) ORDER BY id <> root, merged_at, id
"""
MINE: Final = f"SELECT id FROM customers WHERE id = ANY ($2::uuid[]) AND {ITS.format(customers='customers')}"
CHANNELS: Final = """
    SELECT customer_id, match, kind, address, region, verified_at, undeliverable_at, undeliverable_why FROM channels
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
SUPPRESSED: Final = "SELECT address, reason FROM suppressions WHERE address = ANY ($1::bytea[]) ORDER BY scope DESC"
SUMMARY: Final = """
    SELECT count(*) FILTER (WHERE kind = 'person') AS people, count(*) FILTER (WHERE kind = 'account') AS accounts,
           (SELECT count(*) FROM (
               SELECT FROM customer_links AS links JOIN customer_meetings USING (namespace, external_id)
               JOIN customers ON customers.id = links.customer_id
               GROUP BY root HAVING count(DISTINCT partner) > 1
           ) AS several) AS of_several_partners
    FROM customers WHERE root = id
"""
SUSPECTS: Final = """
    SELECT DISTINCT ON (own.root, found.root) own.root, found.root AS customer_id, score, reasons
    FROM customers AS own
    CROSS JOIN LATERAL (
        SELECT other AS id, score, reasons FROM suspects WHERE one = own.id AND state = 'open'
        UNION ALL SELECT one, score, reasons FROM suspects WHERE other = own.id AND state = 'open'
    ) AS pair
    JOIN customers AS found ON found.id = pair.id
    WHERE own.root = ANY ($1::uuid[]) AND found.root <> own.root
    ORDER BY own.root, found.root, score DESC
"""
OPEN_PAIRS: Final = """
    SELECT one, other, first.display_name AS one_name, second.display_name AS other_name, score, reasons, found_at
    FROM suspects JOIN customers AS first ON first.id = one JOIN customers AS second ON second.id = other
    WHERE state = 'open' AND first.root <> second.root
          AND ($1::float8 IS NULL OR (score, one, other) < ($1, $2, $3))
          AND ($5::uuid IS NULL OR EXISTS (
              SELECT FROM imported_customers WHERE import_id = $5 AND customer_id IN (one, other)
          ))
    ORDER BY score DESC, one DESC, other DESC LIMIT $4
"""
PAIRS: Final = Cursor("suspects", tuple[int, UUID, UUID])
"""The score in tenths, as which it is rounded."""


class ChannelView(BaseModel):
    kind: ChannelKind
    value: Annotated[str, Field(description="As it was given")]
    region: Annotated[str | None, Field(description="Of a number without +")]
    verified_at: datetime | None
    undeliverable_at: datetime | None
    undeliverable_why: str | None
    suppressed: Annotated[
        str | None, Field(description="Why notices do not go to it: perhaps its owner had opted out before an erasure")
    ]


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


class SuspectView(BaseModel):
    """Another customer that may be the same one. Nothing is merged before a person decides."""

    customer_id: UUID
    score: Annotated[float, Field(description="The base-2 logarithm of the likelihood ratio")]
    reasons: Annotated[list[str], Field(examples=[["same_phone", "similar_name"]])]


class SuspectPair(BaseModel):
    """Two customers that may be the same."""

    one: UUID
    other: UUID
    one_name: str | None
    other_name: str | None
    score: float
    reasons: list[str]
    found_at: datetime


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
    erased_at: Annotated[datetime | None, Field(description="When its personal data was erased")]
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
    suspects: Annotated[list[SuspectView], Field(description="Customers that may be the same. Only staff see them")]


class MergePreview(BaseModel):
    """Both sides of a merge, and what the customer would be after it. A merge can be taken back."""

    into: CustomerView
    merged: CustomerView
    result: CustomerView
    score: float
    reasons: list[str]


class CustomerSummary(BaseModel):
    people: int
    accounts: int
    of_several_partners: Annotated[int, Field(description="People for whom two or more partners have ordered")]


async def get(sql: asyncpg.Connection, partner: str | None, id: UUID, eyes: Eyes, digest: Digest) -> CustomerView:
    """Return a customer of the partner, or any without one. Raise NoSuchCustomer, also for another's customer.

    The id of a customer that was merged shows the customer that took it in.
    """
    root = await sql.fetchval(ONE, partner, id)
    if root is None:
        raise NoSuchCustomer(f"None of your customers has the id {id}")
    (view,) = await _views(sql, partner, [root], eyes, digest)
    return view


async def page(
    sql: asyncpg.Connection,
    partner: str | None,
    cursor: str | None,
    limit: int,
    eyes: Eyes,
    wanted: Wanted,
    digest: Digest | None = None,
) -> Page[CustomerView]:
    """Return customers, the newest first. A name finds those that have all of its parts, in any order and script."""
    words = None if wanted.name is None else sorted(map(hashed, name_keys(wanted.name)))
    after = CURSOR.decode(cursor)
    if partner is not None:
        await sql.execute(OWN_PLAN)
    many = partner is not None and (wanted != Wanted() or await sql.fetchval(HAS_MANY, partner))
    query, arguments = page_query(partner, after, wanted, words, limit + 1, many=many)
    rows = await sql.fetch(query, *arguments)
    shown = [row["id"] for row in rows[:limit]]
    items = await _views(sql, partner, shown, eyes, digest)
    return Page(items=items, next=CURSOR.encode(shown[-1]) if len(rows) > limit else None)


async def summary(sql: asyncpg.Connection) -> CustomerSummary:
    return CustomerSummary(**dict(await sql.fetchrow(SUMMARY)))


async def preview(sql: asyncpg.Connection, id: UUID, other: UUID, eyes: Eyes, digest: Digest) -> MergePreview:
    """Return what a merge of two customers would show. Raise NoSuchCustomer, WrongValue."""
    into, merged = await get(sql, None, id, eyes, digest), await get(sql, None, other, eyes, digest)
    if into.id == merged.id:
        raise WrongValue("/customer_id", "both are the same customer", "same")
    (result,) = await _views(sql, None, [into.id], eyes, digest, joined={merged.id: into.id})
    traits = await traits_of(sql, [into.id, merged.id])
    score = compare(traits[into.id], traits[merged.id])
    return MergePreview(
        into=into, merged=merged, result=result, score=round(score.value, 1), reasons=list(score.reasons)
    )


async def suspected(
    sql: asyncpg.Connection, cursor: str | None, limit: int, eyes: Eyes, import_id: UUID | None = None
) -> Page[SuspectPair]:
    """Return the pairs that no person has decided about, the likeliest first: all, or those of an import."""
    tenths, *pair = PAIRS.decode(cursor) or (None, None, None)
    rows = await sql.fetch(OPEN_PAIRS, None if tenths is None else tenths / 10, *pair, limit + 1, import_id)
    shown = rows[:limit]
    items = [
        SuspectPair(**{**row, **{name: eyes.name(row[name]) for name in ("one_name", "other_name")}}) for row in shown
    ]
    last = (round(shown[-1]["score"] * 10), shown[-1]["one"], shown[-1]["other"]) if len(rows) > limit else None
    return Page(items=items, next=None if last is None else PAIRS.encode(last))


async def _views(
    sql: asyncpg.Connection,
    partner: str | None,
    roots: Sequence[UUID],
    eyes: Eyes,
    digest: Digest | None,
    joined: Mapping[UUID, UUID] = MappingProxyType({}),
) -> list[CustomerView]:
    """Return the views of customers in this order. `joined` has customers that are shown as if they were merged now."""
    if not roots:
        return []
    rows = await sql.fetch(MEMBERS, [*roots, *joined])
    ids = [row["id"] for row in rows]
    mine = set(ids) if partner is None else {row["id"] for row in await sql.fetch(MINE, partner, ids)}
    root_of = {row["id"]: joined.get(row["root"], row["root"]) for row in rows}
    members = _grouped(sorted(rows, key=lambda row: row["root"] in joined), lambda row: root_of[row["id"]])

    async def by_root(query: str, *arguments: object) -> Mapping[UUID, list[asyncpg.Record]]:
        return _grouped(await sql.fetch(query, *arguments), lambda row: root_of[row["customer_id"]])

    channels, addresses = await by_root(CHANNELS, [*mine]), await by_root(ADDRESSES, [*mine])
    refused = await _suppressed(sql, [row["match"] for rows in channels.values() for row in rows], digest)
    links, said = await by_root(LINKS, partner, [*mine]), await by_root(CONSENTS, [*roots, *joined])
    suspects = _grouped(await sql.fetch(SUSPECTS, roots) if partner is None else [], lambda row: row["root"])
    return [
        _view(
            members[root],
            [row for row in members[root] if row["id"] in mine],
            channels[root],
            refused,
            addresses[root],
            links[root],
            said[root],
            suspects[root],
            eyes,
        )
        for root in roots
    ]


async def _suppressed(sql: asyncpg.Connection, matches: Sequence[str], digest: Digest | None) -> Mapping[str, str]:
    """Return why a channel gets no notices, by the form of it that is compared. Nothing without `digest`."""
    hashes = {digest(match): match for match in matches} if digest else {}
    rows = await sql.fetch(SUPPRESSED, list(hashes)) if hashes else []
    return {hashes[address]: reason for address, reason in rows}


def _grouped(rows: Iterable[asyncpg.Record], key: Any) -> Mapping[Any, list[asyncpg.Record]]:
    found = defaultdict[Any, list[asyncpg.Record]](list)
    for row in rows:
        found[key(row)].append(row)
    return found


def _view(
    members: Sequence[asyncpg.Record],
    mine: Sequence[asyncpg.Record],
    channels: Sequence[asyncpg.Record],
    refused: Mapping[str, str],
    addresses: Sequence[asyncpg.Record],
    links: Sequence[asyncpg.Record],
    said: Sequence[asyncpg.Record],
    suspects: Sequence[asyncpg.Record],
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
    merged_at = max((row["merged_at"] or datetime.now(UTC) for row in members[1:]), default=None)
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
        erased_at=head["erased_at"],
        version=head["version"],
        masked=not eyes.open,
        other_names=[str(eyes.name(name)) for name in names[1:]],
        born_on=eyes.day(first("born_on")),
        zone=first("zone"),
        locale=first("locale"),
        region=first("region"),
        channels=[
            ChannelView(
                **{**row, "value": eyes.channel(row["kind"], row["address"]), "suppressed": refused.get(row["match"])}
            )
            for row in channels
        ],
        addresses=[_address(row, eyes) for row in addresses],
        consents=[ConsentView(**each._asdict()) for _, each in sorted(force.items())],
        parent_id=first("parent_id") if staff else None,
        owner=first("owner") if staff else None,
        tags=sorted({tag for row in mine for tag in row["tags"]}) if staff else [],
        fields=eyes.values(fields) if staff else {},
        merged=[row["id"] for row in mine if row["id"] != head["id"]],
        suspects=[
            SuspectView(customer_id=row["customer_id"], score=row["score"], reasons=row["reasons"]) for row in suspects
        ],
    )


def _address(row: asyncpg.Record, eyes: Eyes) -> AddressView:
    hidden = {name: eyes.text(row[name]) for name in ("street", "extra", "city", "postcode")}
    return AddressView(**{**row, **hidden})
