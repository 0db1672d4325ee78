"""Read and write customers, many at a time."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

from pydantic_core import from_json, to_json

from crm_service.customers.model import (
    AddressTaken,
    AlreadyMerged,
    Change,
    Customer,
    CustomerErased,
    NoSuchCustomer,
    Profile,
)
from crm_service.customers.reach import Channel
from crossdock_chassis import Unit, columns

Link: TypeAlias = tuple[str, str]
"""A namespace, and a customer id in it."""

KEEP_PARTNERS: Final = """
    INSERT INTO partners (name, namespace) SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING
"""
PARTNERS: Final = "SELECT name, namespace, account_id FROM partners WHERE name = ANY ($1::text[])"
ERASED: Final = """
    SELECT namespace, external_id, erased_at FROM unnest($1::text[], $2::text[]) AS wanted (namespace, external_id)
    JOIN erased_links USING (namespace, external_id)
"""
WITHOUT_ACCOUNT: Final = """
    SELECT name FROM partners WHERE name = ANY ($1::text[]) AND account_id IS NULL ORDER BY name FOR UPDATE
"""
OPEN: Final = """
    UPDATE partners SET account_id = new.id FROM unnest($1::text[], $2::uuid[]) AS new (name, id)
    WHERE partners.name = new.name
"""
LINK: Final = """
    INSERT INTO customer_links (namespace, external_id, customer_id, since)
    SELECT namespace, external_id, customer_id, coalesce(erased_at, '-infinity')
    FROM unnest($1::text[], $2::text[], $3::uuid[]) AS new (namespace, external_id, customer_id)
    LEFT JOIN erased_links USING (namespace, external_id)
    ON CONFLICT DO NOTHING RETURNING namespace, external_id, customer_id
"""
REGISTER: Final = """
    INSERT INTO customers (id, kind, origin, met_by, met_as, version, registered_at, root)
    SELECT id, kind, $5, met_by, met_as, 1, $6, id
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS new (id, kind, met_by, met_as)
"""
MEET: Final = """
    INSERT INTO customer_meetings (namespace, external_id, partner)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING
"""


SCALARS: Final = ("name", "born_on", "zone", "locale", "region", "owner", "parent_id")
LOCK: Final = """
    SELECT id, kind, version, root, display_name AS name, born_on, zone, locale, region, owner, parent_id, tags,
           fields::text, erased_at
    FROM customers WHERE id = $1 FOR UPDATE
"""
WRITE: Final = """
    UPDATE customers SET display_name = $2, born_on = $3, zone = $4, locale = $5, region = $6, owner = $7,
                         parent_id = $8, tags = $9, fields = $10::jsonb
    WHERE id = $1
"""
HISTORY: Final = """
    INSERT INTO customer_changes (customer_id, version, name, at, who, before, after)
    SELECT $4, $5, name, $6, $7, before, after
    FROM unnest($1::text[], $2::jsonb[], $3::jsonb[]) AS new (name, before, after)
"""
ADD_CHANNEL: Final = """
    INSERT INTO channels (match, customer_id, kind, address, region, added_at) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT DO NOTHING RETURNING match
"""
HAS_CHANNEL: Final = "SELECT true FROM channels WHERE match = $1 AND customer_id = $2"
OF_ADDRESSES: Final = "SELECT match, customer_id FROM channels WHERE match = ANY ($1::text[]) AND kind = 'email'"
ADD_ADDRESSES: Final = """
    INSERT INTO channels (match, customer_id, kind, address, added_at)
    SELECT match, id, 'email', address, $4 FROM unnest($1::uuid[], $2::text[], $3::text[]) AS new (id, match, address)
    ORDER BY match ON CONFLICT DO NOTHING RETURNING match
"""
HOLD: Final = "SELECT id FROM customers WHERE id = ANY ($1::uuid[]) AND erased_at IS NULL ORDER BY id FOR KEY SHARE"


class Partner(NamedTuple):
    namespace: str
    account_id: UUID | None


async def keep_partners(unit: Unit, namespaces: Mapping[str, str]) -> dict[str, Partner]:
    """Store partners that are new with their namespace, and return all of them as they are stored."""
    names = sorted(namespaces)
    known = await unit.sql.fetch(PARTNERS, names)
    if len(known) < len(names):
        await unit.sql.execute(KEEP_PARTNERS, names, [namespaces[name] for name in names])
        known = await unit.sql.fetch(PARTNERS, names)
    return {row["name"]: Partner(row["namespace"], row["account_id"]) for row in known}


async def open_accounts(unit: Unit, ids: Mapping[str, UUID]) -> dict[str, UUID]:
    """Give each partner that has no account the id. Return the partners for which this is new."""
    if not ids:
        return {}
    opened = {row["name"]: ids[row["name"]] for row in await unit.sql.fetch(WITHOUT_ACCOUNT, list(ids))}
    await unit.sql.execute(OPEN, list(opened), list(opened.values()))
    return opened


async def erased(unit: Unit, links: Collection[Link]) -> dict[Link, datetime]:
    """Return when the customers of these ids were erased: older orders lead to nobody."""
    if not links:
        return {}
    rows = await unit.sql.fetch(ERASED, *columns(sorted(links)))
    return {(row["namespace"], row["external_id"]): row["erased_at"] for row in rows}


async def link(unit: Unit, ids: Mapping[Link, UUID]) -> dict[Link, UUID]:
    """Link each customer id that leads nowhere yet. Return the links that are new."""
    if not ids:
        return {}
    rows = await unit.sql.fetch(LINK, *columns([(*link, id) for link, id in ids.items()]))
    return {(row["namespace"], row["external_id"]): row["customer_id"] for row in rows}


async def register(unit: Unit, new: Sequence[tuple[UUID, str, str | None, str | None]], origin: str = "order") -> None:
    """Insert customers: id, kind, and the partner and id by which each was met."""
    if new:
        await unit.sql.execute(REGISTER, *columns(new), origin, unit.now)


async def note_meetings(unit: Unit, meetings: Sequence[tuple[str, str, str]]) -> None:
    if meetings:
        await unit.sql.execute(MEET, *columns(meetings))


async def lock(unit: Unit, id: UUID) -> Customer:
    """Lock a customer. Raise NoSuchCustomer, AlreadyMerged, CustomerErased."""
    row = await unit.sql.fetchrow(LOCK, id)
    if row is None:
        raise NoSuchCustomer(f"No customer has the id {id}")
    if row["root"] != id:
        raise AlreadyMerged(id, row["root"])
    if row["erased_at"] is not None:
        raise CustomerErased(f"the customer {id} was erased")
    tags, fields = tuple(row["tags"]), from_json(row["fields"])
    profile = Profile(**{**{name: row[name] for name in SCALARS}, "tags": tags, "fields": fields})
    return Customer(id, row["kind"], row["version"], profile)


async def write_profile(unit: Unit, id: UUID, profile: Profile) -> None:
    values = [getattr(profile, name) for name in SCALARS]
    await unit.sql.execute(WRITE, id, *values, list(profile.tags), to_json(profile.fields).decode())


async def advance(unit: Unit, id: UUID) -> int:
    """Return the version after the next event of a locked customer."""
    version: int = await unit.sql.fetchval(
        "UPDATE customers SET version = version + 1 WHERE id = $1 RETURNING version", id
    )
    return version


async def keep_history(unit: Unit, id: UUID, version: int, who: str, changes: Sequence[Change]) -> None:
    rows = [
        (each.name, *(None if value is None else to_json(value).decode() for value in (each.before, each.after)))
        for each in changes
    ]
    await unit.sql.execute(HISTORY, *columns(rows), id, version, unit.now, who)


async def add_channel(unit: Unit, id: UUID, channel: Channel) -> bool:
    """Give a customer a channel. Return False if it has it already. Raise AddressTaken."""
    kind, match, address, region = channel
    added = await unit.sql.fetchval(ADD_CHANNEL, match, id, kind, address, region, unit.now)
    if added is None and not await unit.sql.fetchval(HAS_CHANNEL, match, id):
        raise AddressTaken
    return added is not None


async def customers_of(unit: Unit, matches: Sequence[str]) -> dict[str, UUID]:
    """Return the customers with these mail addresses, which are in the form that is compared."""
    return dict(await unit.sql.fetch(OF_ADDRESSES, matches)) if matches else {}


async def add_addresses(unit: Unit, new: Sequence[tuple[UUID, str, str]]) -> set[str]:
    """Give customers mail addresses: id, form that is compared, address. Return those that nobody had."""
    rows = await unit.sql.fetch(ADD_ADDRESSES, *columns(new), unit.now) if new else []
    return {row["match"] for row in rows}


async def hold(unit: Unit, ids: Collection[UUID]) -> set[UUID]:
    """Hold customers as they are until this unit ends: no erasure and no change of terms ends meanwhile.

    Return those that are not erased. Hold customers before their cases are locked, because an erasure does the same.
    """
    return {row["id"] for row in await unit.sql.fetch(HOLD, list(set(ids)))} if ids else set()


async def hold_one(unit: Unit, id: UUID) -> None:
    """Hold a customer. Raise CustomerErased."""
    if not await hold(unit, [id]):
        raise CustomerErased(f"the customer {id} was erased")
