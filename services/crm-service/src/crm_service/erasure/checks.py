"""Invariants of erasures: an erased customer holds nothing, and each erasure is on the topic."""

from collections.abc import AsyncIterator
from itertools import islice
from typing import Final

from crm_service.erasure.stores import left
from crossdock_chassis import AtRest, CheckAtRest
from crossdock_events.customers import CustomerEvent

CHUNK: Final = 1_000
ERASED: Final = "SELECT id FROM customers WHERE erased_at IS NOT NULL ORDER BY id"
MARKED: Final = "SELECT id::text FROM customers WHERE id = ANY ($1::uuid[]) AND erased_at IS NOT NULL"


async def _still_held(at_rest: AtRest) -> AsyncIterator[str]:
    ids = iter([row["id"] for row in await at_rest.sql.fetch(ERASED)])
    while part := list(islice(ids, CHUNK)):
        for name, rows in (await left(at_rest.sql, part)).items():
            yield f"{rows} rows of {name}"


async def _not_the_erasures(at_rest: AtRest) -> AsyncIterator[str]:
    events = iter(at_rest.log.events(CustomerEvent).items())
    while part := dict(islice(events, CHUNK)):
        marked = {row["id"] for row in await at_rest.sql.fetch(MARKED, list(part))}
        for id, own in part.items():
            published = any(each.type == "crossdock.CustomerErased.v1" for each in own)
            if published != (id in marked):
                yield f"{id} is {'not ' if published else ''}erased, and the topic has it otherwise"


STILL_HELD: Final = CheckAtRest(4, "other", "personal data of erased customers", _still_held)
NOT_THE_ERASURES: Final = CheckAtRest(4, "other", "erasures that differ from their topic", _not_the_erasures)
CHECKS: Final = (STILL_HELD, NOT_THE_ERASURES)
