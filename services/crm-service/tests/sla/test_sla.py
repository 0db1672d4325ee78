"""Clocks of real cases: due times, timers that fire once, and policies and calendars that change."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import holidays
import httpx
import pytest
from erasing import WAITING
from orders_of import placed
from sla_desk import look, pass_time

from crm_service.cases.open import CaseDraft, OpenCase, Opened, open_cases
from crm_service.cases.timing import LONG_AGO, Timers
from crossdock_chassis import Actor, Service, new_id
from crossdock_chassis.testing import Deliver, RunJobs, Violations, published
from crossdock_events import Cause


@pytest.fixture
async def case(service: Service, deliver: Deliver, staff: httpx.AsyncClient) -> dict[str, Any]:
    """Return a high complaint: 4 hours for the first answer and 24 for the resolution."""
    order = placed("C-1")
    await deliver(service, order)
    body = {"kind": "complaint", "subject": "Late", "text": "Where is it?", "severity": "high"}
    answer = await staff.post("/v1/cases", json={**body, "order_id": str(order.order_id)})
    assert answer.status_code == 201, answer.text
    opened: dict[str, Any] = answer.json()
    return opened


async def clocks(staff: httpx.AsyncClient, case: dict[str, Any]) -> dict[str, dict[str, Any]]:
    shown = (await staff.get(f"/v1/cases/{case['id']}")).json()
    return {each["clock"]: each for each in shown["clocks"]}


async def sla_events(service: Service) -> list[tuple[str, str]]:
    rows = [row for row in await published(service) if "Sla" in row["headers"]["ce_type"]]
    return [
        (row["headers"]["ce_type"].split(".")[1], row["value"].decode().split('"clock":"')[1].split('"')[0])
        for row in rows
    ]


def seconds_to(due: str, case: dict[str, Any]) -> float:
    return (datetime.fromisoformat(due) - datetime.fromisoformat(case["opened_at"])).total_seconds()


async def test_new_case_has_a_running_clock_for_answer_and_resolution(
    staff: httpx.AsyncClient, case: dict[str, Any]
) -> None:
    shown = await clocks(staff, case)
    assert seconds_to(shown["first_answer"]["due_at"], case) == 4 * 3600
    assert seconds_to(shown["resolution"]["due_at"], case) == 24 * 3600
    await staff.post(f"/v1/cases/{case['id']}:answer", json={"text": "We look into it."})
    shown = await clocks(staff, case)
    assert (shown["first_answer"]["state"], shown["resolution"]["state"]) == ("met", "running")


async def test_risk_and_breach_are_published_once(
    service: Service, staff: httpx.AsyncClient, case: dict[str, Any], violations: Violations
) -> None:
    assert await look(service) == 0
    await pass_time(service, 3.5)
    assert (await look(service), await look(service)) == (1, 0)
    await pass_time(service, 1)
    assert await look(service) == 1
    assert await sla_events(service) == [("SlaAtRisk", "first_answer"), ("SlaBreached", "first_answer")]
    await pass_time(service, 30)
    assert await look(service) == 1, "of a clock that has run out unseen, the breach alone is news"
    assert (await sla_events(service))[2:] == [("SlaBreached", "resolution")]
    await staff.post(f"/v1/cases/{case['id']}:note", json={"text": "too late"})
    assert await look(service) == 0
    assert await violations(service) == {}


async def test_mark_without_its_event_is_reported(
    service: Service, case: dict[str, Any], violations: Violations
) -> None:
    await pass_time(service, 5)
    await look(service)
    title = "clocks that were noticed otherwise than published"
    again = "UPDATE sla_marks SET clock = 'next_answer' WHERE noticed = 'breach'"
    assert title in await violations(service, again)
    assert await violations(service) == {}


async def test_two_workers_notice_a_timer_once(service: Service, case: dict[str, Any]) -> None:
    await pass_time(service, 5)
    assert sum(await asyncio.gather(look(service), look(service))) == 1


async def test_timer_of_a_case_that_waits_does_not_fire(
    service: Service, staff: httpx.AsyncClient, case: dict[str, Any]
) -> None:
    url = f"/v1/cases/{case['id']}"
    await staff.post(f"{url}:answer", json={"text": "Which colour?"})
    await staff.post(f"{url}:wait", json={"what": "customer"})
    await pass_time(service, 100)
    assert await look(service) == 0
    await staff.post(f"{url}:reply", json={"text": "Blue."})
    assert (await clocks(staff, case))["resolution"]["state"] == "running"
    await staff.post(f"{url}:resolve")
    assert (await clocks(staff, case))["resolution"]["state"] == "met"


async def test_stale_timer_is_decided_anew_under_the_lock(service: Service, case: dict[str, Any]) -> None:
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE case_timers SET due_at = now() - interval '1 hour'")
    assert await look(service) == 0
    async with service.database.unit() as unit:
        assert await unit.sql.fetchval(
            "SELECT min(due_at) > now() FROM case_timers WHERE case_id = $1", UUID(case["id"])
        )


async def test_changed_policy_times_open_cases_anew(
    service: Service, staff: httpx.AsyncClient, case: dict[str, Any], run_jobs: RunJobs
) -> None:
    await pass_time(service, 2)
    body = {"first_answer_seconds": 3600, "resolution_seconds": 48 * 3600}
    answer = await staff.put("/v1/sla/policies/complaint/high", json=body)
    assert answer.status_code == 200, answer.text
    assert await look(service) == 0
    (job,) = await run_jobs(service)
    assert job.result == {"retimed": 1}
    assert await look(service) == 1, "the time that has passed counts under the new policy"
    await staff.put("/v1/sla/policies/complaint/high", json=body)
    assert len(await run_jobs(service)) == 1, "the same policy again asks for nothing"


async def test_calendar_moves_the_due_time_into_opening_hours(
    staff: httpx.AsyncClient, case: dict[str, Any], service: Service
) -> None:
    days = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    openings = [{"day": day, "begins": "10:00", "ends": "11:00"} for day in days]
    answer = await staff.put("/v1/sla/calendars/office", json={"zone": "Asia/Kolkata", "openings": openings})
    assert answer.status_code == 200, answer.text
    body = {"first_answer_seconds": 3600, "resolution_seconds": 7200, "calendar": "office"}
    shown = (await staff.put("/v1/sla/policies/complaint/high", json=body)).json()
    assert shown["calendars"][0]["openings"] == openings and len(shown["policies"]) == 12
    due = datetime.fromisoformat((await clocks(staff, case))["resolution"]["due_at"])
    minute = due.hour * 60 + due.minute
    assert 270 <= minute <= 330, "10:00 to 11:00 in Kolkata is 04:30 to 05:30 UTC"


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("policies/complaint/high", {"first_answer_seconds": 1, "resolution_seconds": 60}, "/first_answer_seconds"),
        (
            "policies/complaint/high",
            {"first_answer_seconds": 60, "resolution_seconds": 60, "calendar": "x"},
            "/calendar",
        ),
        ("calendars/a", {"zone": "Mars/North", "openings": []}, "/zone"),
        ("calendars/a", {"zone": "UTC", "openings": []}, "/openings"),
        (
            "calendars/a",
            {"zone": "UTC", "openings": [{"day": "monday", "begins": "12:00", "ends": "09:00"}]},
            "/openings/0",
        ),
        (
            "calendars/a",
            {"zone": "UTC", "openings": [{"day": "monday", "begins": "09:00", "ends": "10:00"}], "holidays": "XX"},
            "/holidays",
        ),
    ],
)
async def test_bad_policy_or_calendar_is_refused_with_its_pointer(
    staff: httpx.AsyncClient, path: str, body: dict[str, Any], pointer: str
) -> None:
    answer = await staff.put(f"/v1/sla/{path}", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def set_policy(staff: httpx.AsyncClient, of: str = "", **more: Any) -> dict[str, Any]:
    """Set the policy of high complaints: 4 hours for the first answer and 24 for the resolution."""
    body = {"first_answer_seconds": 4 * 3600, "resolution_seconds": 24 * 3600, **more}
    answer = await staff.put(f"/v1/sla/policies/complaint/high{of}", json=body)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def levels(service: Service) -> list[int]:
    rows = [row for row in await published(service) if "Escalated" in row["headers"]["ce_type"]]
    return [json.loads(row["value"])["level"] for row in rows]


async def test_case_is_escalated_once_at_each_step(
    service: Service, staff: httpx.AsyncClient, case: dict[str, Any], run_jobs: RunJobs, violations: Violations
) -> None:
    await set_policy(staff, escalation_seconds=[10 * 3600, 30 * 3600])
    await run_jobs(service)
    await pass_time(service, 11)
    assert await look(service) == 2, "the breach of the first answer, and step 1"
    assert (await levels(service), await look(service)) == ([1], 0)
    await pass_time(service, 21)
    await look(service)
    shown = (await staff.get(f"/v1/cases/{case['id']}")).json()
    assert (await levels(service), shown["level"]) == ([1, 2], 2)
    assert [each["did"] for each in shown["history"]] == ["opened", "escalated", "escalated"]
    assert await violations(service) == {}


async def test_step_of_the_clock_is_left_out_after_staff_escalated(
    service: Service, staff: httpx.AsyncClient, case: dict[str, Any], run_jobs: RunJobs, violations: Violations
) -> None:
    await set_policy(staff, escalation_seconds=[10 * 3600])
    await run_jobs(service)
    assert (await staff.post(f"/v1/cases/{case['id']}:escalate")).json()["level"] == 1
    await pass_time(service, 11)
    await look(service)
    assert await levels(service) == [1]
    assert await violations(service) == {}


async def test_each_later_message_has_its_own_clock(
    service: Service, staff: httpx.AsyncClient, case: dict[str, Any], violations: Violations
) -> None:
    url = f"/v1/cases/{case['id']}"
    await staff.post(f"{url}:reply", json={"text": "Hello?"})
    assert "next_answer" not in await clocks(staff, case), "the first answer is still to come"
    for _ in range(2):
        await staff.post(f"{url}:answer", json={"text": "We look into it."})
        await staff.post(f"{url}:reply", json={"text": "And?"})
        await pass_time(service, 4.1)
        await look(service)
    assert (await clocks(staff, case))["next_answer"]["state"] == "running"
    breaches = [each for each in await sla_events(service) if each == ("SlaBreached", "next_answer")]
    assert len(breaches) == 2
    await staff.post(f"{url}:answer", json={"text": "It comes."})
    assert (await clocks(staff, case))["next_answer"]["state"] == "missed"
    assert await violations(service) == {}


async def test_policy_of_a_contract_counts_before_that_of_a_segment(
    staff: httpx.AsyncClient, case: dict[str, Any]
) -> None:
    await set_policy(staff, "?segment=key", resolution_seconds=7200)
    await set_policy(staff, "?contract=gold", resolution_seconds=3600)
    order = case["ties"][0]["order_id"]
    body = {"kind": "complaint", "subject": "s", "text": "t", "severity": "high", "order_id": order}
    for terms, seconds in (
        ({"segment": "key"}, 7200),
        ({"segment": "key", "contract": "gold"}, 3600),
        ({"segment": "other"}, 24 * 3600),
    ):
        answer = await staff.put(f"/v1/sla/customers/{case['customer_id']}", json=terms)
        assert answer.status_code == 200, answer.text
        opened = (await staff.post("/v1/cases", json=body)).json()
        assert {each["clock"]: each["target_seconds"] for each in opened["clocks"]}["resolution"] == seconds
    missing = await staff.put("/v1/sla/customers/019c0000-0000-7000-8000-000000000001", json={})
    assert missing.status_code == 404


async def test_active_cases_take_over_terms_and_keep_what_has_passed(
    service: Service, staff: httpx.AsyncClient, case: dict[str, Any], run_jobs: RunJobs, violations: Violations
) -> None:
    """Three of 24 hours have passed. With a contract for four hours, one is left, and the case is at risk."""
    await set_policy(staff, "?contract=gold", resolution_seconds=4 * 3600)
    await run_jobs(service)
    url, resolved = f"/v1/sla/customers/{case['customer_id']}", await _resolved(staff, case)
    await pass_time(service, 3)
    assert (await clocks(staff, case))["resolution"]["target_seconds"] == 24 * 3600
    assert (await staff.put(url, json={"contract": "gold"})).status_code == 200
    jobs = len(await run_jobs(service))
    resolution = (await clocks(staff, case))["resolution"]
    assert (resolution["target_seconds"], resolution["state"]) == (4 * 3600, "running")
    left = datetime.fromisoformat(resolution["due_at"]) - datetime.now(UTC)
    assert 3590 < left.total_seconds() <= 3600 and 3 * 3600 <= resolution["elapsed_seconds"] < 3 * 3600 + 60
    assert await look(service) == 0
    await pass_time(service, 0.5)
    assert await look(service) == 2, "the first answer is at risk, too"
    assert ("SlaAtRisk", "resolution") in await sla_events(service)
    assert (await clocks(staff, resolved))["resolution"]["target_seconds"] == 24 * 3600
    assert (await staff.put(url, json={"contract": "gold"})).status_code == 200
    assert len(await run_jobs(service)) == jobs, "the same terms time nothing anew"
    assert await violations(service) == {}


async def _resolved(staff: httpx.AsyncClient, case: dict[str, Any]) -> dict[str, Any]:
    order = case["ties"][0]["order_id"]
    body = {"kind": "complaint", "subject": "s", "text": "t", "severity": "high", "order_id": order}
    opened: dict[str, Any] = (await staff.post("/v1/cases", json=body)).json()
    assert (await staff.post(f"/v1/cases/{opened['id']}:resolve", json={"root_cause": "other"})).status_code == 200
    return opened


async def test_special_days_are_shown_with_years_not_yet_official(staff: httpx.AsyncClient) -> None:
    body = {
        "zone": "Asia/Shanghai",
        "openings": [{"day": "monday", "begins": "09:00", "ends": "18:00"}],
        "holidays": "CN",
        "special": [
            {"day": "2026-12-31", "openings": [{"begins": "09:00", "ends": "12:00"}]},
            {"day": "2027-01-04", "openings": []},
        ],
    }
    answer = await staff.put("/v1/sla/calendars/office", json=body)
    assert answer.status_code == 200, answer.text
    (calendar,) = answer.json()["calendars"]
    assert calendar["special"] == body["special"]
    newest = max(year for year in holidays.country_holidays("CN").special_public_holidays if isinstance(year, int))
    this = datetime.now(UTC).year
    assert calendar["unknown_years"] == [year for year in (this, this + 1) if year > newest]
    twice = {**body, "special": [{"day": "2026-12-31"}, {"day": "2026-12-31"}]}
    assert (await staff.put("/v1/sla/calendars/office", json=twice)).status_code == 422


async def test_look_at_timers_begins_at_its_mark_and_misses_none(
    service: Service, staff: httpx.AsyncClient, case: dict[str, Any], run_jobs: RunJobs
) -> None:
    timers = Timers()
    assert await look(service, timers) == 0 and timers.mark > LONG_AGO
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE case_entries SET at = at - interval '5 hours'")
    await set_policy(staff, next_answer_seconds=60)
    await run_jobs(service)
    assert await look(service, timers) == 1, "a moment in the past is stored as due now"


@pytest.mark.parametrize("change", ["policies/complaint/high", "customers/{customer}"])
async def test_case_opened_during_a_change_has_the_new_terms(
    service: Service,
    staff: httpx.AsyncClient,
    case: dict[str, Any],
    run_jobs: RunJobs,
    violations: Violations,
    change: str,
) -> None:
    """The unit of the new case commits late. The change waits for it, so that its job sees the case."""
    await set_policy(staff, "?contract=gold", resolution_seconds=4 * 3600, first_answer_seconds=600)
    await run_jobs(service)
    draft = CaseDraft.model_validate(
        {"kind": "complaint", "subject": "s", "text": "t", "severity": "high", "customer_id": case["customer_id"]}
    )
    body = {"contract": "gold"} if "customers" in change else {"first_answer_seconds": 600, "resolution_seconds": 7200}
    async with service.database.unit() as unit:
        (opened,) = await open_cases(unit, [OpenCase(draft, None, Actor("ann"), Cause(new_id()))])
        path = f"/v1/sla/{change.format(customer=case['customer_id'])}"
        changing = asyncio.create_task(staff.put(path, json=body))
        while not (await service.database.fetch(WAITING))[0][0] and not changing.done():
            await asyncio.sleep(0.01)
        if changing.done():
            await run_jobs(service)
    assert (await changing).status_code == 200
    await run_jobs(service)
    assert isinstance(opened, Opened)
    (due,) = await service.database.fetch(
        "SELECT due_at - opened_at AS after FROM case_timers JOIN cases ON id = case_id "
        "WHERE case_id = $1 AND clock = 'first_answer' AND noticed = 'breach'",
        opened.case_id,
    )
    assert due["after"].total_seconds() == 600
    assert await violations(service) == {}
