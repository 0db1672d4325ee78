"""Merge two customers, and take a merge back. No row moves: what is shown of a customer is joined when it is read."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from crm_service.customers import store
from crm_service.customers.bodies import ConsentIn
from crm_service.customers.change import ABOVE, PARENTS, Changed, Expected, record_changes
from crm_service.customers.consent import append
from crm_service.customers.consents import Said, in_force
from crm_service.customers.model import Change, CustomerErased, WrongValue
from crm_service.customers.suspects import decide
from crossdock_chassis import Actor, Unit, record_action
from crossdock_events import Cause
from crossdock_events.customers import CustomersMerged, CustomersUnmerged

JOIN: Final = "UPDATE customers SET merged_into = $1, merged_at = $3 WHERE id = $2"
MOVE: Final = "UPDATE customers SET root = $1 WHERE root = $2"
MEMBER: Final = "SELECT merged_into, merged_at FROM customers WHERE id = $2 AND root = $1 AND id <> $1 FOR UPDATE"
TO_BE_ERASED: Final = "SELECT EXISTS (SELECT FROM erasures WHERE customer_id IN ($1, $2) AND done_at IS NULL)"
PART: Final = "UPDATE customers SET merged_into = NULL, merged_at = NULL WHERE id = $1"
TAKE: Final = """
    WITH RECURSIVE members (id) AS (
        SELECT $1::uuid UNION SELECT customers.id FROM members JOIN customers ON customers.merged_into = members.id
    )
    UPDATE customers SET root = $1 FROM members WHERE customers.id = members.id
"""
SINCE: Final = """
    SELECT customer_id, consents.version, purpose, channel, state, source, at FROM consents
    JOIN customers ON customers.id = customer_id WHERE root = $1 AND at > $2
"""


Did = Literal["merge", "unmerge", "dismiss"]


@dataclass(frozen=True, slots=True)
class MergeCustomers:
    """Merge `other` into `customer_id`, take that merge back, or dismiss the suspicion."""

    did: Did
    customer_id: UUID
    other: UUID
    by: Actor
    expected: Expected
    cause: Cause


async def merge_customers(unit: Unit, command: MergeCustomers) -> Changed:
    """Decide about two customers. Raise NoSuchCustomer, AlreadyMerged, WrongValue, or that of `expected.check`."""
    if command.other == command.customer_id:
        raise WrongValue("/customer_id", "a customer cannot be merged with itself", "same")
    await DECISIONS[command.did](unit, command)
    target, after = f"/v1/customers/{command.customer_id}", {"customer_id": command.other}
    await record_action(unit, command.by, f"customer:{command.did}", target, after=after)
    return Changed(customer_id=command.customer_id)


async def _merge(unit: Unit, command: MergeCustomers) -> None:
    id, other = command.customer_id, command.other
    first, second = [await store.lock(unit, each) for each in sorted((id, other))]
    command.expected.check(first.version if first.id == id else second.version)
    if await unit.sql.fetchval(TO_BE_ERASED, id, other):
        raise CustomerErased("one of the customers is to be erased")
    if first.kind != second.kind:
        raise WrongValue("/customer_id", "a person and an account cannot be merged", "other_kind")
    await unit.sql.execute("SELECT pg_advisory_xact_lock($1)", PARENTS)
    if await unit.sql.fetchval(ABOVE, id, other) or await unit.sql.fetchval(ABOVE, other, id):
        raise WrongValue("/customer_id", "one of the accounts belongs to the other", "circle")
    await unit.sql.execute(JOIN, id, other, unit.now)
    await unit.sql.execute(MOVE, id, other)
    merged = CustomersMerged(customer_id=other, into=id)
    unit.publish(merged, sequence=await store.advance(unit, other), cause=command.cause)
    await record_changes(unit, id, [Change("merged", "merged", None, other)], command.by.who, command.cause)
    await decide(unit, id, other, "merged")


async def _part(unit: Unit, command: MergeCustomers) -> None:
    """Restore both. A consent that was withdrawn since the merge stays withdrawn for both."""
    id, other = command.customer_id, command.other
    customer = await store.lock(unit, id)
    command.expected.check(customer.version)
    member = await unit.sql.fetchrow(MEMBER, id, other)
    if member is None:
        raise WrongValue("/customer_id", "the customer is not merged into this one", "not_merged")
    await unit.sql.execute(PART, other)
    await unit.sql.execute(TAKE, other)
    event = CustomersUnmerged(customer_id=other, out_of=id)
    unit.publish(event, sequence=await store.advance(unit, other), cause=command.cause)
    await record_changes(unit, id, [Change("merged", "merged", other, None)], command.by.who, command.cause)
    since = in_force((Said(**dict(row)) for row in await unit.sql.fetch(SINCE, id, member["merged_at"])), id)
    for each in since.values():
        if each.state == "withdrawn":
            said = ConsentIn(purpose=each.purpose, channel=each.channel, state="withdrawn", source="unmerge")
            await append(unit, other, said, command.by.who, command.cause)
    await decide(unit, id, other, "dismissed")


async def _dismiss(unit: Unit, command: MergeCustomers) -> None:
    customer = await store.lock(unit, command.customer_id)
    command.expected.check(customer.version)
    if not await decide(unit, command.customer_id, command.other, "dismissed"):
        raise WrongValue("/customer_id", "this customer is not suspected to be the same", "not_suspected")


DECISIONS: Final[dict[Did, Callable[[Unit, MergeCustomers], Awaitable[None]]]] = {
    "merge": _merge,
    "unmerge": _part,
    "dismiss": _dismiss,
}
