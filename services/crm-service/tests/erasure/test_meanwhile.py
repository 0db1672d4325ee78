"""What happens while an erasure runs: kill -9 of its worker, and mails that come."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import httpx
import pytest
from erasing import ADDRESS, asked, erase, erasure, events, marked, settled, waiting, with_mark
from mail_desk import DESK, Desk, mail

from crossdock_chassis import JobRun, Unit, new_id
from crossdock_chassis.jobs.rows import Claimed
from crossdock_chassis.testing import Deliver, Violations
from crossdock_events.customers import CustomerErased

WORKER = """
import asyncio
from crm_service.erasure.run import Erasing
from crm_service.service import Settings, build
from crossdock_chassis import JobRun, new_id
from crossdock_chassis.jobs.rows import Claimed

async def main():
    settings = Settings()
    run = JobRun(build(settings).database, Claimed(new_id(), None, "test", {}))
    await Erasing(settings.addresses).erase_customers(run)

asyncio.run(main())
"""


async def worker(desk: Desk) -> asyncio.subprocess.Process:
    settings = desk.service.settings
    given = {f"CROSSDOCK_{name.upper()}": str(getattr(settings, name)) for name in ("postgres", "kafka", "issuer")}
    environment = os.environ | given | {"CROSSDOCK_MAIL_KEY": "k"}
    return await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, env=environment)


async def test_killed_worker_leaves_the_rest_to_the_next(
    desk: Desk, eraser: httpx.AsyncClient, deliver: Deliver, violations: Violations
) -> None:
    """It is killed while it waits for the notes, after it has erased mails and files."""
    id = await marked(desk, eraser, deliver)
    await settled(desk, eraser, deliver, id)
    made = await asked(eraser, id)
    holder = await asyncpg.connect(desk.service.database.dsn)  # a unit may not idle for as long as a process starts
    async with holder.transaction():
        await holder.execute("SELECT FROM customer_activities FOR UPDATE")
        killed = await worker(desk)
        async with asyncio.timeout(120):
            await waiting(desk.service)
        killed.send_signal(signal.SIGKILL)
        assert await killed.wait() == -signal.SIGKILL
    await holder.close()
    shown = await erasure(eraser, made["id"])
    left = {each["store"] for each in shown["missing"]}
    assert shown["state"] == "pending" and shown["erased"] > 0
    assert "notes and calls" in left and "mails of cases" not in left and await with_mark(desk.service) != []
    assert await erase(desk.service) == {"erased": 1, "pending": 0}
    done = await erasure(eraser, made["id"])
    assert (done["state"], done["missing"]) == ("done", []) and done["erased"] > shown["erased"]
    assert await with_mark(desk.service) == [] and await erase(desk.service) == {"erased": 0, "pending": 0}
    ids = [each.event for each in await events(desk.service, CustomerErased)]
    assert len(ids) == len(set(ids)) == 2  # with the one that was merged into it
    assert await violations(desk.service) == {}


class Slow(JobRun):
    """A run whose units commit late."""

    written: asyncio.Event
    commits: asyncio.Event

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Unit]:
        async with super().unit() as unit:
            yield unit
            self.written.set()
            await self.commits.wait()


@pytest.mark.parametrize("reply", [False, True])
async def test_mail_during_an_erasure_leaves_nothing(
    desk: Desk, eraser: httpx.AsyncClient, deliver: Deliver, violations: Violations, *, reply: bool
) -> None:
    """A mail holds the customer, and its unit commits late. So the erasure waits, and then the open case holds it back.

    The case is a new one, or the one that the mail opens again.
    """
    id = await marked(desk, eraser, deliver)
    await settled(desk, eraser, deliver, id)
    (case, *_) = (await eraser.get("/v1/cases", params={"customer_id": id})).json()["items"]
    made = await asked(eraser, id)
    raw = mail("Zyxmark asks again", ADDRESS, Subject=f"Re: [#{case['number']}]" if reply else "Another matter")
    headers = {"content-type": "message/rfc822"}
    await eraser.post("/v1/mail", params={"recipient": DESK}, content=raw, headers=headers)
    slow = Slow(desk.service.database, Claimed(new_id(), None, "test", {}))
    slow.written, slow.commits = asyncio.Event(), asyncio.Event()
    filing = asyncio.create_task(desk.filing.file_mails(slow))
    await slow.written.wait()
    erasing = asyncio.create_task(erase(desk.service))
    await waiting(desk.service, erasing)
    slow.commits.set()
    assert await filing == {"filed": 1} and (await erasing)["erased"] == 0
    (held,) = (await erasure(eraser, made["id"]))["holds"]
    assert held["kind"] == "case" and (held["of"] == case["id"]) == reply
    await desk.verb(held["of"], "resolve", root_cause="other")
    await erase(desk.service)
    done = await erasure(eraser, made["id"])
    assert (done["state"], done["missing"]) == ("done", []) and await with_mark(desk.service) == []
    assert await violations(desk.service) == {}


@pytest.mark.parametrize("reply", [False, True])
async def test_mail_at_the_end_of_an_erasure_begins_anew(
    desk: Desk, eraser: httpx.AsyncClient, deliver: Deliver, *, reply: bool
) -> None:
    """The erasure commits while the mail waits for it. No case of the erased customer is open, and none is empty."""
    id = await marked(desk, eraser, deliver)
    await settled(desk, eraser, deliver, id)
    (case, *_) = (await eraser.get("/v1/cases", params={"customer_id": id})).json()["items"]
    await asked(eraser, id)
    holder = await asyncpg.connect(desk.service.database.dsn)
    try:
        async with holder.transaction():
            await holder.execute("SELECT FROM customers WHERE id = $1 FOR UPDATE", id)
            answers = desk.settings.addresses.of_case(case["number"]) if reply else DESK
            filing = asyncio.create_task(desk.receives(mail("Hello again", ADDRESS), answers))
            await waiting(desk.service, filing)
            await holder.execute(
                "DELETE FROM channels WHERE customer_id IN (SELECT id FROM customers WHERE root = $1)", id
            )
            await holder.execute("UPDATE customers SET erased_at = now() WHERE root = $1", id)
    finally:
        await holder.close()
    filed = await filing
    assert filed["state"] == "filed" and filed["case_id"] != case["id"]
    begun = await desk.case(filed["case_id"])
    assert begun["customer_id"] != id and begun["history"][0]["text"] == "Hello again"
    open_ones = (await eraser.get("/v1/cases", params={"customer_id": id, "status": "reopened"})).json()["items"]
    assert open_ones == []


async def test_reply_to_a_case_of_an_erased_customer_is_refused(
    desk: Desk, eraser: httpx.AsyncClient, deliver: Deliver
) -> None:
    id = await marked(desk, eraser, deliver)
    await settled(desk, eraser, deliver, id)
    (case, *_) = (await eraser.get("/v1/cases", params={"customer_id": id})).json()["items"]
    await asked(eraser, id)
    assert (await erase(desk.service))["erased"] == 1
    for verb, body in (("reply", {"text": "Hello?"}), ("reopen", None)):
        answer = await eraser.post(f"/v1/cases/{case['id']}:{verb}", json=body)
        assert (answer.status_code, answer.json()["type"].split(":")[-1]) == (409, "customer-erased"), answer.text
