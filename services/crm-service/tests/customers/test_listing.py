"""The list of customers reads few rows of many, also with the plan that PostgreSQL keeps for a repeated query."""

from typing import Any
from uuid import UUID

import pytest
from orders_of import placed

from crm_service.customers import views
from crm_service.customers.listing import Wanted, page_query
from crm_service.customers.matching import name_keys
from crm_service.customers.personal import Eyes
from crm_service.customers.suspects import hashed
from crossdock_chassis import Service
from crossdock_chassis.testing import Clients, Deliver

MANY = 20_000
MAKE = (
    "INSERT INTO partners (name, namespace) VALUES ('big', 'partner/big') ON CONFLICT DO NOTHING",
    "INSERT INTO customers (id, root, kind, origin, met_by, met_as, version, registered_at, display_name) "
    "SELECT md5('c' || n)::uuid, md5('c' || n)::uuid, 'person', 'order', 'big', 'M-' || n, 1, now(), 'Name ' || n "
    f"FROM generate_series(1, {MANY}) n",
    "INSERT INTO customer_links (namespace, external_id, customer_id) "
    f"SELECT 'partner/big', 'M-' || n, md5('c' || n)::uuid FROM generate_series(1, {MANY}) n",
    "INSERT INTO customer_meetings (namespace, external_id, partner) "
    f"SELECT 'partner/big', 'M-' || n, 'big' FROM generate_series(1, {MANY}) n",
    "INSERT INTO channels (match, customer_id, kind, address, added_at) "
    "SELECT n || '@x.example', md5('c' || n)::uuid, 'email', n || '@x.example', now() "
    f"FROM generate_series(1, {MANY}) n",
    f"INSERT INTO match_keys (key, customer_id) SELECT n, md5('c' || n)::uuid FROM generate_series(100, {MANY}) n",
    "ANALYZE",
)
READ = """
    SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables
    WHERE relname IN ('customers', 'customer_links', 'customer_meetings', 'channels', 'match_keys')
"""
EYES = Eyes(open=True, staff=True)
PAGES = 12


@pytest.mark.parametrize("partner", [None, "big", "acme"])
async def test_list_of_customers_reads_few_rows(service: Service, deliver: Deliver, partner: str | None) -> None:
    await deliver(service, placed("C-1"), placed("C-2"))
    (key,) = {hashed(each) for each in name_keys("Zoe")}
    async with service.database.unit() as unit:
        for statement in MAKE:
            await unit.sql.execute(statement)
        id: UUID = await unit.sql.fetchval("SELECT md5('c5')::uuid")
        await unit.sql.execute("INSERT INTO match_keys (key, customer_id) VALUES ($1, $2)", key, id)
    found = {
        Wanted(): min(10, {None: MANY, "big": MANY, "acme": 2}[partner]),
        Wanted(external_id="M-5"): partner != "acme",
        Wanted(matches=("5@x.example",)): partner != "acme",
        Wanted(name="Zoe"): partner != "acme",
    }
    for wanted, count in found.items():
        async with service.database.unit() as unit:
            for _ in range(PAGES):
                page = await views.page(unit.sql, partner, None, 10, EYES, wanted)
                assert len(page.items) == count, wanted
            read = await unit.sql.fetchval(READ)
        assert read / PAGES < MANY / 5, (wanted, read / PAGES)


async def test_list_over_http_looks_up_customers_of_a_small_partner(
    service: Service, clients: Clients, deliver: Deliver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list without limits took 15 s beside a million customers of others, because it had an empty limit."""
    await deliver(service, placed("C-1"))
    looked = []

    def query(*arguments: Any, many: bool) -> tuple[str, list[object]]:
        looked.append(many)
        return page_query(*arguments, many=many)

    monkeypatch.setattr(views, "page_query", query)
    client = clients(service, "acme", ["crm:read"])
    assert len((await client.get("/v1/customers")).json()["items"]) == 1
    assert (await client.get("/v1/customers", params={"email": "a@x.example"})).json()["items"] == []
    assert looked == [False, True]
