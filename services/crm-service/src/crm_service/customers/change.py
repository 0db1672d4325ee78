"""Change a customer: each change is locked, recorded with who made it, and published without its values."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol
from uuid import UUID

from jsonschema import Draft202012Validator
from pydantic import BaseModel
from pydantic_core import from_json

from crm_service.customers import store
from crm_service.customers.bodies import AddressId, AddressIn, ChannelIn, ChannelState, ProfileIn
from crm_service.customers.model import Change, Customer, Profile, WrongValue
from crm_service.customers.reach import channel_of, email_of
from crm_service.customers.suspects import suspect
from crossdock_chassis import Actor, Unit, new_id, record_action
from crossdock_events import Cause
from crossdock_events.customers import CustomerUpdated

PARENTS: Final = 0x63726D01
"""The advisory lock under which parents change, because two changes could close a circle."""
SCHEMA: Final = "SELECT document::text FROM customer_schemas ORDER BY version DESC LIMIT 1"
ACCOUNT: Final = "SELECT true FROM customers WHERE id = $1 AND kind = 'account' AND root = id"
ABOVE: Final = """
    WITH RECURSIVE above (id) AS (
        SELECT root FROM customers WHERE id = $1
        UNION SELECT parent.root FROM above JOIN customers AS member ON member.root = above.id
              JOIN customers AS parent ON parent.id = member.parent_id
    )
    SELECT true FROM above WHERE id = $2
"""
"""Whether the customer $2 is $1, or above it, with all that was merged."""
CHANNEL: Final = """
    SELECT address, verified_at, undeliverable_at, undeliverable_why FROM channels
    WHERE match = $1 AND customer_id = $2 FOR UPDATE
"""
SET_CHANNEL: Final = """
    UPDATE channels SET verified_at = $3, undeliverable_at = $4, undeliverable_why = $5
    WHERE match = $1 AND customer_id = $2
"""
REMOVE_CHANNEL: Final = "DELETE FROM channels WHERE match = $1 AND customer_id = $2 RETURNING address"
ADD_ADDRESS: Final = """
    INSERT INTO customer_addresses (id, customer_id, purpose, street, extra, city, region, postcode, country, added_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
REMOVE_ADDRESS: Final = """
    DELETE FROM customer_addresses WHERE id = $1 AND customer_id = $2
    RETURNING purpose, street, extra, city, region, postcode, country
"""


class Expected(Protocol):
    def check(self, version: int) -> None:
        """Raise an error if the caller expects another version."""


Apply = Callable[[Unit, Customer], Awaitable[Sequence[Change]]]


@dataclass(frozen=True, slots=True)
class ChangeCustomer:
    """`apply` changes the locked customer and returns what it changed. `did` names it in the audit."""

    customer_id: UUID
    did: str
    apply: Apply
    by: Actor
    expected: Expected
    cause: Cause


class Changed(BaseModel):
    customer_id: UUID


async def change_customer(unit: Unit, command: ChangeCustomer) -> Changed:
    """Change the customer. Raise NoSuchCustomer, AlreadyMerged, and the errors of `apply` and `expected.check`."""
    customer = await store.lock(unit, command.customer_id)
    command.expected.check(customer.version)
    changes = await command.apply(unit, customer)
    if changes:
        await suspect(unit, customer.id)
        await record_changes(unit, customer.id, changes, command.by.who, command.cause)
        names = sorted({each.name for each in changes})
        target = f"/v1/customers/{customer.id}"
        await record_action(unit, command.by, f"customer:{command.did}", target, after={"changed": names})
    return Changed(customer_id=customer.id)


async def record_changes(unit: Unit, id: UUID, changes: Sequence[Change], who: str, cause: Cause | None) -> int:
    """Publish which parts of a locked customer changed, keep each value with who changed it, and return its version."""
    version = await store.advance(unit, id)
    parts = tuple(dict.fromkeys(each.part for each in changes))
    unit.publish(CustomerUpdated(customer_id=id, parts=parts), sequence=version, cause=cause)
    await store.keep_history(unit, id, version, who, changes)
    return version


def describe(body: ProfileIn) -> Apply:
    """Change the profile, and add the mail address."""

    async def apply(unit: Unit, customer: Customer) -> list[Change]:
        before = customer.profile
        after = await _described(unit, customer, body)
        names = [name for name in (*store.SCALARS, "tags", "fields") if getattr(before, name) != getattr(after, name)]
        changes = [Change("profile", name, getattr(before, name), getattr(after, name)) for name in names]
        if changes:
            await store.write_profile(unit, customer.id, after)
        if body.email is not None and await store.add_channel(unit, customer.id, email_of(body.email)):
            changes.append(Change("channels", "email", None, body.email))
        return changes

    return apply


def add_channel(body: ChannelIn) -> Apply:
    async def apply(unit: Unit, customer: Customer) -> list[Change]:
        channel = channel_of(body.kind, body.value, body.region or customer.profile.region)
        added = await store.add_channel(unit, customer.id, channel)
        return [Change("channels", body.kind, None, body.value)] if added else []

    return apply


def set_channel(body: ChannelState) -> Apply:
    """Store whether the channel was verified, or why nothing can be delivered to it."""

    async def apply(unit: Unit, customer: Customer) -> list[Change]:
        channel = channel_of(body.kind, body.value, body.region or customer.profile.region)
        row = await unit.sql.fetchrow(CHANNEL, channel.match, customer.id)
        if row is None:
            raise WrongValue("/value", "the customer has no such channel", "unknown")
        verified, since, why = row["verified_at"], row["undeliverable_at"], row["undeliverable_why"]
        was = {"verified": verified is not None, "undeliverable": why}
        if body.verified is not None and body.verified != was["verified"]:
            verified = unit.now if body.verified else None
        if "undeliverable" in body.model_fields_set and body.undeliverable != why:
            why, since = body.undeliverable, unit.now if body.undeliverable else None
        became = {"verified": verified is not None, "undeliverable": why}
        if was == became:
            return []
        await unit.sql.execute(SET_CHANNEL, channel.match, customer.id, verified, since, why)
        return [Change("channels", body.kind, {"value": row["address"], **was}, {"value": row["address"], **became})]

    return apply


def remove_channel(body: ChannelIn) -> Apply:
    async def apply(unit: Unit, customer: Customer) -> list[Change]:
        channel = channel_of(body.kind, body.value, body.region or customer.profile.region)
        removed = await unit.sql.fetchval(REMOVE_CHANNEL, channel.match, customer.id)
        return [] if removed is None else [Change("channels", body.kind, removed, None)]

    return apply


def add_address(body: AddressIn) -> Apply:
    async def apply(unit: Unit, customer: Customer) -> list[Change]:
        values = body.model_dump()
        await unit.sql.execute(ADD_ADDRESS, new_id(), customer.id, *values.values(), unit.now)
        return [Change("addresses", "address", None, values)]

    return apply


def remove_address(body: AddressId) -> Apply:
    async def apply(unit: Unit, customer: Customer) -> list[Change]:
        row = await unit.sql.fetchrow(REMOVE_ADDRESS, body.address_id, customer.id)
        if row is None:
            raise WrongValue("/address_id", "the customer has no address with this id", "unknown")
        return [Change("addresses", "address", dict(row), None)]

    return apply


async def _described(unit: Unit, customer: Customer, body: ProfileIn) -> Profile:
    given: dict[str, Any] = {name: getattr(body, name) for name in store.SCALARS if name in body.model_fields_set}
    if "tags" in body.model_fields_set:
        given["tags"] = tuple(body.tags or ())
    if "fields" in body.model_fields_set:
        given["fields"] = await _fields(unit, customer, body)
    if (parent := given.get("parent_id")) is not None and parent != customer.profile.parent_id:
        await _check_parent(unit, customer.id, parent)
    return replace(customer.profile, **given)


async def _fields(unit: Unit, customer: Customer, body: ProfileIn) -> dict[str, Any]:
    """Return the fields after the change. Raise WrongValue if the schema does not allow them."""
    if body.fields is None:
        return {}
    merged = {**customer.profile.fields, **body.fields}
    values = {name: value for name, value in merged.items() if value is not None}
    document = await unit.sql.fetchval(SCHEMA)
    if document is None:
        raise WrongValue("/fields", "no fields are declared: set a schema at /v1/customers/schema first", "undeclared")
    validator = Draft202012Validator(from_json(document), format_checker=Draft202012Validator.FORMAT_CHECKER)
    for error in validator.iter_errors(values):
        pointer = "".join(f"/{name}" for name in ("fields", *error.absolute_path))
        raise WrongValue(pointer, error.message[:200], "schema")
    return values


async def _check_parent(unit: Unit, id: UUID, parent: UUID) -> None:
    await unit.sql.execute("SELECT pg_advisory_xact_lock($1)", PARENTS)
    if not await unit.sql.fetchval(ACCOUNT, parent):
        raise WrongValue("/parent_id", "no account has this id", "unknown")
    if await unit.sql.fetchval(ABOVE, parent, id):
        raise WrongValue("/parent_id", "the account belongs to this customer, so it cannot be above it", "circle")
