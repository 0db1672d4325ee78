"""What operators did: who, what, why, before and after. The fixture `clients` holds that each route writes it."""

from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import APIRouter

from crossdock_chassis import Feature, Operator, Service, record_action
from crossdock_chassis.database.actions import Actor
from crossdock_chassis.ids import new_id
from crossdock_chassis.jobs.declare import queued
from crossdock_chassis.jobs.run import JobRun
from crossdock_chassis.testing import OPS, Clients


async def load(run: JobRun) -> None: ...


LOAD = queued("load", load)


@pytest.fixture
def ops(service: Service, clients: Clients) -> httpx.AsyncClient:
    return clients(service, None, OPS, subject="ann")


async def listed(client: httpx.AsyncClient, **query: str | int) -> list[dict[str, Any]]:
    answer = await client.get("/v1/operator-actions", params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def requested(service: Service) -> str:
    async with service.database.unit() as unit:
        return str(await LOAD.request(unit, {}, by="a program"))


async def test_action_has_who_what_why_before_and_after(service: Service, ops: httpx.AsyncClient) -> None:
    id = await requested(service)
    assert (await ops.post(f"/v1/jobs/{id}:stop", json={"reason": "not tonight"})).status_code == 200
    (action,) = await listed(ops)
    assert (action["who"], action["client"], action["partner"]) == ("ann", "client-of-ann", None)
    assert (action["action"], action["target"], action["why"]) == ("job:stop", f"/v1/jobs/{id}", "not tonight")
    assert (action["before"]["status"], action["after"]["status"]) == ("queued", "stopped")


async def test_action_of_a_partners_program_names_its_client(service: Service, clients: Clients) -> None:
    program = clients(service, "company", OPS)
    id = await requested(service)
    await program.post(f"/v1/jobs/{id}:stop")
    (action,) = await listed(program)
    assert (action["who"], action["partner"], action["why"]) == ("client-of-company", "company", None)


async def test_action_that_changes_nothing_or_is_refused_is_not_listed(
    service: Service, ops: httpx.AsyncClient
) -> None:
    id = await requested(service)
    for status in (200, 200):
        assert (await ops.post(f"/v1/jobs/{id}:stop")).status_code == status
    assert (await ops.post(f"/v1/jobs/{new_id()}:stop")).status_code == 404
    assert (await ops.post(f"/v1/jobs/{id}:stop", json={"reason": ""})).status_code == 422
    assert len(await listed(ops)) == 1


async def test_action_of_a_unit_that_fails_is_not_stored(service: Service, ops: httpx.AsyncClient) -> None:
    with pytest.raises(ZeroDivisionError):
        async with service.database.unit() as unit:
            await record_action(unit, Actor("ann"), "job:stop", "/v1/jobs/1")
            raise ZeroDivisionError
    assert await listed(ops) == []


async def test_actions_are_filtered_and_paged_newest_first(service: Service, ops: httpx.AsyncClient) -> None:
    async with service.database.unit() as unit:
        for n in range(5):
            by, kind = Actor("ann" if n % 2 else "bob"), "job:stop" if n < 3 else "job:resume"
            await record_action(unit, by, kind, f"/v1/jobs/{n}", why="\0 \ud800 é", after={"n": n})
    assert [each["after"]["n"] for each in await listed(ops)] == [4, 3, 2, 1, 0]
    assert [each["after"]["n"] for each in await listed(ops, who="ann")] == [3, 1]
    assert [each["after"]["n"] for each in await listed(ops, action="job:resume")] == [4, 3]
    assert [each["after"]["n"] for each in await listed(ops, target="/v1/jobs/2", who="bob")] == [2]
    assert await listed(ops, who="nobody") == []
    pages, query = [], {"limit": "2"}
    while True:
        page = (await ops.get("/v1/operator-actions", params=query)).json()
        pages.append([each["after"]["n"] for each in page["items"]])
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert pages == [[4, 3], [2, 1], [0]]


async def test_one_action_is_shown_by_its_id(service: Service, ops: httpx.AsyncClient) -> None:
    async with service.database.unit() as unit:
        for n in range(2):
            await record_action(unit, Actor("ann"), "job:stop", f"/v1/jobs/{n}")
    for action in await listed(ops):
        assert (await ops.get(f"/v1/operator-actions/{action['id']}")).json() == action
    for id, status in {"77": 404, "0": 422, "x": 422, "1e3": 422, "9" * 30: 422, "%00": 400}.items():
        assert (await ops.get(f"/v1/operator-actions/{id}")).status_code == status


@pytest.mark.parametrize(
    "query", ["cursor=x", "cursor=" + "x" * 1001, "limit=0", "limit=201", "who=", "target=" + "x" * 301, "other=1"]
)
async def test_garbage_in_a_parameter_is_refused(ops: httpx.AsyncClient, query: str) -> None:
    assert (await ops.get(f"/v1/operator-actions?{query}")).status_code in (400, 422)
    assert (await ops.get("/v1/operator-actions?who=%00")).status_code in (400, 422)


async def test_acting_route_without_an_action_fails_its_test(service: Service, clients: Clients) -> None:
    """The guard in `clients` is seen to fail."""
    router = APIRouter()

    @router.post("/v1/forgetful")
    async def post_forgetful(caller: Operator) -> None: ...

    forgetful = replace(service, features=[Feature(routers=[router])])
    client = clients(forgetful, None, OPS, subject="ann")
    with pytest.raises(AssertionError, match="POST /v1/forgetful wrote no operator's action"):
        await client.post("/v1/forgetful")
