"""The api behind a real PgBouncer in transaction mode."""

import asyncio
from uuid import UUID

from pgbouncer import pooling
from shop import Shop, body

from crossdock_chassis.testing import Clients, Deliver
from order_service.service import Settings, build


async def test_api_accepts_orders_through_a_pooler(shop: Shop, clients: Clients, deliver: Deliver) -> None:
    """Forty orders at once, each posted twice, share two connections of the server."""
    direct = shop.service.settings.postgres
    with pooling(direct) as dsn:
        pooled = build(Settings(**shop.service.settings.model_dump() | {"postgres": dsn, "postgres_direct": direct}))
        client = clients(pooled, "acme", ("orders:read", "orders:write"))

        async def post(number: int) -> str:
            headers = {"idempotency-key": f"key-{number}"}
            answers = [await client.post("/v1/orders", json=body(f"PO-{number}"), headers=headers) for _ in range(2)]
            first, again = (answer.json() for answer in answers)
            assert [answer.status_code for answer in answers] == [201, 201], first
            assert first["id"] == again["id"]
            return str(first["id"])

        ids = await asyncio.gather(*(post(number) for number in range(40)))
        assert len(set(ids)) == 40
        await deliver(pooled, shop.reserved(UUID(ids[0])))
        shown = await client.get(f"/v1/orders/{ids[0]}")
        assert shown.json()["status"] == "confirmed"
        listed = await client.get("/v1/orders?limit=100")
        assert len(listed.json()["items"]) == 40
        await pooled.database.close()
