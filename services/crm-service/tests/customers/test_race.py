"""Customers that are registered at the same moment, and those that are older than the index of duplicates."""

import asyncio

import httpx

from crm_service.customers.bodies import ChannelIn, CustomerDraft
from crm_service.customers.create import CreateCustomer, create_customer
from crm_service.customers.suspects import index_customers
from crossdock_chassis import Actor, JobRun, Service, new_id
from crossdock_chassis.jobs.rows import Claimed
from crossdock_events import Cause

WAITING = """
    SELECT true FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()
"""
PHONE = ChannelIn(kind="phone", value="+44 20 7183 8750")


def draft(name: str) -> CreateCustomer:
    return CreateCustomer(CustomerDraft(name=name, channels=[PHONE]), Actor("ann"), Cause(new_id(), None, None))


async def suspects(staff: httpx.AsyncClient) -> list[list[str]]:
    return [each["reasons"] for each in (await staff.get("/v1/customers/suspects")).json()["items"]]


async def test_customers_registered_at_once_suspect_each_other(service: Service, staff: httpx.AsyncClient) -> None:
    async def second() -> None:
        async with service.database.unit() as unit:
            await create_customer(unit, draft("Ada Example"))

    async with service.database.unit() as unit:
        await create_customer(unit, draft("Ada Example"))
        other = asyncio.create_task(second())
        async with service.database.unit() as looking:
            while not other.done() and not await looking.sql.fetchval(WAITING):
                await asyncio.sleep(0)
    await other
    assert await suspects(staff) == [["same_phone", "same_name"]]


async def test_customers_older_than_the_index_are_indexed(service: Service, staff: httpx.AsyncClient) -> None:
    for phone in (PHONE, PHONE):
        body = {"name": "Ada Example", "channels": [phone.model_dump(exclude_none=True)]}
        assert (await staff.post("/v1/customers", json=body)).status_code == 201
    await staff.post("/v1/customers", json={"name": "Ben Sample"})
    async with service.database.unit() as unit:
        await unit.sql.execute("DELETE FROM match_keys")
        await unit.sql.execute("DELETE FROM suspects")
    assert await suspects(staff) == []
    run = JobRun(service.database, Claimed(new_id(), None, "test", {}))
    assert (await index_customers(run), await index_customers(run)) == ({"indexed": 3}, {"indexed": 0})
    assert await suspects(staff) == [["same_phone", "same_name"]]
    found = (await staff.get("/v1/customers", params={"name": "ben"})).json()["items"]
    assert [each["name"] for each in found] == ["Ben Sample"]
