"""Find customers that may be the same person, when one is registered or changes. Nothing is merged here."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final
from uuid import UUID

import asyncpg

from crm_service.customers.matching import MOST, THRESHOLD, Place, Traits, compare, keys, name_keys
from crossdock_chassis import JobRun, Unit, columns

COMMON: Final = 200
"""A key that more customers have is no evidence, and reading all of them would take too long."""

CHUNK: Final = 200
ALONE: Final = "SELECT pg_advisory_xact_lock(key) FROM unnest($1::bigint[]) AS wanted (key)"
NOT_INDEXED: Final = """
    SELECT id FROM customers
    WHERE id > $1 AND erased_at IS NULL AND NOT EXISTS (SELECT FROM match_keys WHERE customer_id = customers.id)
          AND (display_name IS NOT NULL OR EXISTS (SELECT FROM channels WHERE customer_id = customers.id))
    ORDER BY id LIMIT $2 FOR UPDATE
"""
TRAITS: Final = "SELECT id, display_name AS name, born_on FROM customers WHERE id = ANY ($1::uuid[])"
CHANNELS: Final = "SELECT customer_id, kind, match FROM channels WHERE customer_id = ANY ($1::uuid[])"
PLACES: Final = """
    SELECT customer_id, concat_ws(' ', street, extra) AS street, city, coalesce(postcode, '') AS postcode
    FROM customer_addresses WHERE customer_id = ANY ($1::uuid[])
"""
DROP_KEYS: Final = "DELETE FROM match_keys WHERE customer_id = $1 AND NOT key = ANY ($2::bigint[])"
KEEP_KEYS: Final = """
    INSERT INTO match_keys (key, customer_id) SELECT unnest($2::bigint[]), $1 ON CONFLICT DO NOTHING
"""
CANDIDATES: Final = f"""
    SELECT customers.id, root FROM unnest($2::bigint[]) AS wanted (key)
    CROSS JOIN LATERAL (
        SELECT array_agg(customer_id) AS ids FROM (
            SELECT customer_id FROM match_keys WHERE match_keys.key = wanted.key LIMIT {COMMON + 1}
        ) AS few HAVING count(*) <= {COMMON}
    ) AS found
    CROSS JOIN LATERAL unnest(found.ids) AS candidate (id)
    JOIN customers USING (id)
    WHERE root <> (SELECT root FROM customers WHERE id = $1)
    GROUP BY customers.id, root ORDER BY count(*) DESC, customers.id LIMIT {MOST}
"""
SUSPECT: Final = """
    INSERT INTO suspects (one, other, score, reasons, state, found_at)
    SELECT one, other, score, string_to_array(reasons, ' '), 'open', $5
    FROM unnest($1::uuid[], $2::uuid[], $3::float8[], $4::text[]) AS new (one, other, score, reasons)
    ORDER BY one, other
    ON CONFLICT (one, other) DO UPDATE SET score = excluded.score, reasons = excluded.reasons
"""
CLEAR: Final = """
    DELETE FROM suspects WHERE state = 'open' AND (one = $1 OR other = $1)
        AND NOT (one, other) IN (SELECT * FROM unnest($2::uuid[], $3::uuid[]))
"""
DECIDE: Final = """
    UPDATE suspects SET state = $3 WHERE one = least($1::uuid, $2::uuid) AND other = greatest($1::uuid, $2::uuid)
    RETURNING true
"""


def hashed(key: str) -> int:
    """Return a key as it is stored: 64 bits, so that the table has no personal values."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big", signed=True)


async def traits_of(sql: asyncpg.Connection, ids: Sequence[UUID]) -> dict[UUID, Traits]:
    """Return what is compared of customers."""
    channels, places = defaultdict[UUID, set[tuple[str, str]]](set), defaultdict[UUID, list[Place]](list)
    for row in await sql.fetch(CHANNELS, ids):
        channels[row["customer_id"]].add((row["kind"], row["match"]))
    for id, *place in await sql.fetch(PLACES, ids):
        places[id].append(Place(*place))
    return {
        row["id"]: Traits(
            row["name"],
            row["born_on"],
            frozenset(match for kind, match in channels[row["id"]] if kind == "email"),
            frozenset(match for kind, match in channels[row["id"]] if kind == "phone"),
            tuple(places[row["id"]]),
        )
        for row in await sql.fetch(TRAITS, ids)
    }


async def suspect(unit: Unit, id: UUID) -> bool:
    """Index a customer by its values, compare it with at most 50 candidates, and keep those that may be the same.

    Return whether any may be. A pair that a person has decided about keeps its decision. Two customers that get the
    same phone number at the same moment wait for each other, because otherwise neither would see the other.
    """
    own = (await traits_of(unit.sql, [id]))[id]
    await unit.sql.execute(ALONE, sorted(hashed(f"p {each}") for each in own.phones))
    wanted = sorted(map(hashed, keys(own)))
    kept = sorted({*wanted, *map(hashed, name_keys(own.name))})
    await unit.sql.execute(DROP_KEYS, id, kept)
    await unit.sql.execute(KEEP_KEYS, id, kept)
    candidates = {row["id"]: row["root"] for row in await unit.sql.fetch(CANDIDATES, id, wanted)}
    best: dict[UUID, tuple[float, str]] = {}
    for each, traits in (await traits_of(unit.sql, list(candidates))).items():
        score = compare(own, traits)
        if score.value >= THRESHOLD:
            found = round(score.value, 1), " ".join(score.reasons)
            best[candidates[each]] = max(found, best.get(candidates[each], found))
    pairs = [(*sorted((id, other)), *found) for other, found in best.items()]
    ones, others = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    await unit.sql.execute(CLEAR, id, ones, others)
    if pairs:
        await unit.sql.execute(SUSPECT, *columns(pairs), unit.now)
    return bool(pairs)


async def index_customers(run: JobRun) -> Mapping[str, object]:
    """Index the customers that have no keys although they have values: those that are older than the index."""
    after, indexed = UUID(int=0), 0
    while True:
        async with run.unit() as unit:
            ids = [row["id"] for row in await unit.sql.fetch(NOT_INDEXED, after, CHUNK)]
            for id in ids:
                await suspect(unit, id)
        if not ids:
            return {"indexed": indexed}
        after, indexed = ids[-1], indexed + len(ids)


async def decide(unit: Unit, one: UUID, other: UUID, state: str) -> bool:
    """Set the state of a pair. Return whether it was suspected."""
    return bool(await unit.sql.fetchval(DECIDE, one, other, state))
