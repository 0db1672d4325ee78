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
    """A mail finds the customer, and its unit commits late. A new case comes after the end of the erasure.

    A reply has locked its case. So the erasure waits for it, and then the case that is open again holds it back.
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
    assert await filing == {"filed": 1} and (await erasing)["erased"] == (0 if reply else 1)
    if reply:
        assert [each["of"] for each in (await erasure(eraser, made["id"]))["holds"]] == [case["id"]]
        await desk.verb(case["id"], "resolve", root_cause="other")
    await erase(desk.service)
    done = await erasure(eraser, made["id"])
    assert (done["state"], done["missing"]) == ("done", []) and await with_mark(desk.service) == []
    assert await violations(desk.service) == {}
