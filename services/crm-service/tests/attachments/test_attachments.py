"""Files of cases: streamed in and out, from mails too, and harmless."""

import asyncio
import os
from collections.abc import AsyncIterator
from email.message import EmailMessage
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import httpx
import pytest
from mail_desk import Desk, mail
from orders_of import placed

from crm_service.attachments.checks import NOT_WHOLE
from crm_service.attachments.model import MAX_BYTES, safe_name
from crm_service.attachments.store import sweep
from crossdock_chassis import Service
from crossdock_chassis.testing import Clients, Deliver, Violations

OCTETS = {"content-type": "application/octet-stream"}


@pytest.fixture
async def case(service: Service, partner: httpx.AsyncClient, deliver: Deliver) -> str:
    """Return the path of the attachments of a case of acme."""
    order = placed("C-1")
    await deliver(service, order)
    body = {"kind": "complaint", "subject": "s", "text": "t", "order_id": str(order.order_id)}
    return f"/v1/cases/{(await partner.post('/v1/cases', json=body)).json()['id']}/attachments"


async def attach(client: httpx.AsyncClient, path: str, content: Any = b"x", **params: Any) -> httpx.Response:
    headers = OCTETS | params.pop("headers", {})
    return await client.post(path, params={"name": "photo.jpg"} | params, content=content, headers=headers)


async def test_file_comes_back_as_it_went(
    service: Service, partner: httpx.AsyncClient, staff: httpx.AsyncClient, case: str, violations: Violations
) -> None:
    content = os.urandom(3 * 256 * 1024 + 5)

    async def pieces() -> AsyncIterator[bytes]:
        for place in range(0, len(content), 10_000):
            yield content[place : place + 10_000]

    made = await attach(partner, case, pieces(), name="../../图 1.png", media_type="image/png")
    assert made.status_code == 201, made.text
    shown = made.json()
    assert (shown["name"], shown["size"], shown["side"]) == ("图 1.png", len(content), "partner")
    for client in (partner, staff):
        got = await client.get(made.headers["location"])
        assert got.content == content and got.headers["content-type"] == "image/png"
        assert got.headers["x-content-type-options"] == "nosniff"
        assert unquote(got.headers["content-disposition"]) == "attachment; filename*=UTF-8''图 1.png"
    assert (await staff.get(case)).json()["items"] == [shown]
    assert await violations(service) == {}
    broken = await violations(service, "DELETE FROM attachment_chunks WHERE number = 1")
    assert broken.keys() == {NOT_WHOLE.title}


async def test_same_key_attaches_once(partner: httpx.AsyncClient, case: str, service: Service) -> None:
    first, again, other = [
        await attach(partner, case, content, headers={"idempotency-key": "k"}) for content in (b"a", b"a", b"b")
    ]
    assert (first.json()["id"], again.headers["idempotent-replayed"]) == (again.json()["id"], "true")
    assert other.status_code == 422
    async with service.database.unit() as unit:
        assert await unit.sql.fetchval("SELECT count(*) FROM attachment_chunks") == 1
        assert await unit.sql.fetchval("SELECT count(*) FROM attachments") == 1


async def test_other_partner_and_hidden_file_are_404(
    service: Service, staff: httpx.AsyncClient, partner: httpx.AsyncClient, case: str, clients: Clients
) -> None:
    hidden = await attach(staff, case, internal=True)
    seen = await attach(staff, case)
    assert (await partner.get(hidden.headers["location"])).status_code == 404
    assert [each["id"] for each in (await partner.get(case)).json()["items"]] == [seen.json()["id"]]
    other = clients(service, "globex", ["crm:read", "crm:write"])
    assert (await other.get(seen.headers["location"])).status_code == 404
    assert (await other.get(case)).status_code == 404
    assert (await attach(other, case)).json()["type"] == (await other.get(case)).json()["type"]


async def test_large_or_broken_upload_leaves_nothing(service: Service, partner: httpx.AsyncClient, case: str) -> None:
    assert (await attach(partner, case, b"x" * (MAX_BYTES + 1))).status_code == 413

    begun = asyncio.Event()

    async def breaks() -> AsyncIterator[bytes]:
        yield b"x" * 300_000
        begun.set()
        await asyncio.Event().wait()
        yield b""

    upload = asyncio.create_task(attach(partner, case, breaks()))
    await begun.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    async with service.database.unit() as unit:
        for table in ("attachments", "attachment_chunks"):
            assert await unit.sql.fetchval(f"SELECT count(*) FROM {table}") == 0
    assert (await attach(partner, case, name="")).status_code == 422
    assert (await attach(partner, case, headers={"content-type": "text/plain"})).status_code == 415
    assert (await attach(partner, case, b"")).json()["size"] == 0


async def test_upload_of_a_dead_process_is_swept(service: Service, partner: httpx.AsyncClient, case: str) -> None:
    kept = (await attach(partner, case)).json()["id"]
    async with service.database.unit() as unit:
        await unit.sql.execute(
            "INSERT INTO attachments (id, case_id, name, media_type, internal, side, begun_at) "
            "SELECT gen_random_uuid(), case_id, name, media_type, internal, side, now() - interval '2 hours' "
            "FROM attachments"
        )
    async with service.database.unit() as unit:
        assert await sweep(unit) == {"dropped": 1}
        assert [row["id"] for row in await unit.sql.fetch("SELECT id FROM attachments")] == [UUID(kept)]


async def test_mail_brings_its_attachments(desk: Desk) -> None:
    one = EmailMessage()
    one["From"], one["Subject"] = "ada@example.com", "Broken"
    one.set_content("See the picture.")
    one.add_attachment(b"\x89PNG" * 200_000, maintype="image", subtype="png", filename="../../bild.png")
    one.add_attachment(b"TNEF", maintype="application", subtype="ms-tnef", filename="winmail.dat")
    forwarded = EmailMessage()
    forwarded.set_content("inner")
    one.add_attachment(forwarded)
    filed = await desk.receives(one.as_bytes())
    path = f"/v1/cases/{filed['case_id']}/attachments"
    items = (await desk.staff.get(path)).json()["items"]
    assert [(each["name"], each["size"], each["mail_id"]) for each in items[:2]] == [
        ("bild.png", 800_000, filed["id"]),
        ("winmail.dat", 4, filed["id"]),
    ]
    assert items[2]["name"] == "message.eml" and len(items) == 3
    assert (await desk.staff.get(f"{path}/{items[0]['id']}")).content == b"\x89PNG" * 200_000
    assert (await desk.case(filed["case_id"]))["history"][0]["text"] == "See the picture."
    machine = await desk.receives(mail(Auto_Submitted="auto-replied") + b"")
    assert machine["state"] == "machine"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../x", "x"),
        ("C:\\Windows\\x.exe", "x.exe"),
        ("..", "attachment"),
        ("a\r\nSet-Cookie: b", "aSet-Cookie_ b"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("a" * 300 + ".pdf", "a" * 130 + ".pdf"),
        ("", "attachment"),
    ],
)
def test_name_is_made_harmless(name: str, safe: str) -> None:
    assert safe_name(name) == safe


async def test_concurrent_uploads_do_not_mix(partner: httpx.AsyncClient, case: str) -> None:
    contents = [bytes([number]) * 600_000 for number in range(4)]
    made = await asyncio.gather(*(attach(partner, case, each) for each in contents))
    for answer, content in zip(made, contents, strict=True):
        assert (await partner.get(answer.headers["location"])).content == content
