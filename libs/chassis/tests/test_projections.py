"""Projections are rebuilt beside the generation that readers see, on real servers."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
import seen_items
import toy

from crossdock_chassis import Projection, Service, Unit, every_in_units
from crossdock_chassis.feature import Part
from crossdock_chassis.jobs.worker import Jobs
from crossdock_chassis.messaging.clients import discard, start_consumer
from crossdock_chassis.messaging.relay import Relay
from crossdock_chassis.projections import generations, rebuild, worker
from crossdock_chassis.projections.retired import CLEAR, drop_retired
from crossdock_chassis.testing import OPS, Clients, Fresh
from crossdock_events import Envelope
from crossdock_events.items import ItemChanged, ItemEvent, ItemRegistered
from crossdock_local.servers import Servers

CHILD = Path(__file__).with_name("seen_items.py")
PATIENCE = 60.0


@asynccontextmanager
async def running(*parts: Part) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    tasks = [asyncio.create_task(part.run(stopping)) for part in parts]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        stopping.set()
        await asyncio.wait(tasks, timeout=PATIENCE)


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.05)


@dataclass
class Catalogue:
    """Items whose events are published, and readers of their projection. `truth` is the fold of the events."""

    service: Service
    client: httpx.AsyncClient
    truth: dict[str, tuple[str, int]] = field(default_factory=dict)

    def at(self, version: int = 1, before: seen_items.Before | None = None) -> Service:
        """Return the service with another version of its projection."""
        return replace(self.service, projections=[seen_items.seen_items(version, before)])

    async def change(self, *items: str) -> None:
        async with self.service.database.unit() as unit:
            for item in items:
                status, sequence = self.truth.get(item, ("", 0))
                status = "active" if status != "active" else "discontinued"
                kind = ItemChanged if sequence else ItemRegistered
                event = kind(item_id=item, unit_of_measure="each", category=f"of {item}", status=status)
                self.truth[item] = status, sequence + 1
                unit.publish(event, sequence=sequence + 1, cause=None)

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        async with self.service.database.unit() as unit:
            rows: list[asyncpg.Record] = await unit.sql.fetch(query, *arguments)
        return rows

    async def shown(self) -> dict[str, tuple[str, int]]:
        rows = await self.fetch("SELECT item_id, status, sequence FROM seen_items")
        mine = {row[0]: (row[1], row[2]) for row in rows}
        return {item: mine[item] for item in self.truth if item in mine}

    async def up_to_date(self) -> bool:
        return await self.shown() == self.truth

    async def current(self) -> list[int]:
        rows = await self.fetch("SELECT generation FROM projection WHERE name = 'seen_items' ORDER BY generation")
        return [row[0] for row in rows]

    async def only(self, *generations: int) -> bool:
        return await self.current() == list(generations)

    async def rebuild(self) -> str:
        answer = await self.client.post("/v1/projections/seen_items:rebuild")
        assert answer.status_code == 202, answer.text
        assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
        return str(answer.json()["id"])

    async def generation(self, number: int) -> dict[str, Any]:
        (projection,) = (await self.client.get("/v1/projections")).json()["items"]
        return next(each for each in projection["generations"] if each["generation"] == number)

    async def status(self, job: str) -> str:
        return str((await self.client.get(f"/v1/jobs/{job}")).json()["status"])

    @asynccontextmanager
    async def traffic(self) -> AsyncIterator[None]:
        """Publish changes and read all the time. No read shows less than an earlier one."""
        stopping = asyncio.Event()

        async def write() -> None:
            count = 0
            while not stopping.is_set():
                await self.change(*(f"{self.service.name}-{n % 40}" for n in range(count, count + 5)))
                count += 5
                await asyncio.sleep(0.01)

        async def read() -> None:
            seen = (0, 0)
            while not stopping.is_set():
                (row,) = await self.fetch("SELECT count(*), coalesce(sum(sequence), 0)::bigint FROM seen_items")
                assert row[0] >= seen[0] and row[1] >= seen[1], f"{tuple(row)} after {seen}"
                seen = tuple(row)
                await asyncio.sleep(0.001)

        tasks = [asyncio.create_task(write()), asyncio.create_task(read())]
        try:
            yield
        finally:
            stopping.set()
            await asyncio.gather(*tasks)

    def parts(self, service: Service, *, keep: bool = False) -> list[Part]:
        """Return the parts of one worker: consumers and jobs. `keep` leaves retired generations alone."""
        own = [each.job for each in service.rebuilds()] + ([] if keep else [every_in_units(0.2, drop_retired)])
        return [seen_items.projections(service), Jobs(service.database, own, drain_seconds=4)]


@pytest.fixture
async def catalogue(
    fresh: Fresh, servers: Servers, clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Catalogue]:
    """A service whose first generation has read some history."""
    monkeypatch.setattr(rebuild, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(worker, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(worker, "IDLE_SECONDS", 0.1)
    assert servers.bootstrap is not None
    servers.topics.ensure([ItemEvent.topic.spec])
    toys = await fresh(toy.build, toy.Settings, kafka=servers.bootstrap)
    service = replace(toys, name=f"toy-{uuid4().hex[:8]}", reactions=[], projections=[seen_items.seen_items()])
    await service.migrate()
    made = Catalogue(service, clients(service, None, OPS, subject="ops"))
    async with running(Relay(service.database.dsn, service.settings.broker, service.name)):
        for _ in range(3):
            await made.change(*(f"{service.name}-{n}" for n in range(60)))
        async with running(seen_items.projections(service)):
            await eventually(made.up_to_date)
        yield made


async def test_readers_see_no_less_while_a_projection_is_rebuilt(catalogue: Catalogue) -> None:
    first, second = catalogue.parts(catalogue.service), catalogue.parts(catalogue.service)
    (old,) = await catalogue.current()
    async with running(*first, *second), catalogue.traffic():
        job = await catalogue.rebuild()
        assert await catalogue.rebuild() == job, "a second request joins the first"
        await eventually(lambda: catalogue.only(old + 1))
        assert await catalogue.status(job) == "done"
    async with running(*catalogue.parts(catalogue.service)):
        await eventually(catalogue.up_to_date)
    (old_schema,) = await catalogue.fetch("SELECT count(*) FROM pg_namespace WHERE nspname = $1", f"seen_items_g{old}")
    groups = await catalogue.fetch(
        "SELECT consumer_group FROM consumer_position UNION SELECT consumer_group FROM projection_head"
    )
    assert old_schema[0] == 0 and [row[0] for row in groups] == [f"{catalogue.service.name}.seen_items.{old + 1}"]
    assert (await catalogue.generation(old + 1))["state"] == "current"


async def test_a_killed_rebuild_goes_on(catalogue: Catalogue) -> None:
    (old,) = await catalogue.current()
    job, service = await catalogue.rebuild(), catalogue.service
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(CHILD),
        service.database.dsn,
        service.settings.kafka,
        service.name,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdout is not None
    assert await asyncio.wait_for(child.stdout.readline(), PATIENCE) == b"in a batch\n"
    child.kill()
    await child.communicate()
    assert await catalogue.status(job) in ("queued", "running")
    await catalogue.fetch("UPDATE job SET due_at = now() WHERE status = 'running' RETURNING id")  # its lease has ended
    async with running(*catalogue.parts(service)), catalogue.traffic():
        await eventually(lambda: catalogue.only(old + 1))
    assert await catalogue.status(job) == "done"


async def test_raising_the_version_twice_builds_the_newest(
    catalogue: Catalogue, caplog: pytest.LogCaptureFixture
) -> None:
    """The first raise never ends, because no job of its workers runs. A new column is null until the switch."""
    (old,) = await catalogue.current()
    second, third = catalogue.at(2), catalogue.at(3)
    await second.migrate()
    (row,) = await catalogue.fetch("SELECT count(*), count(category) FROM seen_items")
    assert row[0] >= 60 and row[1] == 0
    async with running(seen_items.projections(catalogue.service)), catalogue.traffic():
        async with running(seen_items.projections(second)):
            await eventually(lambda: catalogue.only(old, old + 1))
            async with running(*catalogue.parts(third)):
                await eventually(lambda: catalogue.only(old + 2))
        await eventually(lambda: _logged(caplog, "readers see version 3 of seen_items and this build has 1"))
    async with running(*catalogue.parts(third)):
        await eventually(catalogue.up_to_date)
    rows = await catalogue.fetch("SELECT DISTINCT category = 'of ' || item_id FROM seen_items")
    assert [row[0] for row in rows] == [True]


async def _logged(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return text in caplog.text


async def test_stopping_a_rebuild_drops_its_generation(catalogue: Catalogue) -> None:
    (old,) = await catalogue.current()
    slow = asyncio.Event()

    async def wait(unit: Unit, batch: Sequence[Envelope[ItemEvent]]) -> None:
        if await unit.sql.fetchval("SELECT current_schema()") != f"seen_items_g{old}":
            slow.set()
            await asyncio.sleep(0.2)
            raise ConnectionError("the batch is tried again")

    service = catalogue.at(before=wait)
    job = await catalogue.rebuild()
    async with running(*catalogue.parts(service)):
        await asyncio.wait_for(slow.wait(), PATIENCE)
        await eventually(lambda: _measured(catalogue, old + 1))
        building = await catalogue.generation(old + 1)
        assert building["state"] == "building" and building["job_id"] == job
        assert (await catalogue.client.post(f"/v1/jobs/{job}:stop")).status_code == 200
        await eventually(lambda: catalogue.only(old))
    assert await catalogue.up_to_date()


async def _measured(catalogue: Catalogue, generation: int) -> bool:
    return bool((await catalogue.generation(generation))["total"])


async def test_a_generation_with_a_dead_letter_more_is_not_shown(catalogue: Catalogue) -> None:
    (old,) = await catalogue.current()
    bad = f"{catalogue.service.name}-7"

    async def refuse(unit: Unit, batch: Sequence[Envelope[ItemEvent]]) -> None:
        schema = await unit.sql.fetchval("SELECT current_schema()")
        if schema != f"seen_items_g{old}" and any(each.event.item_id == bad for each in batch):
            raise ValueError(bad)

    async def waits() -> bool:
        return "parked" in ((await catalogue.generation(old + 1))["waits"] or "")

    await catalogue.rebuild()
    async with running(*catalogue.parts(catalogue.at(before=refuse))):
        await eventually(waits)
    assert await catalogue.only(old, old + 1) and await catalogue.up_to_date()
    (letter,) = (await catalogue.client.get("/v1/dead-letters?state=poison")).json()["items"]
    redriven = await catalogue.client.post(f"/v1/dead-letters/{letter['id']}:redrive", json={"reason": "mended"})
    assert redriven.json()["applied"] == 3, redriven.text
    async with running(*catalogue.parts(catalogue.service)):
        await eventually(lambda: catalogue.only(old + 1))
    assert await catalogue.up_to_date()


@pytest.mark.parametrize("action", ["discard", "resend"])
async def test_a_rebuild_decides_again_as_people_did(catalogue: Catalogue, action: str) -> None:
    """A record that no generation can handle stays in Kafka. Nobody has to decide about it twice."""
    (old,) = await catalogue.current()
    bad = f"{catalogue.service.name}-7"

    async def refuse(unit: Unit, batch: Sequence[Envelope[ItemEvent]]) -> None:
        if any((each.event.item_id, each.sequence, each.event.category) == (bad, 4, f"of {bad}") for each in batch):
            raise ValueError(bad)

    async def letters(state: str) -> list[dict[str, Any]]:
        answer = await catalogue.client.get(f"/v1/dead-letters?state={state}")
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    async def set_aside() -> bool:
        return len(await letters("poison")) == 1

    await catalogue.change(bad)
    async with running(*catalogue.parts(catalogue.at(before=refuse))):
        await eventually(set_aside)
        (letter,) = await letters("poison")
        body = {"reason": "known fault"}
        if action == "resend":
            body["value"] = letter["value"].replace(f"of {bad}", "mended")
        done = await catalogue.client.post(f"/v1/dead-letters/{letter['id']}:{action}", json=body)
        assert done.status_code == 200, done.text
        await catalogue.change(bad)
        await eventually(catalogue.up_to_date)

        job = await catalogue.rebuild()
        await eventually(lambda: catalogue.only(old + 1))
    assert await catalogue.status(job) == "done" and await catalogue.up_to_date()
    decided = await letters("discarded" if action == "discard" else "redriven")
    assert {each["group"] for each in decided} == {f"{catalogue.service.name}.seen_items.{old + 1}"}


async def test_a_generation_behind_in_one_partition_is_not_shown(catalogue: Catalogue) -> None:
    """No consumer runs: the positions are written here. The job shows the progress and the time left."""
    (old,) = await catalogue.current()
    await catalogue.rebuild()
    (projection,) = catalogue.service.projections
    topic, groups = ItemEvent.topic.name, [f"{catalogue.service.name}.seen_items.{n}" for n in (old, old + 1)]

    async def at(position: str) -> None:
        """Write the positions of the new group, as an expression of the old group's position."""
        await catalogue.fetch(
            f"INSERT INTO consumer_position SELECT $1, topic, partition, {position} FROM consumer_position AS old "
            "WHERE consumer_group = $2 "
            "ON CONFLICT (consumer_group, topic, partition) DO UPDATE SET next = excluded.next RETURNING 1",
            groups[1],
            groups[0],
        )

    async def shows(test: Callable[[dict[str, Any]], object]) -> bool:
        return bool(test(await catalogue.generation(old + 1)))

    async with running(seen_items.jobs(catalogue.service)):
        await at("0")
        await eventually(lambda: shows(lambda new: new["total"] and new["done"] == 0 and new["seconds_left"] is None))
        await at("old.next - (partition = 3)::int")
        await eventually(lambda: shows(lambda new: new["done"] == new["total"] - 1 and new["seconds_left"] is not None))
        await eventually(lambda: shows(lambda new: new["waits"] == "it is behind the current generation"))
    await at("old.next")
    async with catalogue.service.database.unit() as unit:
        assert await generations.switch(unit.sql, projection, old + 1, [topic]) is None
    assert await catalogue.shown() == {}, "no consumer has built it"


async def test_a_reader_that_holds_the_view_delays_the_switch(catalogue: Catalogue) -> None:
    (old,) = await catalogue.current()
    reader = await asyncpg.connect(catalogue.service.database.dsn)

    async def waits() -> bool:
        return bool((await catalogue.generation(old + 1))["waits"] == "readers hold the views")

    await catalogue.rebuild()
    async with running(*catalogue.parts(catalogue.service)):
        async with reader.transaction():
            before = await reader.fetchval("SELECT sum(sequence) FROM seen_items")
            await eventually(waits)
            assert await reader.fetchval("SELECT sum(sequence) FROM seen_items") == before
        await eventually(lambda: catalogue.only(old + 1))
    await reader.close()


async def test_only_a_projection_of_the_service_is_rebuilt(catalogue: Catalogue, clients: Clients) -> None:
    unknown = await catalogue.client.post("/v1/projections/others:rebuild")
    assert unknown.status_code == 404 and "seen_items" in unknown.json()["detail"]
    other = clients(catalogue.service, "acme", ["orders:read"])
    for method, path in (
        ("GET", "/v1/projections"),
        ("POST", "/v1/projections/seen_items:rebuild"),
        ("GET", "/v1/retired-groups"),
        ("POST", "/v1/retired-groups/x:clear"),
    ):
        assert (await other.request(method, path)).status_code == 403
    with pytest.raises(ValueError, match="lower case"):
        Projection("Seen-Items", seen_items.seen_items().tables, [])


async def test_retired_groups_are_cleared_and_no_others(catalogue: Catalogue) -> None:
    (generation,) = await catalogue.current()
    own = f"{catalogue.service.name}.seen_items.{generation}"
    for group in ("toy.retired", own):
        await catalogue.fetch("INSERT INTO consumer_position VALUES ($1, 't', 99, 7) RETURNING 1", group)
        await catalogue.fetch(
            "INSERT INTO projection_head SELECT $1, 's', 't', n::text, 1 FROM generate_series(1, 6000) n RETURNING 1",
            group,
        )
    (found,) = (await catalogue.client.get("/v1/retired-groups")).json()["items"]
    assert found == {
        "group": "toy.retired",
        "positions": 1,
        "heads": 6000,
        "letters": 0,
        "open_letters": 0,
        "parked_keys": 0,
    }
    path, reason = "/v1/retired-groups/toy.retired:clear", {"reason": "the service is gone"}
    dry = await catalogue.client.post(f"{path}?dry_run=true", json=reason)
    assert (dry.status_code, dry.json()) == (202, {"cleared": found, "job_id": None})
    for present in (own, catalogue.service.name, "never"):
        refused = await catalogue.client.post(f"/v1/retired-groups/{present}:clear", json=reason)
        assert refused.status_code == 404
    member = await start_consumer(
        catalogue.service.settings.broker, "toy.retired", client_id="old", topics=[ItemEvent.topic.name]
    )
    in_use = await catalogue.client.post(path, json=reason)
    assert (in_use.status_code, in_use.json()["detail"]) == (409, "toy.retired has 1 members")
    await discard(member)
    asked = await catalogue.client.post(path, json=reason)
    await Jobs(catalogue.service.database, [CLEAR]).run_due()
    job = (await catalogue.client.get(f"/v1/jobs/{asked.json()['job_id']}")).json()
    assert (job["status"], job["requested_by"], job["arguments"]["reason"]) == (
        "done",
        "ops",
        reason["reason"],
    )
    assert (await catalogue.client.get("/v1/retired-groups")).json() == {"items": []}
    (left,) = await catalogue.fetch(
        "SELECT count(*) FROM projection_head WHERE consumer_group = $1 AND topic = 't'", own
    )
    assert left[0] == 6000
