"""Read and write customers, many at a time."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

from crm_service.customers.model import AddressTaken, NoSuchCustomer, match_of
from crossdock_chassis import Unit, columns

Link: TypeAlias = tuple[str, str]
"""A namespace, and a customer id in it."""

KEEP_PARTNERS: Final = """
    INSERT INTO partners (name, namespace) SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING
"""
PARTNERS: Final = "SELECT name, namespace, account_id FROM partners WHERE name = ANY ($1::text[])"
WITHOUT_ACCOUNT: Final = """
    SELECT name FROM partners WHERE name = ANY ($1::text[]) AND account_id IS NULL ORDER BY name FOR UPDATE
"""
OPEN: Final = """
    UPDATE partners SET account_id = new.id FROM unnest($1::text[], $2::uuid[]) AS new (name, id)
    WHERE partners.name = new.name
"""
LINK: Final = """
    INSERT INTO customer_links (namespace, external_id, customer_id)
    SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[])
    ON CONFLICT DO NOTHING RETURNING namespace, external_id, customer_id
"""
REGISTER: Final = """
    INSERT INTO customers (id, kind, origin, met_by, met_as, version, registered_at)
    SELECT id, kind, $5, met_by, met_as, 1, $6
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS new (id, kind, met_by, met_as)
"""
MEET: Final = """
    INSERT INTO customer_meetings (namespace, external_id, partner)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING
"""


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


async def lock(unit: Unit, id: UUID) -> int:
    """Lock a customer and return its version. Raise NoSuchCustomer."""
    version: int | None = await unit.sql.fetchval("SELECT version FROM customers WHERE id = $1 FOR UPDATE", id)
    if version is None:
        raise NoSuchCustomer(f"No customer has the id {id}")
    return version


async def rename(unit: Unit, id: UUID, name: str | None) -> None:
    await unit.sql.execute("UPDATE customers SET display_name = $2 WHERE id = $1", id, name)


async def advance(unit: Unit, id: UUID) -> int:
    """Return the version after the next event of a locked customer."""
    version: int = await unit.sql.fetchval(
        "UPDATE customers SET version = version + 1 WHERE id = $1 RETURNING version", id
    )
    return version


async def add_address(unit: Unit, id: UUID, address: str) -> bool:
    """Give a customer a mail address. Return False if it has it already. Raise AddressTaken."""
    added = await unit.sql.fetchval(
        "INSERT INTO channels (match, customer_id, address, added_at) VALUES ($1, $2, $3, $4) "
        "ON CONFLICT DO NOTHING RETURNING match",
        match_of(address),
        id,
        address,
        unit.now,
    )
    if added is None and await customer_of(unit, address) != id:
        raise AddressTaken
    return added is not None


async def customer_of(unit: Unit, address: str) -> UUID | None:
    """Return the customer with this mail address."""
    id: UUID | None = await unit.sql.fetchval("SELECT customer_id FROM channels WHERE match = $1", match_of(address))
    return id
