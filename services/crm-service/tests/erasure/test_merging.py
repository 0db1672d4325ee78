"""Erasures and merges: nobody is left out, nobody else is erased, and no erasure is reported that did not happen."""

import asyncio
from uuid import UUID, uuid4

import httpx
import pytest
from erasing import asked, backed_up, erase, erasure, events, waiting
from mail_desk import Desk

from crm_service.customers.merge import MergeCustomers, merge_customers
from crm_service.erasure import store
from crossdock_chassis import Actor, Service
from crossdock_chassis.testing import Deliver, Violations
from crossdock_events import Cause
from crossdock_events.customers import CustomerErased, CustomersUnmerged

NAMES = "SELECT display_name FROM customers WHERE display_name IS NOT NULL"


class AnyVersion:
    def check(self, version: int) -> None:
        pass


async def created(eraser: httpx.AsyncClient, name: str) -> str:
    id: str = (await eraser.post("/v1/customers", json={"name": name})).json()["id"]
    return id


async def names(service: Service) -> list[str]:
    async with service.database.unit() as unit:
        return [row[0] for row in await unit.sql.fetch(NAMES)]


async def test_customer_that_is_to_be_erased_is_not_merged(desk: Desk, eraser: httpx.AsyncClient) -> None:
    one, other = await created(eraser, "Ada"), await created(eraser, "Bea")
    made = await asked(eraser, one)
    for into, merged in ((one, other), (other, one)):
        answer = await eraser.post(f"/v1/customers/{into}:merge", json={"customer_id": merged})
        assert (answer.status_code, answer.json()["type"].split(":")[-1]) == (409, "customer-erased")
    assert await erase(desk.service) == {"erased": 1, "pending": 0}
    assert (await erasure(eraser, made["id"]))["missing"] == [] and await names(desk.service) == ["Bea"]


async def test_erasure_during_a_merge_erases_the_whole_group(
    desk: Desk, eraser: httpx.AsyncClient, violations: Violations
) -> None:
    """The jobs ask for an erasure without the lock of the customer, here while a merge is not committed yet.

    The one has no name, so that only the last unit of its erasure waits for the merge.
    """
    for asks_for in ("one", "other"):
        ids = {"one": await created(eraser, "Ada"), "other": await created(eraser, "Bea")}
        assert (await eraser.patch(f"/v1/customers/{ids['one']}", json={"name": None})).json()["name"] is None
        one, other = UUID(ids["one"]), UUID(ids["other"])
        async with desk.service.database.unit() as unit:
            command = MergeCustomers("merge", one, other, Actor("eve"), AnyVersion(), Cause(uuid4()))
            await merge_customers(unit, command)
            async with desk.service.database.unit() as job:
                await store.ask(job, UUID(ids[asks_for]), "retention", "crm-service")
            running = asyncio.create_task(erase(desk.service))
            await waiting(desk.service, running)
        await running
        await erase(desk.service)
        assert await names(desk.service) == [], asks_for
    assert await violations(desk.service) == {}


async def test_each_of_a_merged_pair_asks_for_one_erasure(desk: Desk, eraser: httpx.AsyncClient) -> None:
    one, other = await created(eraser, "Ada"), await created(eraser, "Bea")
    await eraser.post(f"/v1/customers/{one}:merge", json={"customer_id": other})
    made = await asked(eraser, other)
    assert made["customer_id"] == one
    for state in ("pending", "done"):
        for id in (one, other):
            again = await eraser.post(f"/v1/customers/{id}:erase", json={"reason": "twice"})
            assert (again.status_code, again.json()["id"], again.json()["state"]) == (200, made["id"], state)
        await erase(desk.service)
    assert await names(desk.service) == [] and len((await eraser.get("/v1/erasures")).json()["items"]) == 1
    assert (await eraser.post(f"/v1/customers/{uuid4()}:erase", json={})).status_code == 404


@pytest.mark.parametrize(("erased", "left"), [("Ada", "Bea"), ("Bea", "Ada")])
async def test_restore_erases_no_more_than_was_erased(
    desk: Desk, eraser: httpx.AsyncClient, deliver: Deliver, erased: str, left: str
) -> None:
    """The backup has a merged pair. It was un-merged later, and one of the two was erased alone."""
    ids = {name: await created(eraser, name) for name in ("Ada", "Bea")}
    pair = {"customer_id": ids["Bea"]}
    await eraser.post(f"/v1/customers/{ids['Ada']}:merge", json=pair)
    async with backed_up(desk.service):
        assert (await eraser.post(f"/v1/customers/{ids['Ada']}:unmerge", json=pair)).status_code == 200
        await asked(eraser, ids[erased])
        assert await erase(desk.service) == {"erased": 1, "pending": 0}
        erasures = await events(desk.service, CustomerErased)
        unmerges = await events(desk.service, CustomersUnmerged)
    assert sorted(await names(desk.service)) == ["Ada", "Bea"]
    for event in (*erasures, *unmerges) if erased == "Ada" else (*unmerges, *erasures):  # in order by customer
        await deliver(desk.service, event)
        await erase(desk.service)
    assert await names(desk.service) == [left]
    shown = (await eraser.get(f"/v1/customers/{ids[left]}")).json()
    assert (shown["id"], shown["name"], shown["erased_at"], shown["merged"]) == (ids[left], left, None, [])
    assert len(await events(desk.service, CustomerErased)) == 1
