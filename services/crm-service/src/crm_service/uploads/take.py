"""Import customers: register those of new ids, change those that are known, and suspect duplicates of both."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

from crm_service.customers import change, store
from crm_service.customers.bodies import AddressIn, ChannelIn, ProfileIn
from crm_service.customers.model import AddressTaken, Change, Profile, WrongValue, namespace_of
from crm_service.customers.store import Link
from crm_service.customers.suspects import suspect
from crossdock_chassis import Chunk, Counts, Row, RowError, RowsRefused, Unit, columns, new_id
from crossdock_events.customers import CustomerRegistered

PROFILE: Final = ("name", "email", "born_on", "zone", "locale", "region", "owner", "tags")
ADDRESS: Final = ("street", "city", "postcode", "country")
BY: Final = "import"

KNOWN: Final = """
    SELECT links.namespace, links.external_id, root
    FROM unnest($1::text[], $2::text[]) AS wanted (namespace, external_id)
    JOIN customer_links AS links USING (namespace, external_id) JOIN customers ON customers.id = links.customer_id
"""
HAS_ADDRESS: Final = """
    SELECT true FROM customer_addresses
    WHERE customer_id = $1 AND street = $2 AND city = $3 AND coalesce(postcode, '') = $4 AND country = $5
"""
KEEP: Final = """
    INSERT INTO imported_customers (import_id, customer_id, version, created)
    SELECT $3, id, version, version = 1 FROM unnest($1::uuid[], $2::bigint[]) AS new (id, version)
"""


class Taken(NamedTuple):
    """What a row did to its customer: the version that it made, None if it changed nothing."""

    id: UUID
    version: int | None = None
    suspected: bool = False


@dataclass(frozen=True, slots=True)
class Taking:
    shared_namespaces: Mapping[str, str]

    async def take_customers(self, unit: Unit, chunk: Chunk) -> Counts:
        """Apply rows in the order of their links. Raise RowsRefused for values that are wrong or taken."""
        names = {row.cells["partner"]: namespace_of(row.cells["partner"], self.shared_namespaces) for row in chunk.rows}
        partners = await store.keep_partners(unit, names)
        rows = {
            (partners[row.cells["partner"]].namespace, row.cells["external_id"]): row
            for row in sorted(chunk.rows, key=lambda row: (row.cells["partner"], row.cells["external_id"]))
        }
        new = await store.link(unit, {link: new_id() for link in sorted(rows)})
        await store.register(
            unit,
            [(id, "person", rows[link].cells["partner"], link[1]) for link, id in new.items()],
            BY,
        )
        known = {(row[0], row[1]): row[2] for row in await unit.sql.fetch(KNOWN, *columns(sorted(rows)))}
        taken, errors = list[Taken](), list[RowError]()
        for link, row in sorted(rows.items()):
            try:
                taken.append(await _take(unit, chunk, row, link, known[link], new=link in new))
            except AddressTaken:
                errors.append(RowError(row.number, "email", "another customer has this mail address"))
            except WrongValue as error:
                column = error.pointer.strip("/").replace("value", "phone")
                errors.append(RowError(row.number, column, error.detail))
        if errors:
            raise RowsRefused(errors)
        wrote = [(each.id, each.version) for each in taken if each.version is not None]
        if wrote:
            await unit.sql.execute(KEEP, *columns(wrote), chunk.import_id)
        unchanged, suspected = len(rows) - len(wrote), sum(each.suspected for each in taken)
        return Counts(len(new), len(wrote) - len(new), unchanged, suspected)


async def _take(unit: Unit, chunk: Chunk, row: Row, link: Link, id: UUID, *, new: bool) -> Taken:
    """Apply a row to the customer."""
    customer, cells = await store.lock(unit, id), row.cells
    region = cells.get("region") or customer.profile.region
    customer = customer._replace(profile=Profile(region=region)) if new else customer
    changes = list(await change.describe(_profile(cells))(unit, customer))
    if cells.get("phone") is not None:
        phone = ChannelIn(kind="phone", value=cells["phone"], region=region)
        changes += await change.add_channel(phone)(unit, customer)
    if (address := _address(cells)) is not None:
        values = (address.street, address.city, address.postcode or "", address.country)
        if not await unit.sql.fetchval(HAS_ADDRESS, id, *values):
            changes += await change.add_address(address)(unit, customer)
    if not new and not changes:
        return Taken(id)
    suspected = await suspect(unit, id)
    if new:
        registered = CustomerRegistered(
            customer_id=id, kind="person", origin="import", partner=cells["partner"], external_id=link[1]
        )
        unit.publish(registered, sequence=1, cause=chunk.cause)
        given = {name: value for name, value in cells.items() if value is not None}
        await store.keep_history(unit, id, 1, BY, [Change("profile", "registered", None, given)])
        return Taken(id, 1, suspected)
    return Taken(id, await change.record_changes(unit, id, changes, BY, chunk.cause), suspected)


def _profile(cells: Mapping[str, Any]) -> ProfileIn:
    """Return the members that the row has. An empty cell changes nothing."""
    given = {name: cells[name] for name in PROFILE if cells.get(name) is not None}
    if "tags" in given:
        given["tags"] = given["tags"].split()
    return ProfileIn(**given)


def _address(cells: Mapping[str, Any]) -> AddressIn | None:
    given = {name: cells[name] for name in ADDRESS if cells.get(name) is not None}
    return AddressIn(**given) if "street" in given else None
