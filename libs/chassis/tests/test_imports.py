"""Imports: checked whole, applied in chunks, resumed, stopped, refused, swept."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import httpx
import imports_child
import pytest
import toy
from fastapi import APIRouter, Response
from imports_child import MARKS

from crossdock_chassis import (
    Caller,
    Chunk,
    Counts,
    Feature,
    ImportKind,
    Imports,
    RowError,
    RowsRefused,
    Service,
    Unit,
    UploadDep,
    find_jobs,
    import_routes,
    new_id,
    requires,
    stop_job,
    uploads,
)
from crossdock_chassis.imports import rows, sweep
from crossdock_chassis.imports.accept import MAX_WAITING, Accept, Accepted, accept
from crossdock_chassis.imports.sheet import BATCH, MAX_ERRORS
from crossdock_chassis.jobs.rows import Claimed
from crossdock_chassis.jobs.run import JobRun
from crossdock_chassis.testing import Clients, run_queued
from crossdock_events import Cause

CHILD = Path(__file__).with_name("imports_child.py")
router = APIRouter(prefix="/v1", tags=["imports"])


@router.post("/marks:import", summary="Import marks", **uploads(MARKS))
async def import_marks(caller: Annotated[Caller, requires("w")], upload: UploadDep) -> Response:
    return await upload(caller, MARKS)


def serving(service: Service, kind: ImportKind = MARKS) -> Service:
    built = imports_child.build(service, kind)
    routes = Feature(routers=[router, import_routes("r", "w")])
    return replace(built, features=[*built.features, routes])


def marks_csv(names: Sequence[str]) -> str:
    return "name\n" + "".join(f"{name}\n" for name in names)


NAMES = [f"a{n}" for n in range(BATCH * 2 + BATCH // 2)]
FILE = marks_csv(NAMES)
CSV = {"content-type": "text/csv"}
WAITS_FOR_A_LOCK = """
    SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
"""


@pytest.fixture
def client(service: Service, clients: Clients) -> httpx.AsyncClient:
    return clients(serving(service), scopes=("r", "w"))


async def send(client: httpx.AsyncClient, text: str, **query: Any) -> str:
    answer = await client.post("/v1/marks:import", content=text, headers=CSV, params=query)
    assert answer.status_code in (200, 202), answer.text
    return str(answer.headers["location"])


async def shown(client: httpx.AsyncClient, location: str) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(location)).json()
    return found


async def run(service: Service, kind: ImportKind = MARKS) -> None:
    """Run the imports that are queued, also those that wait after a failure or for the end of a lease."""
    async with service.database.unit() as unit:
        await unit.sql.execute("UPDATE job SET due_at = now() WHERE status IN ('queued', 'running')")
    await run_queued(imports_child.build(service, kind))


async def swept(service: Service) -> None:
    await sweep.run_sweep(JobRun(service.database, Claimed(new_id(), None, "sweep", {})))


async def stored(service: Service) -> tuple[int, int]:
    """Return the number of pieces and of staged rows."""
    async with service.database.unit() as unit:
        pieces: int = await unit.sql.fetchval("SELECT count(*) FROM import_piece")
        staged: int = await unit.sql.fetchval("SELECT count(*) FROM import_row")
    return pieces, staged


class Once:
    """Does something the first time that it is called."""

    def __init__(self) -> None:
        self.done = False

    def __call__(self) -> bool:
        first, self.done = not self.done, True
        return first


@pytest.mark.parametrize("step", ["read", "try", "apply"])
async def test_import_that_failed_in_a_step_goes_on(
    step: str, service: Service, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, seen, stage = Once(), list[str](), rows.stage

    async def apply(unit: Unit, chunk: Chunk) -> Counts:
        counts = await imports_child.apply(unit, chunk)
        seen.extend(row.cells["name"] for row in chunk.rows)
        if seen.count(NAMES[BATCH]) == {"try": 1, "apply": 2}.get(step) and first():
            raise RuntimeError("the worker is broken")
        return counts

    async def staged(sql: Any, id: Any, new: Any) -> Any:
        found = await stage(sql, id, new)
        if step == "read" and new[0].number > BATCH and first():
            raise RuntimeError("the worker is broken")
        return found

    monkeypatch.setattr(rows, "stage", staged)
    location = await send(client, FILE)
    kind = replace(MARKS, apply=apply)
    await run(service, kind)
    broken = await shown(client, location)
    assert (broken["state"], broken["done"]) == (
        "applying" if step == "apply" else "checking",
        BATCH * (step == "apply"),
    )
    assert broken["detail"] == "The last attempt failed, and the next one goes on" and first.done
    await run(service, kind)
    done = await shown(client, location)
    assert (done["state"], done["rows"], done["done"], done["created"]) == ("done", *[len(NAMES)] * 3)
    assert await toy.marks(service) == dict.fromkeys(sorted(NAMES), 1)


async def test_import_of_a_killed_worker_goes_on_and_its_parser_ends(
    service: Service, client: httpx.AsyncClient
) -> None:
    location = await send(client, FILE)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), service.database.dsn, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert await asyncio.wait_for(process.stdout.readline(), 120) == b"in the chunk\n"
        (parser,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    finally:
        process.kill()
    await process.communicate()
    assert (await shown(client, location))["state"] == "checking" and (await stored(service))[1] == BATCH
    async with asyncio.timeout(60):
        while _alive(parser):
            await asyncio.sleep(0.02)
    await run(service)
    assert (await shown(client, location))["state"] == "done"
    assert await toy.marks(service) == dict.fromkeys(sorted(NAMES), 1)


def _alive(pid: str) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def test_stopped_import_goes_on_when_its_file_is_sent_again(service: Service, client: httpx.AsyncClient) -> None:
    seen = list[str]()

    async def apply(unit: Unit, chunk: Chunk) -> Counts:
        seen.extend(row.cells["name"] for row in chunk.rows)
        if seen.count(NAMES[0]) == 2 and seen.count(NAMES[BATCH]) == 1:  # the first chunk, for real
            async with service.database.unit() as other:
                await stop_job(other, UUID(location.rpartition("/")[2]), by="ada")
        return await imports_child.apply(unit, chunk)

    location = await send(client, FILE)
    stopped = (await client.post(f"{location}:stop")).json()
    assert (stopped["state"], stopped["done"]) == ("stopped", 0)
    assert await send(client, FILE) == location and await send(client, FILE, dry_run=True) != location
    await run(service, replace(MARKS, apply=apply))
    stopped = await shown(client, location)
    assert (stopped["state"], stopped["done"]) == ("stopped", BATCH)
    assert await send(client, FILE) == location
    await run(service)
    assert (await client.post(f"{location}:stop")).json()["state"] == "done", (
        "a stop of an ended import changes nothing"
    )
    assert await toy.marks(service) == dict.fromkeys(sorted(NAMES), 1)
    assert await send(client, FILE) != location, "an import that is done is not done again"


async def test_row_refused_after_its_trial_is_an_error_of_the_result(
    service: Service, client: httpx.AsyncClient
) -> None:
    seen = set[str]()

    async def apply(unit: Unit, chunk: Chunk) -> Counts:
        names = {row.cells["name"]: row.number for row in chunk.rows}
        if "a7" in names and names.keys() <= seen:
            raise RowsRefused([RowError(names["a7"], "name", "it is gone meanwhile")])
        seen.update(names)
        return await imports_child.apply(unit, chunk)

    location = await send(client, FILE)
    await run(service, replace(MARKS, apply=apply))
    done = await shown(client, location)
    assert (done["state"], done["wrong"], done["done"]) == ("done", 1, len(NAMES) - 1)
    assert done["errors"] == [{"row": 9, "column": "name", "detail": "it is gone meanwhile"}]
    assert (await toy.marks(service)).keys() == {*NAMES} - {"a7"}


async def test_kind_that_refuses_nothing_is_tried_in_dry_runs_only(service: Service, client: httpx.AsyncClient) -> None:
    seen: list[str] = []

    async def apply(unit: Unit, chunk: Chunk) -> Counts:
        seen.extend(row.cells["name"] for row in chunk.rows)
        return await imports_child.apply(unit, chunk)

    for dry_run, expected in ((True, {}), (False, dict.fromkeys(sorted(NAMES), 1))):
        seen.clear()
        location = await send(client, FILE, dry_run=dry_run)
        await run(service, replace(MARKS, apply=apply, refuses=False))
        found = await shown(client, location)
        assert (found["state"], found["created"]) == ("done", len(NAMES)) and seen == NAMES
        assert await toy.marks(service) == expected


async def test_one_error_in_the_check_refuses_the_whole_file(service: Service, client: httpx.AsyncClient) -> None:
    late = [*NAMES, "x1", "x2"]
    for text, expected in (
        (marks_csv(late), [(len(NAMES) + 2, "begins with x"), (len(NAMES) + 3, "begins with x")]),
        (marks_csv([*NAMES, NAMES[0], "b", NAMES[0]]), [(len(NAMES) + n, "row 2 has the same name") for n in (2, 4)]),
    ):
        location = await send(client, text)
        await run(service)
        refused = await shown(client, location)
        assert (refused["state"], refused["wrong"], refused["done"], refused["created"]) == ("refused", 2, 0, 0)
        assert [(each["row"], each["detail"]) for each in refused["errors"]] == expected
    location = await send(client, marks_csv(NAMES), dry_run=True)
    await run(service)
    tried = await shown(client, location)
    assert (tried["state"], tried["created"], tried["checked"], tried["done"]) == ("done", len(NAMES), len(NAMES), 0)
    assert await toy.marks(service) == {}


async def test_errors_are_listed_in_pages_and_downloaded(service: Service, client: httpx.AsyncClient) -> None:
    location = await send(client, "name\n" + "WRONG\n" * (MAX_ERRORS + 500))
    await run(service)
    refused = await shown(client, location)
    assert (refused["state"], len(refused["errors"])) == ("refused", 100)
    assert MAX_ERRORS <= refused["wrong"] < MAX_ERRORS + BATCH, "the rest of the file is not read"
    first = (await client.get(f"{location}/errors")).json()
    second = (await client.get(f"{location}/errors", params={"cursor": first["next"], "limit": 3})).json()
    assert [each["row"] for each in second["items"]] == [202, 203, 204]
    text = (await client.get(f"{location}/errors.csv")).text.splitlines()
    assert len(text) == MAX_ERRORS + 1 and text[:2] == ["row,column,detail", "2,name,must be a-z"]


async def test_imports_of_another_partner_are_not_shown(
    service: Service, client: httpx.AsyncClient, clients: Clients
) -> None:
    location = await send(client, FILE)
    other = clients(serving(service), "globex", ("r", "w"))
    for path in (location, f"{location}/errors", f"{location}/errors.csv"):
        assert (await other.get(path)).status_code == 404
    assert (await other.post(f"{location}:stop")).status_code == 404
    assert (await other.get("/v1/imports")).json()["items"] == []
    dry = await send(client, FILE, dry_run=True)
    page = (await client.get("/v1/imports", params={"limit": 1})).json()
    [last] = (await client.get("/v1/imports", params={"cursor": page["next"], "kind": "marks"})).json()["items"]
    assert [f"/v1/imports/{each['id']}" for each in (*page["items"], last)] == [dry, location]
    assert last["state"] == "queued"


async def test_file_sent_twice_at_once_is_one_import(service: Service, client: httpx.AsyncClient) -> None:
    assert len({*await asyncio.gather(send(client, FILE), send(client, FILE))}) == 1
    assert await stored(service) == (1, 0)


async def test_second_upload_waits_until_the_first_is_decided(service: Service) -> None:
    """Otherwise both would be imported, and a partner could queue more than the limit."""
    job = Imports(service.database, {MARKS.name: MARKS}, 1 << 20).job

    def upload() -> Accept:
        file = rows.File(new_id(), "marks", "acme", b"same", 4, {}, False, Cause(correlation_id=new_id()))
        return Accept(file, "ada", job)

    async def second() -> Accepted:
        async with service.database.unit() as unit:
            return await accept(unit, upload())

    async def waits() -> bool:
        async with service.database.unit() as unit:
            return bool(await unit.sql.fetchval(WAITS_FOR_A_LOCK))

    async with service.database.unit() as unit:
        first = await accept(unit, upload())
        following = asyncio.create_task(second())
        while not await waits():
            assert not following.done()
    assert await asyncio.wait_for(following, 30) == Accepted(id=first.id, created=False)


async def test_more_waiting_imports_than_allowed_are_refused(service: Service, client: httpx.AsyncClient) -> None:
    for n in range(MAX_WAITING):
        await send(client, marks_csv([f"a{n}"]))
    refused = await client.post("/v1/marks:import", content=marks_csv(["b"]), headers=CSV)
    assert (refused.status_code, refused.json()["type"]) == (429, "urn:crossdock:problem:too-many-imports")
    assert await stored(service) == (MAX_WAITING, 0)


async def test_upload_that_breaks_off_leaves_nothing(service: Service, client: httpx.AsyncClient) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield FILE.encode() * 100
        assert (await stored(service))[0] > 0
        raise ConnectionError("the client is gone")

    await client.post("/v1/marks:import", content=body(), headers=CSV)
    assert await stored(service) == (0, 0) and await find_jobs(service.database) == []


async def test_data_is_deleted_after_the_end_or_when_abandoned(
    service: Service, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send(client, FILE)
    await run(service)
    stopped = await send(client, marks_csv(["b"]))
    await client.post(f"{stopped}:stop")
    async with service.database.unit() as unit:
        await rows.add_piece(unit.sql, new_id(), 0, b"the api process died")
    assert await stored(service) == (3, len(NAMES))
    await swept(service)
    assert await stored(service) == (2, 0), "a stopped import can go on, and an upload may be under way"
    monkeypatch.setattr(sweep, "RESUMABLE", timedelta(0))
    monkeypatch.setattr(sweep, "ABANDONED", timedelta(0))
    await swept(service)
    assert await stored(service) == (0, 0)
    again = await send(client, marks_csv(["b"]))
    assert again != stopped and (await shown(client, stopped))["state"] == "stopped"


async def test_import_waits_while_the_outbox_is_full(service: Service, client: httpx.AsyncClient) -> None:
    pressure, depths = service.database.pressure, list[int]()

    async def apply(unit: Unit, chunk: Chunk) -> Counts:
        depths.append(pressure.outbox_depth)
        return await imports_child.apply(unit, chunk)

    location = await send(client, marks_csv(["a"]))
    pressure.outbox_depth = pressure.outbox_limit
    running = asyncio.create_task(run(service, replace(MARKS, apply=apply)))
    async with asyncio.timeout(60):
        while (await shown(client, location))["state"] not in ("applying", "done"):
            await asyncio.sleep(0.02)
    pressure.outbox_depth = 0
    await running
    assert depths == [pressure.outbox_limit, 0], "a trial needs no room, applying does"
