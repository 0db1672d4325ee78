"""Mails that are filed in one unit: each ends as it would alone, and the statements do not grow with their number."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from mail_desk import DESK, Desk, mail

from crm_service.mail.filing import independent
from crm_service.mail.reading import Read
from crm_service.mail.threads import Mail
from crossdock_chassis import JobRun, Unit, new_id
from crossdock_chassis.jobs.rows import Claimed
from crossdock_chassis.testing import Violations


class Counting(JobRun):
    """A run that counts the statements of its units."""

    statements: int = 0
    units: int = 0

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Unit]:
        async with super().unit() as unit:
            self.units += 1
            with unit.sql.query_logger(self._count):
                yield unit

    def _count(self, _: object) -> None:
        self.statements += 1


async def handed_over(desk: Desk, *mails: bytes) -> list[str]:
    ids = []
    for each in mails:
        headers = {"content-type": "message/rfc822"}
        answer = await desk.staff.post("/v1/mail", params={"recipient": DESK}, content=each, headers=headers)
        ids.append(answer.json()["mail_id"])
    return ids


async def filed(desk: Desk) -> Counting:
    run = Counting(desk.service.database, Claimed(new_id(), None, "test", {}))
    await desk.filing.file_mails(run)
    return run


async def shown(staff: httpx.AsyncClient, id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await staff.get(f"/v1/mail/{id}")).json()
    return found


async def test_statements_do_not_grow_with_the_number_of_mails(desk: Desk, violations: Violations) -> None:
    counts = []
    for number in (1, 2, 30):  # the first run also asks for the types of arrays
        await handed_over(desk, *(mail(sender=f"c{each}-{number}@example.com") for each in range(number)))
        run = await filed(desk)
        assert run.units == 1
        counts.append(run.statements)
    assert counts[1] == counts[2] < 25
    assert len(await desk.out("requested")) == 33, "each sender has an acknowledgement"
    assert len((await desk.staff.get("/v1/customers", params={"limit": 200})).json()["items"]) == 33
    assert await violations(desk.service) == {}


async def test_mails_of_one_batch_know_each_other(desk: Desk, violations: Violations) -> None:
    """One sender writes twice, another answers the first mail, and a third mail comes two ways."""
    one = mail("First", "ada@example.com", Message_ID="<one@example.com>")
    again = mail("Second", "Ada@example.com", Message_ID="<two@example.com>")
    answer = mail("I wait too", "ben@example.com", In_Reply_To="<one@example.com>")
    other_way = b"Received: from elsewhere\n" + one
    first, second, third, fourth = [
        await shown(desk.staff, id) for id in await filed_together(desk, one, again, answer, other_way)
    ]
    assert [each["state"] for each in (first, second, third, fourth)] == ["filed", "filed", "filed", "duplicate"]
    assert first["case_id"] == third["case_id"] == fourth["case_id"] != second["case_id"]
    cases = [await desk.case(each["case_id"]) for each in (first, second)]
    assert cases[0]["customer_id"] == cases[1]["customer_id"]
    assert [each["text"] for each in cases[0]["history"]] == ["First", "I wait too"]
    assert await desk.out("suppressed") == [("acknowledgement", "acknowledged within a day")]
    assert await violations(desk.service) == {}


async def filed_together(desk: Desk, *mails: bytes) -> list[str]:
    ids = await handed_over(desk, *mails)
    assert (await filed(desk)).units == 1
    return ids


async def test_mail_that_cannot_be_filed_leaves_the_others(desk: Desk, violations: Violations) -> None:
    """The customer of one address cannot be registered: a trigger refuses it."""
    async with desk.service.database.unit() as unit:
        await unit.sql.execute("ALTER TABLE channels ADD CHECK (address <> 'bad@example.com')")
    senders = ["ada@example.com", "bad@example.com", "cy@example.com"]
    found = [await shown(desk.staff, id) for id in await filed_together(desk, *(mail(sender=each) for each in senders))]
    assert [each["state"] for each in found] == ["filed", "unreadable", "filed"]
    assert found[1]["reason"] == "it cannot be filed: CheckViolationError"
    assert await violations(desk.service) == {}


def test_mails_are_parted_where_one_depends_on_another() -> None:
    def one(sender: str, id: str | None, *references: str) -> Mail:
        return Mail(new_id(), b"", DESK, Read(sender, "s", "t", id, references, None), [])

    a, b, c, d = one("a@x", "<1>"), one("b@x", "<2>"), one("A@x", "<3>"), one("d@x", None, "<3>")
    assert [list(each) for each in independent([a, b, c, d])] == [[a, b], [c], [d]]
    assert list(independent([])) == []
