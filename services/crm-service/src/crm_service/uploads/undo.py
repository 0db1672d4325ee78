"""Undo an import: remove the customers that it registered, and give those that it changed their former values.

A customer to which anything has happened since stays as it is, with the reason. A customer that is removed is blanked,
loses its links, gets an erasure that is done, and publishes `CustomerErased`, so that its consumers forget it too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

import asyncpg
from pydantic import BaseModel
from pydantic_core import from_json

from crm_service.customers import change, store
from crm_service.customers.bodies import ProfileIn
from crm_service.customers.model import Change
from crm_service.customers.suspects import suspect
from crm_service.erasure.stores import STORES
from crossdock_chassis import Actor, JobRun, Unit, close_import, new_id, queued, record_action, resume_job
from crossdock_events.customers import CustomerErased

CHUNK: Final = 100
UNDONE: Final = "undone"
IMPORT_UNDONE: Final = "import_undone"
"""The reason of erasures of customers that only an import had made."""
OWN: Final = [
    each for each in STORES if each.name in ("history", "match keys", "suspicions", "addresses", "profile", "channels")
]
"""All that a customer can have that only an import has touched."""

_ROWS: Final = " + ".join(f"(SELECT count(*) FROM {each.rows.replace('$1', 'ARRAY[new.customer_id]')})" for each in OWN)
NOTE: Final = f"""
    INSERT INTO erasures (id, customer_id, reason, who, asked_at, looked_at, done_at, erased)
    SELECT id, customer_id, '{IMPORT_UNDONE}', $3, $4, $4, $4, {_ROWS}
    FROM unnest($1::uuid[], $2::uuid[]) AS new (id, customer_id)
"""
# A meeting that is being written must be seen, or wait: else the order would lead to a customer that is gone.
KEEP_LINKS: Final = "LOCK TABLE customer_links IN SHARE ROW EXCLUSIVE MODE"
NEXT: Final = """
    SELECT DISTINCT customer_id FROM imported_customers WHERE import_id = $1 AND outcome IS NULL
    ORDER BY customer_id LIMIT $2
"""
COUNT: Final = "SELECT count(DISTINCT customer_id) FROM imported_customers WHERE import_id = $1 AND outcome IS NULL"
LOCK: Final = "SELECT FROM customers WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE"
TAKEN: Final = """
    SELECT customers.id, array_agg(made.version ORDER BY made.version DESC) AS versions, bool_or(created) AS created,
           customers.version,
           root <> customers.id AS merged,
           erased_at IS NOT NULL
           OR EXISTS (SELECT FROM erasures WHERE customer_id = customers.id AND done_at IS NULL) AS erased,
           EXISTS (
               SELECT FROM customer_links JOIN customer_meetings USING (namespace, external_id)
               WHERE customer_id = customers.id
           ) AS ordered,
           EXISTS (SELECT FROM cases WHERE customer_id = customers.id) AS complained,
           EXISTS (SELECT FROM customer_activities WHERE customer_id = customers.id)
           OR EXISTS (SELECT FROM customer_terms WHERE customer_id = customers.id)
           OR EXISTS (SELECT FROM holds WHERE customer_id = customers.id AND lifted_at IS NULL)
           OR EXISTS (SELECT FROM customers AS member WHERE member.root = customers.id AND member.id <> customers.id)
           OR EXISTS (
               SELECT FROM channels
               WHERE customer_id = customers.id AND (verified_at IS NOT NULL OR undeliverable_at IS NOT NULL)
           ) AS used
    FROM customers JOIN imported_customers AS made ON made.customer_id = customers.id
    WHERE import_id = $1 AND customers.id = ANY ($2::uuid[]) GROUP BY customers.id
    ORDER BY customers.id
"""
MADE: Final = """
    SELECT name, before::text, after::text FROM customer_changes WHERE customer_id = $1 AND version = $2 ORDER BY name
"""
REMOVE_CHANNEL: Final = "DELETE FROM channels WHERE customer_id = $1 AND kind = $2 AND address = $3 RETURNING true"
REMOVE_ADDRESS: Final = """
    DELETE FROM customer_addresses
    WHERE customer_id = $1 AND street = $2 AND city = $3 AND postcode IS NOT DISTINCT FROM $4 AND country = $5
    RETURNING true
"""
UNLINK: Final = "DELETE FROM customer_links WHERE customer_id = ANY ($1::uuid[])"
FORGET: Final = """
    DELETE FROM imported_customers WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM imported_customers AS made
        WHERE NOT EXISTS (SELECT FROM import_file WHERE id = made.import_id) LIMIT 5000
    ))
"""
MARK: Final = """
    UPDATE customers SET erased_at = $2, version = version + 1 WHERE id = ANY ($1::uuid[]) RETURNING id, version
"""
KEEP: Final = """
    UPDATE imported_customers AS made SET outcome = new.outcome
    FROM unnest($2::uuid[], $3::text[]) AS new (id, outcome) WHERE import_id = $1 AND customer_id = new.id
"""


@dataclass(frozen=True, slots=True)
class Undo:
    import_id: UUID
    partner: str
    by: Actor


class Asked(BaseModel):
    import_id: UUID


class Left(NamedTuple):
    """A customer that stays as it is, and why."""

    customer_id: UUID
    reason: str


def job_of(import_id: UUID) -> UUID:
    """Return the id of the job that undoes the import: one for each import."""
    return uuid5(import_id, "undo")


async def undo_import(unit: Unit, command: Undo) -> Asked:
    """Ask for the undoing of an import, which cannot go on then. Raise NoSuchImport, ImportRuns.

    An import is undone once. Asked again, a stopped or failed undoing goes on.
    """
    id = command.import_id
    await close_import(unit, id, command.partner)
    job = job_of(id)
    status = await unit.sql.fetchval("SELECT status FROM job WHERE id = $1", job)
    if status is None:
        await UNDO.request(unit, {"import": str(id), "who": command.by.who}, by=command.by.who, id=job)
        await record_action(unit, command.by, "import:undo", f"/v1/imports/{id}")
    elif status in ("stopped", "failed"):
        await resume_job(unit, job, by=command.by.who)
    return Asked(import_id=id)


async def undo_chunks(run: JobRun) -> Mapping[str, object]:
    """Undo what an import did, customer by customer. What has an outcome is not looked at again."""
    id, who = UUID(run.arguments["import"]), run.arguments["who"]
    while True:
        async with run.unit() as unit:
            if run.total is None:
                run.total = await unit.sql.fetchval(COUNT, id)
            ids = [row["customer_id"] for row in await unit.sql.fetch(NEXT, id, CHUNK)]
            if not ids:
                return {"looked_at": run.done}
            await _undo(unit, id, ids, who)
            run.done += len(ids)


UNDO: Final = queued("undo-import", undo_chunks)


async def forget_imports(run: JobRun) -> Mapping[str, object]:
    """Forget what imports did that are not known any more, and so cannot be undone."""
    forgotten = 0
    while True:
        async with run.unit() as unit:
            count = int((await unit.sql.execute(FORGET)).split()[-1])
        if not count:
            return {"forgotten": forgotten}
        forgotten += count


async def _undo(unit: Unit, import_id: UUID, ids: Sequence[UUID], who: str) -> None:
    await unit.sql.execute(KEEP_LINKS)
    await unit.sql.execute(LOCK, ids)
    outcomes = dict[UUID, str]()
    removed = list[UUID]()
    for row in await unit.sql.fetch(TAKEN, import_id, ids):
        if (reason := _why_not(row)) is None:
            if row["created"]:
                removed.append(row["id"])
            else:
                for version in row["versions"]:
                    await _restore(unit, row["id"], version, who)
                await suspect(unit, row["id"])
        outcomes[row["id"]] = reason or UNDONE
    if removed:
        await _remove(unit, removed, who)
    await unit.sql.execute(KEEP, import_id, list(outcomes), list(outcomes.values()))


def _why_not(row: asyncpg.Record) -> str | None:
    """Return why a customer stays as it is. None if nothing but the import has touched it since."""
    versions = row["versions"]
    facts = {
        "erased": row["erased"],
        "merged": row["merged"],
        "changed": versions != list(range(row["version"], row["version"] - len(versions), -1)),
        "has_orders": row["created"] and row["ordered"],
        "has_cases": row["created"] and row["complained"],
        "in_use": row["created"] and row["used"],
    }
    return next((reason for reason, holds in facts.items() if holds), None)


async def _restore(unit: Unit, id: UUID, version: int, who: str) -> None:
    """Take back the changes that led to this version of a locked customer."""
    former, changes = dict[str, Any](), list[Change]()
    for row in await unit.sql.fetch(MADE, id, version):
        name, before, after = row["name"], from_json(row["before"] or "null"), from_json(row["after"] or "null")
        if name in ("email", "phone"):
            if await unit.sql.fetchval(REMOVE_CHANNEL, id, name, after):
                changes.append(Change("channels", name, after, None))
        elif name == "address":
            place = [after[each] for each in ("street", "city", "postcode", "country")]
            if await unit.sql.fetchval(REMOVE_ADDRESS, id, *place):
                changes.append(Change("addresses", name, after, None))
        else:
            former[name] = date.fromisoformat(before) if name == "born_on" and before else before
    body = ProfileIn.model_construct(_fields_set=set(former), **former)
    changes += await change.describe(body)(unit, await store.lock(unit, id))
    if changes:
        await change.record_changes(unit, id, changes, who, None)


async def _remove(unit: Unit, ids: Sequence[UUID], who: str) -> None:
    """Erase customers of which only an import knew. An erasure of each shows why it is gone."""
    await unit.sql.execute(NOTE, [new_id() for _ in ids], ids, who, unit.now)
    for each in OWN:
        while await unit.sql.fetchval(each.erase, ids):
            pass
    await unit.sql.execute(UNLINK, ids)
    for id, version in await unit.sql.fetch(MARK, ids, unit.now):
        unit.publish(CustomerErased(customer_id=id), sequence=version, cause=None)
