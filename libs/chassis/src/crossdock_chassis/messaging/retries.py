"""Retry the blocked keys of all groups, with a back-off for each key. One worker at a time retries a group's keys."""

import asyncio
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from math import inf
from typing import Final, TypeAlias

import asyncpg

from crossdock_chassis.database.errors import is_transient
from crossdock_chassis.database.text import storable
from crossdock_chassis.database.unit import TRANSACTION_LIMIT_SECONDS, Database, Unit
from crossdock_chassis.deadlines import foreign_cancellation_is_an_error
from crossdock_chassis.messaging import aside
from crossdock_chassis.messaging.aside import MAX_KEY_BYTES, Aside, record_of
from crossdock_chassis.messaging.breaker import SystemFault
from crossdock_chassis.messaging.inbox import ISOLATE_LOCK_SECONDS, GenerationEnded, Inbox

Key: TypeAlias = tuple[str, bytes]

LOOK_SECONDS: Final = 0.5
IDLE_SECONDS: Final = 2.0
"""The pause between two looks while no key is blocked."""
REST_SECONDS: Final = 10.0
"""The pause between two looks at the database while no inbox of this process has blocked a key lately."""
LATELY_SECONDS: Final = TRANSACTION_LIMIT_SECONDS + 5.0
"""A unit that blocks a key has committed by then."""
KEYS_AT_ONCE: Final = 50
RECORDS_OF_A_KEY: Final = 10

CLAIM: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 3))"

GROUPS_BLOCKED: Final = """
    SELECT consumer_group, due_at <= now() AS due FROM unnest($1::text[]) AS own (consumer_group), LATERAL (
        SELECT due_at FROM parked_key
        WHERE parked_key.consumer_group = own.consumer_group AND due_at IS NOT NULL ORDER BY due_at LIMIT 1
    ) AS first
"""

DUE: Final = """
    SELECT topic, key FROM parked_key WHERE consumer_group = $1 AND due_at <= now() ORDER BY due_at LIMIT $2
"""

OPEN: Final = f"""
    SELECT letter.* FROM unnest($2::text[], $3::bytea[]) AS due (topic, key), LATERAL (
        SELECT id, topic, partition, "offset", key, value, headers::text AS headers, state, created_at
        FROM dead_letter
        WHERE (consumer_group, dead_letter.topic, dead_letter.key) = ($1, due.topic, due.key)
          AND octet_length(dead_letter.key) <= {MAX_KEY_BYTES} AND state IN ('poison', 'parked', 'blocked')
        ORDER BY partition, "offset" LIMIT {RECORDS_OF_A_KEY}
    ) AS letter
    ORDER BY topic, key, partition, "offset"
"""

DONE: Final = "DELETE FROM dead_letter WHERE id = ANY($1::bigint[])"

OF_KEYS: Final = "consumer_group = $1 AND (topic, key) IN (SELECT * FROM unnest($2::text[], $3::bytea[]))"

LATER: Final = f"""
    UPDATE parked_key SET attempts = attempts + 1,
        due_at = clock_timestamp() + least(0.5 * 2 ^ least(attempts, 9), 15) * interval '1 second'
    WHERE {OF_KEYS}
"""

# If a consumer is adding a record to a key, it holds the row; this key stays due and is looked at again.
LOCK: Final = f"SELECT topic, key FROM parked_key WHERE {OF_KEYS} ORDER BY topic, key FOR UPDATE SKIP LOCKED"

RELEASE: Final = f"DELETE FROM parked_key WHERE {OF_KEYS}"

_BEHIND: Final = aside.fingerprint(aside.PARKED_BEHIND)

# The key waits for a person. $4 and $5 are the place of the record that is poison itself, if there is one.
PARK_ALL: Final = f"""
    UPDATE dead_letter SET
        state = CASE WHEN (partition, "offset") = ($4::int, $5::bigint) THEN 'poison' ELSE 'parked' END,
        reason = CASE WHEN (partition, "offset") = ($4, $5) THEN $6 ELSE '{aside.PARKED_BEHIND}' END,
        fingerprint = CASE WHEN (partition, "offset") = ($4, $5) THEN $7 ELSE '{_BEHIND}' END
    WHERE (consumer_group, topic, key) = ($1, $2, $3) AND octet_length(key) <= {MAX_KEY_BYTES} AND state = 'blocked'
    RETURNING topic, partition, "offset", key, value, headers::text AS headers, state, reason, created_at
"""

FOR_A_PERSON: Final = "UPDATE parked_key SET due_at = NULL WHERE (consumer_group, topic, key) = ($1, $2, $3)"

log = logging.getLogger(__name__)


class Retries:
    """The part of a worker that retries blocked keys."""

    def __init__(self, database: Database, *inboxes: Collection[Inbox]) -> None:
        self._database, self._inboxes = database, inboxes
        self._at_once = KEYS_AT_ONCE
        self._look_next = 0.0
        self.progressed = time.monotonic()

    async def run(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            worked, pause = False, LOOK_SECONDS
            try:
                with foreign_cancellation_is_an_error():
                    inboxes = {each.subscription.group: each for group in self._inboxes for each in group}
                    blocked = await self._look(inboxes)
                    pause = LOOK_SECONDS if blocked else IDLE_SECONDS
                    for row in blocked:
                        if row["due"]:
                            worked |= await self._round(inboxes[row["consumer_group"]])
                self.progressed = time.monotonic()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("cannot retry blocked keys: %s: %s", type(error).__name__, error)
            if not worked:
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), pause)

    async def _look(self, inboxes: Mapping[str, Inbox]) -> list[asyncpg.Record]:
        """Return the groups with blocked keys. Look seldom while only other processes may have blocked any."""
        now = time.monotonic()
        lately = max((each.blocked for each in inboxes.values()), default=-inf) > now - LATELY_SECONDS
        if now < self._look_next and not lately:
            return []
        blocked = await self._database.fetch(GROUPS_BLOCKED, sorted(inboxes))
        self._look_next = now if blocked else now + REST_SECONDS
        return blocked

    async def _round(self, inbox: Inbox) -> bool:
        """Retry the due keys of a group. Return whether there were any.

        If a unit fails as a whole, the next one takes half as many keys. A key that fails alone is retried later.
        """
        try:
            async with self._database.unit(lock_timeout=ISOLATE_LOCK_SECONDS) as unit:
                worked = await retry_due(unit, inbox, self._at_once)
        except GenerationEnded:
            return False
        except Exception as error:
            if not is_transient(error) and not isinstance(error, SystemFault):
                raise
            log.warning("%s cannot retry blocked keys: %s: %s", inbox.subscription.group, type(error).__name__, error)
            if self._at_once == 1:
                async with self._database.unit() as unit:
                    await unit.sql.execute(LATER, *_of_keys(inbox, await _due(unit, inbox, 1)))
            self._at_once = max(1, self._at_once // 2)
            return False
        self._at_once = min(KEYS_AT_ONCE, 2 * self._at_once)
        return worked


async def retry_due(unit: Unit, inbox: Inbox, limit: int = KEYS_AT_ONCE) -> bool:
    """Handle the records of due keys again, each key in its order. Return whether there were any due keys."""
    if not await unit.sql.fetchval(CLAIM, inbox.subscription.group):
        return False
    if not (due := await _due(unit, inbox, limit)):
        return False
    waiting = await _open(unit, inbox, due)
    trying = {key: list(takewhile(lambda row: row["state"] == "blocked", waiting[key])) for key in due}
    failed = _first_of_each_key(await inbox.again(unit, [record_of(row) for rows in trying.values() for row in rows]))
    done = [row["id"] for key in due for row in trying[key] if key not in failed or _at(row) < failed[key].record.at]
    await unit.sql.execute(DONE, done)

    later = [key for key, each in failed.items() if each.state == "blocked"]
    await unit.sql.execute(LATER, *_of_keys(inbox, later))
    ended = [key for key in due if key not in later and len(trying[key]) < RECORDS_OF_A_KEY]
    locked = [(row["topic"], row["key"]) for row in await unit.sql.fetch(LOCK, *_of_keys(inbox, ended))]
    # Records that were added before the lock are visible only now.
    left = await _open(unit, inbox, locked)
    for key in locked:
        if key in failed or any(row["state"] != "blocked" for row in left[key]):
            await _leave_to_a_person(unit, inbox, key, failed.get(key))
    await unit.sql.execute(RELEASE, *_of_keys(inbox, [key for key in locked if not left[key]]))
    return True


async def _leave_to_a_person(unit: Unit, inbox: Inbox, key: Key, failed: Aside | None) -> None:
    """Park the key: the record that failed is poison, or the next record is a dead letter already."""
    group = inbox.subscription.group
    reason = "" if failed is None else storable(failed.reason)
    place = (None, None) if failed is None else failed.record.at
    await unit.sql.execute(FOR_A_PERSON, group, *key)
    rows = await unit.sql.fetch(PARK_ALL, group, *key, *place, reason, _fingerprint(failed, reason))
    aside.mirror(unit, inbox.subscription, [Aside(record_of(row), row["state"], row["reason"]) for row in rows])


def _fingerprint(failed: Aside | None, reason: str) -> str:
    return failed.fingerprint if failed is not None and failed.fingerprint else aside.fingerprint(reason)


async def _due(unit: Unit, inbox: Inbox, limit: int) -> list[Key]:
    return [(row["topic"], row["key"]) for row in await unit.sql.fetch(DUE, inbox.subscription.group, limit)]


async def _open(unit: Unit, inbox: Inbox, keys: Sequence[Key]) -> dict[Key, list[asyncpg.Record]]:
    """Return the first records of each key that wait, in their order."""
    found: dict[Key, list[asyncpg.Record]] = {key: [] for key in keys}
    for row in await unit.sql.fetch(OPEN, *_of_keys(inbox, keys)):
        found[row["topic"], row["key"]].append(row)
    return found


def _of_keys(inbox: Inbox, keys: Sequence[Key]) -> tuple[str, list[str], list[bytes]]:
    ordered = sorted(keys)
    return inbox.subscription.group, [topic for topic, _ in ordered], [key for _, key in ordered]


def _first_of_each_key(failed: Sequence[Aside]) -> dict[Key, Aside]:
    first: dict[Key, Aside] = {}
    for each in sorted(failed, key=lambda each: each.record.at):
        first.setdefault((each.record.message.topic, each.record.message.key or b""), each)
    return first


def _at(row: asyncpg.Record) -> tuple[int, int]:
    return row["partition"], row["offset"]
