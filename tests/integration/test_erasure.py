"""The orders of an erased person: no topic, database, log or file has personal data, nor has a restored dump."""

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
from harness import ORDERS, Body, Harness, eventually, order
from remains import dump, remains, restore

from crossdock_chassis import JobRun, new_id
from crossdock_chassis.jobs.rows import Claimed
from crossdock_chassis.testing import Deliver, envelope_of
from crossdock_events.customers import CustomerErased, OrderedAs
from crossdock_events.orders import OrderRedacted
from crossdock_local.servers.postgres import database_in
from order_service.orders.redact import redact_after
from order_service.service import Settings, build

DATABASE = "order_service"
HELD = {"public.orders", "public.operator_action", "public.idempotency_key"}
"""The tables in which order-service keeps personal data."""


def personal(mark: str, item: str, customer: str, quantity: int = 1, **more: Any) -> Body:
    """Return an order with the mark in each member that may describe a person."""
    address = {"name": mark, "street": f"{mark} 1", "city": mark, "postcode": mark, "country": "NO"}
    return order(
        f"PO-{uuid4().hex}",
        (item, quantity),
        customer_id=customer,
        ship_to=address,
        notes=f"Ring {mark} twice",
        metadata={mark: mark},
        payment_reference=mark,
        **more,
    )


async def fill(harness: Harness, mark: str, customer: str, item: str) -> list[str]:
    """Send the mark through each route of order-service. Return the ids of the orders, which are cancelled."""
    headers = {"Authorization": f"Bearer {harness.stack.operator_token(['ops:act'], 'ann')}"}
    operator = httpx.AsyncClient(base_url=harness.stack.url(ORDERS), headers=headers, timeout=60)
    async with harness.client() as shop, operator:
        body = personal(mark, item, customer)
        first = await harness.post(shop, body, **{"idempotency-key": uuid4().hex})
        assert (await shop.post("/v1/orders", json=body | {"notes": f"{mark}!"})).status_code == 409
        assert (await shop.post("/v1/orders", json=body | {"total": "0.01"})).status_code == 422
        assert (await shop.post("/v1/orders:validate", json=body)).status_code == 200
        line = personal(mark, item, customer)
        answer = await shop.post(
            "/v1/orders:batch", content=json.dumps(line), headers={"content-type": "application/x-ndjson"}
        )
        second = answer.json()
        harness.accepted["acme", line["reference"]] = second["id"]
        why = {"reason": "customer_request", "note": f"{mark} called"}
        for client, placed in ((shop, first), (operator, second)):
            await harness.until(shop, placed["id"], "confirmed")
            cancelled = await client.post(f"/v1/orders/{placed['id']}:cancel", json=why)
            assert cancelled.status_code == 200, cancelled.text
    return [first["id"], second["id"]]


async def test_erased_person_is_in_no_store_and_no_restored_dump(harness: Harness, deliver: Deliver) -> None:
    mark, customer = f"zq{uuid4().hex[:10]}", f"C-{uuid4().hex[:8]}"
    (item,) = await harness.items(on_hand=2)
    ended = await fill(harness, mark, customer, item)
    old = await asyncio.to_thread(dump, harness, DATABASE, "-Fc")
    async with harness.client() as shop:
        open_order = (await harness.post(shop, personal(mark, item, customer, 9)))["id"]
        await harness.until(shop, open_order, "backordered")
        held = {f"table {table} of {DATABASE}" for table in HELD}
        assert await remains(harness, mark) == held, "a mark is where it must not be, or none was found"

        named = (OrderedAs(partner="acme", external_id=customer),)
        erased = envelope_of(CustomerErased(customer_id=new_id(), ordered_as=named))
        await harness.inject(erased.encode())  # as crm-service sends it

        async def redacted(*ids: str) -> bool:
            return all([(await harness.get(shop, id))["redacted_at"] for id in ids])

        await eventually(lambda: redacted(*ended))
        assert not await redacted(open_order)
        await shop.post(f"/v1/orders/{open_order}:cancel", json={"note": f"{mark} gave up"})
        await eventually(lambda: redacted(open_order))
    assert await remains(harness, mark) == set()

    async def sent() -> bool:
        return any(isinstance(each.event, OrderRedacted) for each in await harness.events(OrderRedacted, ended[0]))

    await eventually(sent)
    await harness.adds_up()
    await restored_and_erased(harness, deliver, old, mark, erased)


async def restored_and_erased(harness: Harness, deliver: Deliver, old: bytes, mark: str, erased: Any) -> None:
    """Restore the old dump beside the running database, and hand the repeated event to a service on it."""
    name, admin_dsn = f"restored_{uuid4().hex}", harness.stack.servers.databases.admin_dsn
    admin = await asyncpg.connect(admin_dsn)
    service = build(Settings(postgres=database_in(admin_dsn, name), kafka=harness.stack.kafka, issuer="http://x"))
    try:
        await admin.execute(f"CREATE DATABASE {name}")
        await asyncio.to_thread(restore, harness, name, old)
        assert await remains(harness, mark) == {f"table {table} of {name}" for table in HELD}
        await deliver(service, erased)
        run = JobRun(service.database, Claimed(new_id(), None, "test", {}))
        await redact_after(timedelta(days=30))(run)
        assert await remains(harness, mark) == set()
    finally:
        await service.database.close()
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await admin.close()
