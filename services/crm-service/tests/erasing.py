"""Customers with a mark in each personal value, and their erasure."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import httpx
from mail_desk import Desk, mail
from orders_of import placed

from crm_service.erasure.run import Erasing
from crossdock_chassis import JobRun, Service, Unit, new_id
from crossdock_chassis.imports import rows
from crossdock_chassis.imports.sheet import ReadRow, RowError
from crossdock_chassis.jobs.rows import Claimed
from crossdock_chassis.testing import Deliver, published
from crossdock_events import CATALOGUE, Envelope, Event, Message
from crossdock_events.orders import OrderConfirmed

MARK = "Zyxmark"
ADDRESS = "zyxmark@example.com"
COLUMNS = """
    SELECT relname || '.' || attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace AND attnum > 0
          AND NOT attisdropped
          AND format_type(atttypid, NULL) NOT IN
              ('uuid', 'integer', 'bigint', 'boolean', 'timestamp with time zone', 'double precision')
"""
RESTORED = (
    *("customers", "channels", "customer_links", "customer_meetings", "cases", "case_entries", "mails"),
    *("customer_changes", "erasures", "erased_links", "attachments", "attachment_chunks"),
)
WAITING = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())"
TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"


class Dying(JobRun):
    """A run whose process is killed after so many units."""

    left: int

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Unit]:
        self.left -= 1
        async with super().unit() as unit:
            if self.left < 0:
                raise KilledError
            yield unit


class KilledError(Exception):
    pass


async def erase(service: Service, units: int = 1_000) -> dict[str, object]:
    """Run the job, and return its result: nothing if it is killed after so many units."""
    erasing = Erasing(service.settings.addresses)  # type: ignore[attr-defined]
    run = Dying(service.database, Claimed(new_id(), None, "test", {}))
    run.left = units
    try:
        return dict(await erasing.erase_customers(run))
    except KilledError:
        return {}


@asynccontextmanager
async def backed_up(service: Service) -> AsyncIterator[None]:
    """Give the tables back what they have now at the end, as a restored dump does. Events that were sent stay."""
    async with service.database.unit() as unit:
        for table in RESTORED:
            await unit.sql.execute(f"CREATE TABLE old_{table} AS TABLE {table}")
    yield
    async with service.database.unit() as unit:
        for table in RESTORED:
            await unit.sql.execute(f"DELETE FROM {table}")
            await unit.sql.execute(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM old_{table}")
            await unit.sql.execute(f"DROP TABLE old_{table}")


async def settled(desk: Desk, eraser: httpx.AsyncClient, deliver: Deliver, id: str) -> None:
    """Confirm the orders of a customer, so that they hold nothing back."""
    for order in (await eraser.get(f"/v1/customers/{id}/360")).json()["orders"]:
        confirmed = OrderConfirmed(order_id=UUID(order["id"]), partner="acme", reference=order["reference"])
        await deliver(desk.service, confirmed)


async def asked(eraser: httpx.AsyncClient, id: str) -> dict[str, Any]:
    answer = await eraser.post(f"/v1/customers/{id}:erase", json={})
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def erasure(eraser: httpx.AsyncClient, id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await eraser.get(f"/v1/erasures/{id}")).json()
    return found


async def waiting(service: Service, task: asyncio.Task[object] | None = None) -> None:
    """Wait until a session waits for a lock, or until the task has ended."""
    while not (await service.database.fetch(WAITING))[0][0] and not (task and task.done()):
        await asyncio.sleep(0.01)


async def events(service: Service, kind: type[Event]) -> list[Envelope[Event]]:
    found = []
    for row in await published(service):
        headers = {name: value.encode() for name, value in row["headers"].items()}
        decoded = CATALOGUE.decode(Message(row["topic"], row["key"], row["value"], headers))
        if isinstance(decoded, Envelope) and isinstance(decoded.event, kind):
            found.append(decoded)
    return found


async def with_mark(service: Service, mark: str = MARK) -> list[str]:
    """Return the tables with the mark in any column, also in bytes."""
    async with service.database.unit() as unit:
        return await found_in(unit.sql, mark)


async def found_in(sql: asyncpg.Connection, mark: str = MARK) -> list[str]:
    found = []
    for (table,) in await sql.fetch(TABLES):
        rows = f"SELECT count(*) FROM {table} AS t WHERE t::text ILIKE $1 OR t::text LIKE $2"
        if await sql.fetchval(rows, f"%{mark}%", f"%{mark.encode().hex()}%"):
            found.append(table)
    return sorted(found)


async def broken_off(service: Service, eraser: httpx.AsyncClient) -> None:
    """Stop an import of the customer while its file is read: with a row, and with an error."""
    row = {"partner": "acme", "external_id": "C-1", "name": MARK, "email": ADDRESS}
    file = "\n".join(",".join(each) for each in (row, row.values()))
    path = "/v1/customers:import"
    made = (await eraser.post(path, content=file.encode(), headers={"content-type": "text/csv"})).json()
    stopped = (await eraser.post(f"/v1/imports/{made['id']}:stop")).json()
    assert stopped["state"] == "stopped"
    async with service.database.unit() as unit:
        id = UUID(made["id"])
        await rows.stage(unit.sql, id, [ReadRow(2, id.bytes, json.dumps(row))])
        await rows.add_errors(unit.sql, id, 0, [RowError(2, MARK, "unknown column")])


async def marked(desk: Desk, eraser: httpx.AsyncClient, deliver: Deliver) -> str:
    """Put the mark into each personal value, and return the id of the customer."""
    order = placed("C-1")
    await deliver(desk.service, order)
    (met,) = (await eraser.get("/v1/customers", params={"order_id": str(order.order_id)})).json()["items"]
    id: str = met["id"]
    path = f"/v1/customers/{id}"
    await eraser.put("/v1/customers/schema", json={"properties": {"nick": {"type": "string"}}})
    profile = {
        "name": f"{MARK} Sample",
        "born_on": "1980-02-29",
        "zone": "Europe/London",
        "locale": "en",
        "region": "GB",
        "owner": MARK,
        "tags": [MARK.lower()],
        "fields": {"nick": MARK},
        "email": ADDRESS,
    }
    address = {"purpose": "home", "street": f"1 {MARK} Street", "city": MARK, "country": "GB", "postcode": "LS1 4AP"}
    twin = {"name": f"{MARK} Sample", "born_on": "1980-02-29"}
    for verb, body in {
        "": profile,
        ":add-channel": {"kind": "phone", "value": "020 7183 8750"},
        ":add-address": address,
        ":note": {"text": MARK},
        ":call": {"text": MARK, "direction": "in"},
        ":consent": {"purpose": "marketing", "channel": "email", "state": "withdrawn", "source": "form"},
    }.items():
        key = {"Idempotency-Key": str(new_id())}
        done = await eraser.request("POST" if verb else "PATCH", path + verb, json=body, headers=key)
        assert done.status_code in (200, 201), (verb, done.text)
    other = (await eraser.post("/v1/customers", json=twin)).json()
    assert (await eraser.post(f"{path}:merge", json={"customer_id": other["id"]})).status_code == 200
    terms = await eraser.put(f"/v1/sla/customers/{id}", json={"segment": "gold", "contract": "x"})
    assert terms.status_code == 200, terms.text
    await desk.receives(mail(f"{MARK} writes", ADDRESS, Subject=f"{MARK} asks"))
    body = {"kind": "complaint", "subject": f"{MARK} s", "text": MARK, "order_id": str(order.order_id)}
    case = (await eraser.post("/v1/cases", json=body, headers={"Idempotency-Key": "opened"})).json()
    await desk.verb(case["id"], "answer", text=f"Dear {MARK}")
    file = await eraser.post(
        f"/v1/cases/{case['id']}/attachments",
        params={"name": f"{MARK}.txt"},
        content=MARK.encode(),
        headers={"content-type": "application/octet-stream", "idempotency-key": "attached"},
    )
    assert file.status_code == 201
    await broken_off(desk.service, eraser)
    unreadable = await desk.receives(f"From: {ADDRESS}\r\nX: {'x' * 280_000}\r\n\r\n{MARK}".encode())
    assert unreadable["state"] == "unreadable"
    machine = mail(MARK, ADDRESS, Subject=MARK, Auto_Submitted="auto-replied")
    await desk.receives(machine)
    for each in (await eraser.get("/v1/cases", params={"customer_id": id})).json()["items"]:
        await desk.verb(each["id"], "resolve", root_cause="other")
    return id
