"""Every route of the service: malformed bodies, tokens, scopes, descriptions."""

import httpx
from warehouse import READ, WRITE, Warehouse

from crossdock_chassis import Service
from crossdock_chassis.testing import Clients, unlisted


async def test_malformed_body_or_missing_scope_is_refused(
    service: Service, warehouse: Warehouse, client: httpx.AsyncClient, clients: Clients
) -> None:
    before = await warehouse.stored()
    for path in ("items", "locations", "receipts", "adjustments", "transfers"):
        await refuses_malformed_bodies(client, path)
        for scopes in ((), (READ,), ("orders:write", "ops:act")):
            assert (await clients(service, scopes=scopes).post(f"/v1/{path}", json={})).status_code == 403
        stranger = await client.post(f"/v1/{path}", json={}, headers={"authorization": "Bearer"})
        assert stranger.status_code == 401
    assert await warehouse.stored() == before


async def refuses_malformed_bodies(client: httpx.AsyncClient, path: str) -> None:
    json = {"content-type": "application/json"}
    for content in (b"", b"{", b'{"a": NaN}', b"\xff\xfe", b'{"a": 1, "a": 2}', b"[" * 4_000):
        answer = await client.post(f"/v1/{path}", content=content, headers=json)
        assert answer.status_code in (400, 422), (content, answer.text)
    assert (await client.post(f"/v1/{path}", json=[])).status_code == 422
    assert (await client.post(f"/v1/{path}", content=b"x" * (2 << 20), headers=json)).status_code == 413
    assert (await client.post(f"/v1/{path}", content=b"<a/>", headers={"content-type": "text/xml"})).status_code == 415


async def test_reading_without_the_scope_is_refused(service: Service, clients: Clients) -> None:
    client = clients(service, scopes=(WRITE,))
    for path in (
        "items",
        "items/a",
        "locations",
        "availability?item_id=a",
        "ledger",
        "reconciliation",
        "reconciliation/orders",
        "backorders",
        "backorders/orders",
        "backorders/overdue",
        "reservations/00000000-0000-0000-0000-000000000000",
        "items:template",
        "imports",
        "imports/00000000-0000-0000-0000-000000000000/errors.csv",
    ):
        assert (await client.get(f"/v1/{path}")).status_code == 403, path


async def test_every_problem_is_listed_by_a_route(service: Service) -> None:
    assert unlisted(service) == []


async def test_every_write_counts_in_a_route_group(service: Service) -> None:
    writes = [
        (path, method)
        for path, methods in service.api().openapi()["paths"].items()
        for method, operation in methods.items()
        if method != "get"
        and "operations" not in operation["tags"]
        and "RateLimit" not in operation["responses"]["429"]["headers"]
    ]
    assert writes == []


async def test_every_route_has_a_summary_and_a_tag(service: Service) -> None:
    operations = [
        (path, method, operation)
        for path, methods in service.api().openapi()["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(operations) > 20
    for path, method, operation in operations:
        assert operation.get("summary") and operation.get("tags"), (path, method)
    names = [operation["operationId"] for _, _, operation in operations]
    assert len(names) == len(set(names))
