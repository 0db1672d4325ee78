"""Queues of a real desk: cases find a person, and leave one who goes."""

import asyncio
from typing import Any

import httpx
import pytest
from orders_of import placed

from crm_service.queues.assigning import assign_cases
from crossdock_chassis import JobRun, Service, new_id
from crossdock_chassis.jobs.rows import Claimed
from crossdock_chassis.testing import Deliver, Violations

HOURS = [{"day": "monday", "begins": "00:00", "ends": "00:01"}]


async def run(service: Service) -> dict[str, Any]:
    return dict(await assign_cases(JobRun(service.database, Claimed(new_id(), None, "test", {}))))


async def put(staff: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    answer = await staff.put(f"/v1/{path}", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
async def cases(service: Service, deliver: Deliver, staff: httpx.AsyncClient) -> list[str]:
    """Return three complaints of a queue that needs German, the oldest first."""
    await put(staff, "queues/complaints", kind="complaint", skill="german")
    order = placed("C-1")
    await deliver(service, order)
    body = {"kind": "complaint", "subject": "s", "text": "t", "order_id": str(order.order_id)}
    return [(await staff.post("/v1/cases", json=body)).json()["id"] for _ in range(3)]


async def assignees(staff: httpx.AsyncClient, cases: list[str]) -> list[str | None]:
    return [(await staff.get(f"/v1/cases/{each}")).json()["assignee"] for each in cases]


async def test_oldest_cases_go_to_present_agents_with_the_skill(
    service: Service, staff: httpx.AsyncClient, cases: list[str], violations: Violations
) -> None:
    await put(staff, "agents/ann", skills=["german"], capacity=2, present=True)
    await put(staff, "agents/ben", skills=["french"], capacity=9, present=True)
    await put(staff, "agents/cem", skills=["german"], capacity=9, present=False)
    await put(staff, "sla/calendars/night", zone="UTC", openings=HOURS, special=[])
    assert (await run(service))["assigned"] == 2
    assert await assignees(staff, cases) == ["ann", "ann", None]
    await staff.post(f"/v1/cases/{cases[0]}:resolve")
    await run(service)
    assert await assignees(staff, cases) == ["ann", "ann", "ann"]
    assert await violations(service) == {}


async def test_cases_of_an_agent_who_leaves_go_to_another(
    service: Service, staff: httpx.AsyncClient, cases: list[str], violations: Violations
) -> None:
    await put(staff, "agents/ann", skills=["german"], present=True)
    await run(service)
    await put(staff, "agents/dee", skills=["german"], present=True)
    await put(staff, "agents/ann", skills=["german"], present=False)
    assert await run(service) == {"released": 3, "assigned": 3}
    assert await assignees(staff, cases) == ["dee"] * 3
    history = (await staff.get(f"/v1/cases/{cases[0]}")).json()["history"]
    assert [each["did"] for each in history] == ["opened", "assigned", "released", "assigned"]
    assert await violations(service) == {}


async def test_agent_out_of_shift_keeps_and_gets_nothing(
    service: Service, staff: httpx.AsyncClient, cases: list[str]
) -> None:
    await put(staff, "sla/calendars/past", zone="UTC", openings=HOURS)
    closed = [{"day": f"2026-{month:02}-{day:02}"} for month in range(11, 13) for day in range(1, 31)]
    await put(staff, "sla/calendars/never", zone="UTC", openings=HOURS, special=closed)
    await put(staff, "agents/ann", skills=["german"], present=True, calendar="never")
    assert (await run(service))["assigned"] == 0
    await put(staff, "agents/ann", skills=["german"], present=True)
    assert (await run(service))["assigned"] == 3
    await put(staff, "agents/ann", skills=["german"], present=True, calendar="never")
    assert await run(service) == {"released": 3, "assigned": 0}
    assert await assignees(staff, cases) == [None] * 3
    answer = await staff.put("/v1/agents/ann", json={"present": True, "calendar": "none"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/calendar")


async def test_two_workers_assign_each_case_once(service: Service, staff: httpx.AsyncClient, cases: list[str]) -> None:
    await put(staff, "agents/ann", skills=["german"], present=True)
    found = await asyncio.gather(run(service), run(service))
    assert sum(each["assigned"] for each in found) == 3


async def test_queue_that_names_more_counts(service: Service, staff: httpx.AsyncClient, cases: list[str]) -> None:
    desk = await put(staff, "queues/lost", kind="complaint", category="lost")
    assert [each["name"] for each in desk["queues"]] == ["complaints", "lost"]
    first = (await staff.get(f"/v1/cases/{cases[0]}")).json()
    body = {"kind": "complaint", "subject": "s", "text": "t", "category": "lost", "customer_id": first["customer_id"]}
    opened = (await staff.post("/v1/cases", json=body)).json()
    assert (first["queue"], opened["queue"]) == ("complaints", "lost")
    assert (await staff.delete("/v1/queues/lost")).status_code == 200
    assert (await staff.delete("/v1/queues/lost")).status_code == 404
