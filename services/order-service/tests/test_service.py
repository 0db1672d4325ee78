"""The wiring: what only a whole service shows."""

from importlib.metadata import entry_points

import pytest
from retention_page import TABLES, rules
from shop import Shop

from crossdock_chassis import find_jobs
from crossdock_chassis.jobs.worker import Jobs
from crossdock_chassis.testing import OPS, Clients, unlisted
from order_service.service import Settings, build


def test_entry_point_names_settings_and_build() -> None:
    [found] = entry_points(group="crossdock.services", name="order-service")
    module = found.load()
    assert (module.Settings, module.build) == (Settings, build)


async def test_every_job_runs_without_kafka_and_cancels_nothing(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    order_id = await shop.placed()
    assert len({job.name for job in shop.service.jobs}) == 5
    await Jobs(shop.service.database, shop.service.jobs).run_due()
    assert [job.error for job in await find_jobs(shop.service.database)] == [None, None, None]
    assert (await shop.show(order_id))["status"] == "placed"


async def test_every_problem_is_listed_by_a_route(shop: Shop) -> None:
    assert unlisted(shop.service) == []


async def test_partner_over_its_limit_of_orders_still_sends_batches(shop: Shop, clients: Clients) -> None:
    company = clients(shop.service, None, OPS, subject="ann")
    limit = {"rate": 0.01, "burst": 2}
    assert (await company.put("/v1/limits/orders/acme", json=limit)).status_code == 200
    client = clients(shop.service, "acme", ("orders:write",))
    found = [(await client.post("/v1/orders", json={})).status_code for _ in range(3)]
    assert found == [422, 422, 429]
    headers = {"content-type": "application/x-ndjson"}
    assert (await client.post("/v1/orders:batch", content=b"", headers=headers)).status_code == 200


async def test_openapi_lists_every_route(shop: Shop) -> None:
    document = shop.service.api().openapi()
    routes = {(path, method) for path, operations in document["paths"].items() for method in operations}
    chassis = (
        "/v1/dead-letters",
        "/v1/jobs",
        "/v1/limits",
        "/v1/operations",
        "/v1/operator-actions",
        "/v1/operator-actions/{id}",
        "/v1/projections",
        "/v1/reactions",
        "/v1/retired-groups",
        "/v1/stopped",
    )
    assert {route for route in routes if not route[0].startswith(chassis)} == {
        ("/v1/orders", "get"),
        ("/v1/orders", "post"),
        ("/v1/orders:batch", "post"),
        ("/v1/orders:validate", "post"),
        ("/v1/orders/by-reference/{reference}", "get"),
        ("/v1/orders/changes", "get"),
        ("/v1/orders/{order_id}", "get"),
        ("/v1/orders/{order_id}/timeline", "get"),
        ("/v1/orders/{order_id}:cancel", "post"),
    }
    refusals = {route: document["paths"][route[0]][route[1]]["responses"]["429"] for route in routes}
    limited = {route for route, refusal in refusals.items() if "RateLimit" in refusal["headers"]}
    assert limited == {route for route in routes if "orders" in route[0] and route[1] == "post"}
    post = document["paths"]["/v1/orders"]["post"]
    assert {each["name"] for each in post["parameters"]} == {"Correlation-Id", "Idempotency-Key", "Prefer"}
    assert {"200", "201", "409", "422"} <= set(post["responses"])
    assert "for" in document["components"]["schemas"]["WaitingView"]["properties"]
    assert document["components"]["schemas"]["Draft"]["required"] == ["reference", "currency", "lines", "total"]


async def test_every_table_has_a_stated_retention(shop: Shop) -> None:
    async with shop.service.database.unit() as unit:
        found = {row["relname"] for row in await unit.sql.fetch(TABLES)}
    assert found - rules().keys() == set(), "add it to docs/retention.md"
