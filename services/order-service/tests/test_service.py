"""The wiring: what only a whole service shows."""

from importlib.metadata import entry_points

import pytest
from shop import Shop

from crossdock_chassis.database.jobs import Jobs
from order_service.service import Settings, build


def test_entry_point_names_settings_and_build() -> None:
    [found] = entry_points(group="crossdock.services", name="order-service")
    module = found.load()
    assert (module.Settings, module.build) == (Settings, build)


async def test_every_job_runs_without_kafka_and_cancels_nothing(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    order_id = await shop.placed()
    jobs = Jobs(shop.service.database, [])
    assert len({job.name for job in shop.service.jobs}) == 3
    for job in shop.service.jobs:
        await jobs.once(job)
    assert (await shop.show(order_id))["status"] == "placed"


async def test_openapi_lists_every_route(shop: Shop) -> None:
    document = shop.service.api().openapi()
    routes = {(path, method) for path, operations in document["paths"].items() for method in operations}
    assert {route for route in routes if "dead-letters" not in route[0]} == {
        ("/v1/orders", "get"),
        ("/v1/orders", "post"),
        ("/v1/orders:batch", "post"),
        ("/v1/orders:validate", "post"),
        ("/v1/orders/{order_id}", "get"),
        ("/v1/orders/{order_id}/timeline", "get"),
        ("/v1/orders/{order_id}:cancel", "post"),
    }
    post = document["paths"]["/v1/orders"]["post"]
    assert {each["name"] for each in post["parameters"]} == {"Idempotency-Key", "Prefer"}
    assert {"200", "201", "409", "422"} <= set(post["responses"])
    assert "for" in document["components"]["schemas"]["WaitingView"]["properties"]
    assert document["components"]["schemas"]["Draft"]["required"] == ["reference", "currency", "lines", "total"]
