"""The orders of an erased customer lose what may describe a person, and keep everything else."""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from shop import Shop, body

from crossdock_chassis import JobRun, new_id
from crossdock_chassis.jobs.rows import Claimed
from crossdock_chassis.testing import OPS, Clients, Violations, published
from crossdock_events.customers import CustomerErased, OrderedAs
from crossdock_events.orders import OrderRedacted
from order_service.orders import redact
from order_service.orders.checks import NOT_FED, NOT_ITS_EVENTS, NOT_ITS_HISTORY
from order_service.orders.erasure_checks import LEFT_BEHIND, NOT_THE_ERASURES
from order_service.orders.redacted import redacted

MARK = "Zaphod Unforgotten"
COLUMNS = """
    SELECT table_schema, table_name, column_name, data_type
    FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
    WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'
"""

Redact = Callable[..., Awaitable[Mapping[str, object]]]


@pytest.fixture
def redacts(shop: Shop) -> Redact:
    """`await redacts("C-1")` erases the customer of acme and runs the job. Without a customer it only runs the job."""

    async def erase(customer: str | None = None, *, ended_after: timedelta = timedelta(0)) -> Mapping[str, object]:
        if customer is not None:
            named = OrderedAs(partner="acme", external_id=customer)
            await shop.hears(CustomerErased(customer_id=new_id(), ordered_as=(named,)))
        run = JobRun(shop.service.database, Claimed(new_id(), None, "test", {}))
        return await redact.redact_after(ended_after)(run)

    return erase


def personal(reference: str, customer: str = "C-1", **others: Any) -> dict[str, Any]:
    return body(
        reference,
        customer_id=customer,
        ship_to={"name": MARK, "street": MARK, "city": MARK, "postcode": "SW1A 1AA", "country": "GB"},
        notes=MARK,
        metadata={MARK: MARK},
        payment_reference=MARK,
        **others,
    )


async def place(shop: Shop, reference: str, customer: str = "C-1") -> UUID:
    return await shop.placed(**personal(reference, customer))


async def cancel(shop: Shop, *orders: UUID, **why: str) -> None:
    for order in orders:
        assert (await shop.client.post(f"/v1/orders/{order}:cancel", json=why)).status_code == 200


async def stores_of(shop: Shop, mark: str) -> set[str]:
    """Return each column of the database that has the mark, in any form."""
    found = set()
    async with shop.service.database.unit() as unit:
        for schema, table, column, kind in await unit.sql.fetch(COLUMNS):
            text = f"encode(\"{column}\", 'escape')" if kind == "bytea" else f'"{column}"::text'
            if await unit.sql.fetchval(
                f'SELECT EXISTS (SELECT FROM "{schema}"."{table}" WHERE strpos({text}, $1) > 0)', mark
            ):
                found.add(f"{table}.{column}")
    return found


async def parts_sent(shop: Shop) -> dict[str, list[str]]:
    """Return the parts of each `OrderRedacted` that was published, by order and sequence."""
    sent = [(row["headers"], json.loads(row["value"])) for row in await published(shop.service)]
    return {
        f"{data['order_id']} {int(headers['ce_sequence'])}": data["parts"]
        for headers, data in sent
        if headers["ce_type"] == OrderRedacted.ce_type
    }


async def test_every_store_forgets_what_it_held(shop: Shop, clients: Clients, redacts: Redact) -> None:
    first, second = [await place(shop, reference) for reference in ("PO-1", "PO-2")]
    keyed = {"idempotency-key": "k"}
    assert (await shop.client.post("/v1/orders", json=personal("PO-1"), headers=keyed)).status_code == 200
    operator = clients(shop.service, None, OPS, subject="ann")
    why = {"reason": "customer_request", "note": MARK}
    await cancel(shop, first, **why)
    assert (await operator.post(f"/v1/orders/{second}:cancel", json=why, headers=keyed)).status_code == 200
    assert await stores_of(shop, MARK) == {
        "orders.document", "orders.history", "operator_action.why", "idempotency_key.document",
    }  # fmt: skip
    assert await redacts("C-1") == {"redacted": 2}
    assert await stores_of(shop, MARK) == set()
    assert await stores_of(shop, "SW1A 1") == set()
    async with shop.service.database.unit() as unit:
        assert await unit.sql.fetchval("SELECT why FROM operator_action") == "customer_request"


async def test_redacted_order_is_shown_with_what_is_left(shop: Shop, redacts: Redact) -> None:
    order = await place(shop, "PO-1")
    await cancel(shop, order, reason="too_slow", note=MARK)
    before = await shop.show(order)
    await redacts("C-1")
    shown = await shop.show(order)
    gone: dict[str, Any] = {"ship_to": None, "notes": None, "metadata": {}, "payment_reference": None}
    assert shown == before | gone | {"version": 3, "redacted_at": shown["redacted_at"]}
    assert (shown["reason"], before["redacted_at"]) == ("too_slow", None)
    assert shown["redacted_at"] > shown["decided_at"]
    assert await parts_sent(shop) == {
        f"{order} 3": ["ship_to", "notes", "metadata", "payment_reference", "cancel_note"]
    }
    cancelled, last = (await shop.timeline(order))[1:]
    assert (cancelled["note"], last["parts"][-1], last["because"]["kind"]) == (None, "cancel_note", "clock")
    listed = (await shop.client.get("/v1/orders/changes")).json()["items"]
    assert [(each["version"], each["redacted_at"]) for each in listed] == [(3, shown["redacted_at"])]


async def test_open_order_is_redacted_once_it_ends(shop: Shop, redacts: Redact) -> None:
    placed, waiting, confirmed, rejected = [await place(shop, f"PO-{n}") for n in range(4)]
    await shop.hears(shop.backordered(waiting), shop.reserved(confirmed), shop.rejected(rejected))
    assert await redacts("C-1", ended_after=timedelta(days=30)) == {"redacted": 1}
    assert [(await shop.show(each))["redacted_at"] is None for each in (placed, waiting, confirmed)] == [True] * 3
    await cancel(shop, placed)
    assert await redacts(ended_after=timedelta(days=30)) == {"redacted": 1}
    assert await redacts() == {"redacted": 1}, "a confirmed order ends some time after it was confirmed"
    await cancel(shop, waiting)
    assert await redacts() == {"redacted": 1}
    assert await stores_of(shop, MARK) == set()


async def test_later_note_on_a_redacted_order_is_removed(shop: Shop, redacts: Redact) -> None:
    first, plain = await place(shop, "PO-1"), await shop.placed("PO-2", customer_id="C-1")
    await shop.hears(shop.reserved(first), shop.reserved(plain))
    assert await redacts("C-1") == {"redacted": 1}, "the plain order has nothing to redact"
    at = (await shop.show(first))["redacted_at"]
    await cancel(shop, first, plain, note=MARK)
    assert await redacts() == {"redacted": 2}
    assert await stores_of(shop, MARK) == set()
    assert (await shop.show(first))["redacted_at"] == at
    assert list((await parts_sent(shop)).values())[1:] == [["cancel_note"], ["cancel_note"]]


async def test_only_earlier_orders_of_the_customer_are_redacted(shop: Shop, redacts: Redact) -> None:
    mine, others = await place(shop, "PO-1"), await place(shop, "PO-2", "C-2")
    await shop.other.post("/v1/orders", json=personal("PO-1"))
    elsewhere = UUID((await shop.other.get("/v1/orders/by-reference/PO-1")).json()["id"])
    await cancel(shop, mine, others)
    await shop.other.post(f"/v1/orders/{elsewhere}:cancel")
    assert await redacts("C-1") == {"redacted": 1}
    again = await place(shop, "PO-3")
    await cancel(shop, again, note=MARK)
    assert await redacts() == {"redacted": 0}, "whoever orders again under this id is a new customer"


async def test_repeated_order_is_compared_by_fingerprint_alone(shop: Shop, redacts: Redact) -> None:
    key = {"idempotency-key": "k"}
    first = await shop.client.post("/v1/orders", json=personal("PO-1"), headers=key)
    await cancel(shop, UUID(first.json()["id"]))
    await redacts("C-1")
    assert (await shop.client.post("/v1/orders", json=personal("PO-1"), headers=key)).json() == first.json()
    repeated = await shop.client.post("/v1/orders", json=personal("PO-1"))
    assert (repeated.status_code, repeated.json()["id"]) == (200, first.json()["id"])
    reused = await shop.client.post("/v1/orders", json=personal("PO-1", "C-2"), headers=key)
    assert (reused.status_code, reused.json()["errors"][0]["pointer"]) == (422, ""), "the first body is forgotten"
    left = {name: value for name, value in personal("PO-1").items() if name not in ("ship_to", "notes")}
    for other in (left, left | {"priority": 1}):
        refused = await shop.client.post("/v1/orders", json=other)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (409, "")
    assert (await shop.client.post("/v1/orders:validate", json=personal("PO-1"))).status_code == 200
    again = await shop.client.post("/v1/orders", json=personal("PO-1"), headers={"idempotency-key": "another"})
    assert (again.status_code, await stores_of(shop, MARK)) == (200, {"idempotency_key.document"})
    await redacts()
    assert await stores_of(shop, MARK) == set(), "the body of a repeated order is forgotten, too"


async def test_keys_of_an_order_are_found_by_an_index(shop: Shop) -> None:
    async with shop.service.database.unit() as unit:
        await unit.sql.execute("SET LOCAL enable_seqscan = off")
        plan = await unit.sql.fetch("EXPLAIN " + redact.FORGET_BODIES.replace("$1", "'{x}'"))
    assert any("idempotency_key_order" in line for (line,) in plan)


async def test_job_goes_on_after_a_crash(shop: Shop, redacts: Redact, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = [await place(shop, f"PO-{n}") for n in range(7)]
    await cancel(shop, *orders)
    for limit in ("NOTED_AT_ONCE", "REDACTED_AT_ONCE"):
        monkeypatch.setattr(redact, limit, 3)
    made, whole = [], redacted

    def crashing(*parts: Any) -> Any:
        made.append(parts)
        if len(made) == 5:
            raise ConnectionError
        return whole(*parts)

    monkeypatch.setattr(redact, "redacted", crashing)
    with pytest.raises(ConnectionError):
        await redacts("C-1")
    assert len(await parts_sent(shop)) == 3
    assert await redacts() == {"redacted": 4}
    assert len(await parts_sent(shop)) == 7
    assert await stores_of(shop, MARK) == set()


async def test_order_that_commits_late_is_redacted(shop: Shop, redacts: Redact) -> None:
    await redacts("C-1")
    order = await place(shop, "PO-1")
    await cancel(shop, order)
    async with shop.service.database.unit() as unit:
        await unit.sql.execute("UPDATE orders SET placed_at = placed_at - interval '10 seconds'")
    assert await redacts() == {"redacted": 1}


async def test_erasure_that_is_repeated_looks_at_all_orders_again(shop: Shop, redacts: Redact) -> None:
    order = await place(shop, "PO-1")
    await cancel(shop, order)
    async with shop.service.database.unit() as unit:
        await unit.sql.execute("CREATE TABLE dump AS SELECT * FROM orders")
    await redacts("C-1")
    async with shop.service.database.unit() as unit:
        await unit.sql.execute("UPDATE erasures SET scanned_to = erased_at")
        await unit.sql.execute("DELETE FROM orders; INSERT INTO orders SELECT * FROM dump; DROP TABLE dump")
    assert await redacts() == {"redacted": 0}
    assert await redacts("C-1") == {"redacted": 1}
    assert await stores_of(shop, MARK) == set()


@pytest.fixture
async def redacted_order(shop: Shop, redacts: Redact) -> UUID:
    order = await place(shop, "PO-1")
    await cancel(shop, order, note=MARK)
    await redacts("C-1")
    async with shop.service.database.unit() as unit:  # as long ago as the job needs to see that it is done
        await unit.sql.execute("UPDATE erasures SET scanned_to = erased_at")
    return order


async def test_redacted_order_violates_nothing(shop: Shop, redacted_order: UUID, violations: Violations) -> None:
    assert await violations(shop.service) == {}


EDITS = {
    "another priority": ("orders SET document = document || '{\"priority\": 9}'", NOT_ITS_HISTORY, NOT_ITS_EVENTS),
    "another shipping and total": (
        'orders SET document = document || \'{"shipping": "1.00", "total": "60.94"}\'',
        NOT_ITS_HISTORY,
        NOT_ITS_EVENTS,
    ),
    "notes": ('orders SET document = document || \'{"notes": "x"}\'', NOT_ITS_HISTORY, LEFT_BEHIND),
    "a note": ("orders SET history = jsonb_set(history, '{1,note}', '\"x\"')", LEFT_BEHIND),
    "another fingerprint as placed": ("orders SET fingerprint = '\\x00'", NOT_ITS_HISTORY),
    "another fingerprint": ("orders SET redacted_fingerprint = '\\x00'", NOT_ITS_HISTORY),
    "another time": ("orders SET redacted_at = now()", NOT_ITS_HISTORY),
    "no redaction": ("orders SET redacted_at = NULL", NOT_ITS_HISTORY, NOT_ITS_EVENTS),
    "no event of it": ("orders SET history = history - 2, version = 2", NOT_ITS_HISTORY, NOT_ITS_EVENTS, NOT_FED),
    "other parts": ("orders SET history = jsonb_set(history, '{2,parts}', '[]')", NOT_ITS_EVENTS),
    "another customer": ("erasures SET external_id = 'C-9'", NOT_THE_ERASURES),
    "another time of the erasure": ("erasures SET erased_at = now()", NOT_THE_ERASURES),
}


async def test_edited_redaction_is_found(shop: Shop, redacted_order: UUID, violations: Violations) -> None:
    found = {edit: set(await violations(shop.service, f"UPDATE {sql}")) for edit, (sql, *_) in EDITS.items()}
    assert found == {edit: {check.title for check in checks} for edit, (_, *checks) in EDITS.items()}


async def test_erasure_that_was_not_stored_is_found(shop: Shop, redacted_order: UUID, violations: Violations) -> None:
    assert (await violations(shop.service, "DELETE FROM erasures")).keys() == {NOT_THE_ERASURES.title}
