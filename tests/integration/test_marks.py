"""Send known marks as personal data and secrets on every error path. No log of the stack has one of them."""

import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from harness import INVENTORY, ORDERS, Body, Harness, eventually, order

MARK = f"zqmark{uuid.uuid4().hex[:8]}"
"""One mark in all places: each value that is sent contains it."""

ADDRESS = {"name": f"Ms {MARK}", "street": f"{MARK} street", "city": MARK, "country": "DE", "postcode": MARK}


def marked(reference: str, item: str, **more: object) -> Body:
    personal = {"ship_to": ADDRESS, "notes": f"note {MARK}", "metadata": {MARK: MARK}, "payment_reference": MARK}
    return {**order(reference, (item, 1)), **personal, "customer_id": MARK, **more}


async def test_marks_of_a_partner_are_in_no_log(harness: Harness) -> None:
    [item] = await harness.items(on_hand=5)
    reference, logs, nobody = f"{MARK}-1", harness.stack.home.logs, {"Authorization": ""}
    async with harness.client() as orders, harness.client(INVENTORY) as stock, harness.client("order-service") as ops:
        found = [
            *[await wrong_token(orders, token) for token in (MARK, f"eyJ{MARK}aaaa.{MARK}.{MARK}", f"{MARK} {MARK}")],
            await orders.post("/v1/orders", json=marked(reference, item)),
            await orders.post("/v1/orders", json=marked(reference, item)),
            await orders.post("/v1/orders", json=marked(reference, item, notes=f"other {MARK}")),
            await orders.post("/v1/orders", json=marked(f"{MARK}-2", MARK)),
            await orders.post("/v1/orders", json=marked(f"{MARK}-3", item, currency=MARK, tax=MARK)),
            await orders.post("/v1/orders", json=marked(f"{MARK}-4", item, ship_to={MARK: MARK}, **{MARK: MARK})),
            await orders.post("/v1/orders", content=f'{{"notes": "{MARK}'.encode(), headers=JSON),
            await orders.post("/v1/orders", content=f"{MARK}" * 200_000, headers=JSON),
            await orders.post("/v1/orders", content=MARK, headers={"Content-Type": f"text/{MARK}"}),
            await orders.post("/v1/orders", json={}, headers={"Idempotency-Key": MARK * 40}),
            await orders.post("/v1/orders:batch", content=lines(reference, item), headers=NDJSON),
            await orders.get(f"/v1/orders/{MARK}?{MARK}={MARK}"),
            await orders.get("/v1/orders", params={"cursor": MARK, "customer_id": MARK}),
            await orders.get(f"/v1/orders/by-reference/{MARK}"),
            await stock.post("/v1/items", json={"item_id": MARK, "description": f"{MARK}\n", "unit_of_measure": MARK}),
            await stock.post("/v1/locations", json={"location_id": MARK, "name": f"{MARK} \x01"}),
            await stock.post("/v1/locations:import", content=f"location_id,name\nx,{MARK}\x01\n", headers=CSV),
            await orders.post(f"{harness.stack.issuer_url}/oauth/token", data=secret(), headers=nobody),
            await ops.post("/v1/dead-letters/999999:resend", json={"reason": MARK, "value": MARK}),
        ]
        assert {each.status_code for each in found} >= {200, 201, 400, 401, 404, 409, 413, 415, 422}
        async with broken(harness, ORDERS, "orders", f"reference NOT LIKE '{MARK}-x%'"):
            failed = [
                await orders.post("/v1/orders", json=marked(f"{MARK}-x5", item)),
                await orders.post("/v1/orders:batch", content=lines(f"{MARK}-x6", item), headers=NDJSON),
            ]
        async with broken(harness, INVENTORY, "locations", f"name <> 'Ms {MARK}'"):
            failed.append(await stock.post("/v1/locations", json={"location_id": f"x{MARK}", "name": f"Ms {MARK}"}))
        assert [each.status_code for each in failed] == [500, 200, 500], [each.text for each in failed]

    async def logged() -> bool:
        return all(b"CheckViolation" in (logs / f"{name}.api.log").read_bytes() for name in (ORDERS, INVENTORY))

    await eventually(logged)
    assert len([*logs.iterdir()]) > 5
    for log in logs.iterdir():
        assert MARK.encode() not in log.read_bytes(), f"{log.name} has a mark"


JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
CSV = {"Content-Type": "text/csv"}


def secret() -> dict[str, str]:
    return {"grant_type": "client_credentials", "client_id": MARK, "client_secret": MARK}


async def wrong_token(client: httpx.AsyncClient, token: str) -> httpx.Response:
    return await client.get("/v1/orders", headers={"Authorization": f"Bearer {token}"})


def lines(reference: str, item: str) -> bytes:
    orders = (marked(reference, item), marked(f"{reference}-b", item, priority=MARK))
    return "\n".join([*map(json.dumps, orders), f'{{"notes": "{MARK}', MARK]).encode()


@asynccontextmanager
async def broken(harness: Harness, service: str, table: str, rule: str) -> AsyncIterator[None]:
    """Add a rule to a table that refuses rows with a mark, so that the error of the service quotes the whole row."""
    async with harness.database(service) as sql:
        await sql.execute(f"ALTER TABLE {table} ADD CONSTRAINT no_marks CHECK ({rule}) NOT VALID")
        try:
            yield
        finally:
            await sql.execute(f"ALTER TABLE {table} DROP CONSTRAINT no_marks")
