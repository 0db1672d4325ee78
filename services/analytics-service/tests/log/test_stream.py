"""The live stream over real HTTP: nothing is missed, whether a stream reads from the ring or from the table."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from records import confirmed, garbage, keep, record

from analytics_service.log import stream as stream_module
from analytics_service.log import tail as tail_module
from analytics_service.log.tail import Tail
from crossdock_chassis import Service, new_id
from crossdock_chassis.server import listening
from crossdock_chassis.testing import restored
from crossdock_chassis.testing.signing import Signer
from crossdock_events.items import ItemChanged

PATIENCE = 60.0


@dataclass
class Message:
    id: str
    event: str
    data: dict[str, Any]

    @property
    def offset(self) -> int:
        return int(self.data["offset"])


class Reader:
    """Reads the messages of a stream. `comments` counts the blocks without data."""

    def __init__(self, response: httpx.Response) -> None:
        self.response, self._lines = response, response.aiter_lines()
        self.comments = 0

    async def next(self) -> Message | None:
        """Return the next message, None at the end of the stream."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(PATIENCE):
            async for line in self._lines:
                if line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif "data" in fields:
                    return Message(fields["id"], fields.get("event", "message"), json.loads(fields["data"]))
                else:
                    self.comments += 1
                    fields = {}
        return None

    async def take(self, count: int) -> list[Message]:
        found: list[Message] = []
        while len(found) < count:
            message = await self.next()
            assert message is not None, f"the stream ended after {len(found)}"
            if message.event == "message":
                found.append(message)
        return found

    async def begun(self) -> None:
        async with asyncio.timeout(PATIENCE):
            async for line in self._lines:
                if not line:
                    return


class Running:
    def __init__(self, service: Service, port: int, signer: Signer, stopping: asyncio.Event) -> None:
        self.service, self.signer, self.stopping = service, signer, stopping
        self.client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE)

    def headers(self, **token: Any) -> dict[str, str]:
        return {"authorization": f"Bearer {self.signer.token(None, ['ops:read'], subject='ann', **token)}"}

    @asynccontextmanager
    async def stream(self, headers: dict[str, str] | None = None, **filters: Any) -> AsyncIterator[Reader]:
        async with self.client.stream(
            "GET", "/v1/stream", params=filters, headers=self.headers() | (headers or {})
        ) as response:
            assert response.status_code == 200, await response.aread()
            assert response.headers["content-type"].startswith("text/event-stream")
            assert response.headers["x-accel-buffering"] == "no"
            assert response.headers["cache-control"] == "no-store"
            yield Reader(response)


@pytest.fixture
async def running(service: Service) -> AsyncIterator[Running]:
    signer, stopping = Signer.generate(), asyncio.Event()
    (tail,) = [part for each in service.features for part in each.parts.values()]
    task = asyncio.create_task(tail.run(stopping))
    async with listening(service.api(signer.verifier()), service.settings, 0, "CROSSDOCK_HTTP_PORT") as port:
        made = Running(service, port, signer, stopping)
        yield made
        stopping.set()
        await asyncio.wait_for(task, PATIENCE)
        await made.client.aclose()


async def test_stream_sends_new_records_with_their_cursors(running: Running) -> None:
    await keep(running.service, record())
    async with running.stream() as reader:
        await reader.begun()
        sent = [record(), garbage(b"\xff"), record()]
        await keep(running.service, *sent)
        found = await reader.take(3)
        assert [each.offset for each in found] == [each.offset for each in sent]
        assert [each.id for each in found] == [each.data["cursor"] for each in found]
        assert found[1].data["data"] is None


async def test_stream_goes_on_behind_the_last_event_id(running: Running) -> None:
    sent = [record() for _ in range(5)]
    await keep(running.service, *sent)
    cursor = (await running.client.get("/v1/events", headers=running.headers())).json()["items"][1]["cursor"]
    async with running.stream({"last-event-id": cursor}, after="12345678-1.1") as reader:
        assert [each.offset for each in await reader.take(3)] == [each.offset for each in sent[2:]]
        more = record()
        await keep(running.service, more)
        assert [each.offset for each in await reader.take(1)] == [more.offset]


async def test_slow_stream_is_served_from_the_table(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "RING", 10)
    monkeypatch.setattr(stream_module, "READ", 7)
    start = (await running.client.get("/v1/events", headers=running.headers())).json()["next"]
    sent = [record() for _ in range(100)]
    for n in range(0, 100, 20):
        await keep(running.service, *sent[n : n + 20])
    async with running.stream(after=start) as fast, running.stream(after=start) as slow:
        assert [each.offset for each in await fast.take(100)] == [each.offset for each in sent]
        await keep(running.service, *(more := [record() for _ in range(50)]))
        whole = [each.offset for each in [*sent, *more]]
        assert [each.offset for each in await slow.take(150)] == whole


async def test_filters_are_applied_on_the_server(running: Running) -> None:
    order = new_id()
    wanted = record(confirmed("globex", order))
    item = record(ItemChanged(item_id="SKU-77", unit_of_measure="each", status="active", units=()))
    others = [record() for _ in range(3)]
    cases: list[dict[str, Any]] = [
        {"order_id": str(order)},
        {"partner": "globex"},
        {"key": str(order)},
        {"text": "GLOBEX"},
        {"item": "globex"},
        {"topic": ["crossdock.orders.v1", "x"], "partner": "globex"},
    ]
    start = (await running.client.get("/v1/events", headers=running.headers())).json()["next"]
    await keep(running.service, others[0], wanted, others[1], item, others[2])
    for case in cases:
        async with running.stream(after=start, **case) as reader:
            assert [each.offset for each in await reader.take(1)] == [wanted.offset], case
            again = record(confirmed("globex", order))
            await keep(running.service, record(), again)
            assert [each.offset for each in await reader.take(1)] == [again.offset], case
            start = (await running.client.get("/v1/events", headers=running.headers())).json()["next"]
            await keep(running.service, record(), wanted := record(confirmed("globex", order)))
    async with running.stream(after=start, type="crossdock.ItemChanged.v1") as reader:
        await keep(
            running.service,
            again := record(ItemChanged(item_id="SKU-8", unit_of_measure="each", status="active", units=())),
        )
        assert [each.offset for each in await reader.take(1)] == [again.offset]


async def test_search_in_older_records_shows_its_progress(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "READ", 5)
    monkeypatch.setattr(stream_module, "SEARCHING_SECONDS", 0.0)
    monkeypatch.setattr(tail_module, "RING", 1)
    await keep(running.service, *(record() for _ in range(40)))
    last = record(confirmed("initech"))
    await keep(running.service, last)
    epoch = (await running.client.get("/v1/events", headers=running.headers())).json()["next"].partition(".")[0]
    async with running.stream(after=f"{epoch}.0", text="initech") as reader:
        seen = []
        while (message := await reader.next()) is not None and message.event != "message":
            seen.append(message)
        assert message is not None and message.offset == last.offset
        assert {each.event for each in seen} == {"searching"}
        left = [each.data["left"] for each in seen]
        assert left == sorted(left, reverse=True) and left[0] > left[-1]


async def test_stream_too_far_behind_ends_with_a_message(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "RING", 1)
    monkeypatch.setattr(stream_module, "BEHIND", 10)
    await keep(running.service, *(record() for _ in range(20)))
    epoch = (await running.client.get("/v1/events", headers=running.headers())).json()["next"].partition(".")[0]
    async with running.stream(after=f"{epoch}.0") as reader:
        message = await reader.next()
        assert message is not None
        assert (message.event, message.data["left"]) == ("behind", 20)
        assert await reader.next() is None


async def test_stream_ends_at_once_when_the_process_drains(running: Running) -> None:
    async with running.stream() as reader:
        await reader.begun()
        running.stopping.set()
        assert await reader.next() is None


async def test_stream_ends_with_its_token(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "TOKEN_SECONDS", 0.1)
    monkeypatch.setattr(stream_module, "TURN_LIMIT_SECONDS", 0.1)
    async with running.stream(running.headers(lifetime=-8)) as reader:  # ten seconds of leeway
        assert await reader.next() is None


async def test_stream_of_another_log_ends(running: Running) -> None:
    async with running.stream() as reader:
        await reader.begun()
        await restored(running.service)
        assert await reader.next() is None


async def test_quiet_stream_gets_comments(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "COMMENT_SECONDS", 0.05)
    monkeypatch.setattr(stream_module, "TURN_LIMIT_SECONDS", 0.05)
    async with running.stream(partner="nobody") as reader:
        reading = asyncio.create_task(reader.next())
        async with asyncio.timeout(PATIENCE):
            while reader.comments < 3:
                await asyncio.sleep(0.01)
        reading.cancel()


async def test_large_data_is_left_out(running: Running) -> None:
    async with running.stream() as reader:
        await reader.begun()
        large = record(value=b'{"partner": "acme", "x": "%s"}' % (b"x" * 900_000))
        await keep(running.service, large)
        (found,) = await reader.take(1)
        assert found.data["data"] is None and found.data["size"] > 900_000
    whole = await running.client.get(f"/v1/events/{found.id}", headers=running.headers())
    assert len(whole.json()["data"]["x"]) == 900_000


async def test_streams_of_one_caller_are_limited(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    async with asyncio.timeout(PATIENCE):
        opened = [running.stream() for _ in range(20)]
        readers = [await each.__aenter__() for each in opened]
        answer = await running.client.get("/v1/stream", headers=running.headers())
        assert answer.status_code == 429
        other = {"authorization": f"Bearer {running.signer.token(None, ['ops:read'], subject='bob')}"}
        async with running.stream(other) as reader:
            await reader.begun()
        for each in opened:
            await each.__aexit__(None, None, None)
    assert len(readers) == 20


async def test_idle_tail_reads_nothing(running: Running) -> None:
    (tail,) = [part for each in running.service.features for part in each.parts.values()]
    assert isinstance(tail, Tail)
    async with running.stream() as reader:
        await reader.begun()
        await keep(running.service, record())
        await reader.take(1)
        assert tail.head is not None
    async with asyncio.timeout(PATIENCE):
        while tail.head is not None:
            await asyncio.sleep(0.02)


async def test_head_request_ends(running: Running) -> None:
    answer = await running.client.head("/v1/stream", headers=running.headers())
    assert (answer.status_code, answer.content) == (200, b"")


async def test_stream_since_a_time_has_what_arrived_after_it(running: Running) -> None:
    sent = [record() for _ in range(3)]
    await keep(running.service, *sent)
    async with running.stream(since="2020-01-01T00:00:00Z") as reader:
        assert [each.offset for each in await reader.take(3)] == [each.offset for each in sent]
    cursor = (await running.client.get("/v1/events", headers=running.headers())).json()["items"][1]["cursor"]
    async with running.stream(since="2020-01-01T00:00:00Z", after=cursor) as reader:
        assert [each.offset for each in await reader.take(1)] == [sent[2].offset]
    answer = await running.client.get("/v1/stream", params={"since": "yesterday"}, headers=running.headers())
    assert answer.status_code == 422
