"""`POST /v1/orders:batch`: a line in, a line out, whatever the lines are and however they come."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import httpx
import pytest
from shop import OpenShop, Shop

from crossdock_chassis.testing import assert_linear
from order_service.orders import batch

NDJSON = {"content-type": "application/x-ndjson"}


def ndjson(*lines: dict[str, Any] | bytes) -> bytes:
    return b"".join((each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n" for each in lines)


async def send(
    client: httpx.AsyncClient, content: bytes | AsyncIterator[bytes], status: int = 200
) -> list[dict[str, Any]]:
    answer = await client.post("/v1/orders:batch", content=content, headers=NDJSON)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.content.splitlines()]


def told(answers: Sequence[dict[str, Any]]) -> list[tuple[int, str | None, str]]:
    return [(each["line"], each.get("reference"), each["outcome"]) for each in answers]


async def test_byte_order_mark_before_a_line_is_skipped(shop: Shop) -> None:
    mark = b"\xef\xbb\xbf"
    files = [mark + ndjson(shop.body(reference)) for reference in ("PO-1", "PO-2")]
    assert told(await send(shop.client, b"".join(files))) == [(1, "PO-1", "created"), (2, "PO-2", "created")]


async def test_batch_answers_each_line_in_order(shop: Shop) -> None:
    await shop.placed("PO-old")
    await shop.placed("PO-taken")
    answers = await send(
        shop.client,
        ndjson(
            shop.body("PO-1"),
            b"garbage",
            shop.body("PO-old"),
            b"",
            b"   ",
            shop.body("PO-taken", priority=1),
            shop.body("PO-2", total="1.00"),
            shop.body("PO-3", items=["nothing"]),
            shop.body("PO-4", priority=99),
            shop.body("PO-1"),
            shop.body("PO-1", priority=1),
            b"null",
            b'{"reference": "PO-5"}\r',
        )
        + json.dumps(shop.body("PO-6")).encode(),
    )
    assert told(answers) == [
        (1, "PO-1", "created"),
        (2, None, "invalid"),
        (3, "PO-old", "existing"),
        (6, "PO-taken", "conflict"),
        (7, "PO-2", "invalid"),
        (8, "PO-3", "invalid"),
        (9, "PO-4", "invalid"),
        (10, "PO-1", "existing"),
        (11, "PO-1", "conflict"),
        (12, None, "invalid"),
        (13, "PO-5", "invalid"),
        (14, "PO-6", "created"),
    ]
    by_line = {each["line"]: each for each in answers}
    assert by_line[10]["id"] == by_line[11]["id"] == by_line[1]["id"]
    assert by_line[7]["problem"]["errors"][0]["pointer"] == "/total"
    assert by_line[8]["problem"]["errors"][0]["pointer"] == "/lines/0/item_id"
    assert by_line[9]["problem"]["errors"][0]["pointer"] == "/priority"
    assert by_line[6]["problem"]["type"] == "urn:crossdock:problem:duplicate-reference"
    assert await shop.count("orders") == await shop.count("outbox") == 4


async def test_batch_sent_again_finds_every_order_existing(shop: Shop) -> None:
    content = ndjson(*(shop.body(f"PO-{i}") for i in range(450)))
    first = await send(shop.client, content)
    again = await send(shop.client, content)
    assert {each["outcome"] for each in first} == {"created"}
    assert {each["outcome"] for each in again} == {"existing"}
    assert [each["id"] for each in first] == [each["id"] for each in again]
    assert await shop.count("orders") == await shop.count("outbox") == 450


@pytest.mark.parametrize("size", [1, 7, 100, 4096])
async def test_batch_answers_do_not_depend_on_chunk_boundaries(shop: Shop, size: int) -> None:
    content = ndjson(shop.body("PO-é1 "), shop.body("PO-2"), b"", b"{", shop.body("PO-3"))

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(content), size):
            yield content[start : start + size]

    assert [each[::2] for each in told(await send(shop.client, chunks()))] == [
        (1, "invalid"),
        (2, "created"),
        (4, "invalid"),
        (5, "created"),
    ]


async def test_endless_line_is_one_invalid_line(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "LONGEST_LINE", 1000)

    async def chunks() -> AsyncIterator[bytes]:
        yield ndjson(shop.body("PO-1"))
        for _ in range(100):
            yield b"x" * 100
        yield b"\n" + ndjson(shop.body("PO-2"))

    answers = await send(shop.client, chunks())
    assert told(answers) == [(1, "PO-1", "created"), (2, None, "invalid"), (3, "PO-2", "created")]
    assert answers[1]["problem"]["status"] == 413


def test_endless_line_is_not_buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "LONGEST_LINE", 1000)
    splitter = batch._Splitter()
    for _ in range(1000):
        assert list(splitter.feed(b"x" * 100)) == []
    assert len(splitter._rest) <= 1100
    assert list(splitter.feed(b"\nab\n")) == [(1, None), (2, b"ab")]


GARBAGE: dict[str, Callable[[int], bytes]] = {
    "one-letter lines": lambda n: b"x\n" * n,
    "numbers": lambda n: b"1\n" * n,
    "objects": lambda n: b"{}\n" * n,
    "newlines": lambda n: b"\n" * (10 * n),
    "blank lines": lambda n: b" \n" * (10 * n),
    "one long line": lambda n: b"x" * (50 * n),
    "a line in pieces": lambda n: b"x" * (5 * n),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_time_for_garbage_in_a_batch_is_linear(kind: str) -> None:
    async def taken(content: bytes, size: int) -> int:
        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(content), size):
                yield content[start : start + size]

        answer = batch.BatchAnswer(chunks(), None, "acme", None, str)  # type: ignore[arg-type]
        return sum([len(lines) async for lines in answer._chunks()])

    def work(size: int) -> Callable[[], object]:
        content = GARBAGE[kind](size)
        return lambda: asyncio.run(taken(content, 1 if kind == "a line in pieces" else 256_000))

    assert_linear(work, 1_000)


async def test_batch_line_limit_counts_blank_lines(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MAX_LINES", 3)
    answers = await send(shop.client, b"\n" * 2 + ndjson(*(shop.body(f"PO-{i}") for i in range(1, 4))))
    assert told(answers) == [(3, "PO-1", "created"), (4, None, "invalid")]
    assert answers[-1]["problem"]["type"] == "urn:crossdock:problem:too-many-lines"
    assert told(await send(shop.client, b"\n" * 1_000_000)) == [(4, None, "invalid")]


async def test_batch_over_line_limit_ends_with_a_problem_line(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MAX_LINES", 3)
    answers = await send(shop.client, ndjson(*(shop.body(f"PO-{i}") for i in range(1, 10))))
    assert told(answers) == [
        (1, "PO-1", "created"),
        (2, "PO-2", "created"),
        (3, "PO-3", "created"),
        (4, None, "invalid"),
    ]
    assert answers[-1]["problem"]["type"] == "urn:crossdock:problem:too-many-lines"
    assert await shop.count("orders") == 3


async def test_batch_over_byte_limit_ends_with_a_problem_line(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    line = ndjson(shop.body("PO-1"))
    huge = {**NDJSON, "content-length": str(batch.MAX_BYTES + 1)}
    announced = await shop.client.post("/v1/orders:batch", content=line, headers=huge)
    assert announced.status_code == 413

    async def chunks() -> AsyncIterator[bytes]:
        yield line
        for _ in range(65):
            yield b" " * (1 << 20)

    monkeypatch.setattr(batch, "LONGEST_LINE", 1 << 30)
    answers = await send(shop.client, chunks())
    assert told(answers) == [(1, "PO-1", "created"), (2, None, "invalid")]
    assert answers[-1]["problem"]["status"] == 413


@pytest.mark.parametrize("content", [b"", b"\n", b"\n \n\n"])
async def test_empty_batch_has_an_empty_answer(shop: Shop, content: bytes) -> None:
    assert await send(shop.client, content) == []


async def test_batch_of_another_content_type_is_refused(shop: Shop) -> None:
    answer = await shop.client.post("/v1/orders:batch", json=shop.body())
    assert (answer.status_code, await shop.count("orders")) == (415, 0)


async def test_batch_answers_arrive_while_the_request_is_still_sent(shop: Shop) -> None:
    """A conversation: each line is sent only after the one before it was answered."""
    app = application(shop)
    answered: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    asked = 0

    async def receive() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        if asked > 1:
            assert (await asyncio.wait_for(answered.get(), 10))["line"] == asked - 1
        body = ndjson(shop.body(f"PO-{asked}")) if asked <= 3 else b""
        return {"type": "http.request", "body": body, "more_body": asked <= 3}

    async def hear(message: dict[str, Any]) -> None:
        for line in message.get("body", b"").splitlines():
            await answered.put(json.loads(line))

    await asyncio.wait_for(app(scope(), receive, hear), 30)
    assert await shop.count("orders") == 3


def application(shop: Shop) -> Callable[..., Awaitable[None]]:
    """Return the ASGI application behind the client, for requests that httpx cannot send."""
    transport = shop.client._transport
    assert isinstance(transport, httpx.ASGITransport)
    return transport.app


def scope() -> dict[str, Any]:
    return {
        "type": "http",
        "method": "POST",
        "path": "/v1/orders:batch",
        "raw_path": b"/v1/orders:batch",
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer acme orders:write"), (b"content-type", b"application/x-ndjson")],
        "asgi": {"spec_version": "2.3", "version": "3.0"},
    }


async def test_client_disconnect_places_only_whole_lines(shop: Shop) -> None:
    app = application(shop)
    messages: Iterator[dict[str, Any]] = iter(
        [
            {"type": "http.request", "body": ndjson(shop.body("PO-1"), shop.body("PO-2")), "more_body": True},
            {"type": "http.request", "body": json.dumps(shop.body("PO-3")).encode(), "more_body": True},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> dict[str, Any]:
        return next(messages)

    async def ignore(message: dict[str, Any]) -> None:
        pass

    await asyncio.wait_for(app(scope(), receive, ignore), 10)
    assert await shop.count("orders") == await shop.count("outbox") == 2
    answers = await send(shop.client, ndjson(*(shop.body(f"PO-{i}") for i in (1, 2, 3))))
    assert [each["outcome"] for each in answers] == ["existing", "existing", "created"]


async def test_client_that_reads_only_after_sending_gets_all_answers(shop: Shop) -> None:
    """`send` blocks as a socket whose buffers are full does; the input is read to its end all the same."""
    app = application(shop)
    sent_all = asyncio.Event()
    bodies = [ndjson(shop.body(f"PO-{i}")) for i in range(30)]
    heard: list[bytes] = []

    async def receive() -> dict[str, Any]:
        if not bodies:
            sent_all.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        return {"type": "http.request", "body": bodies.pop(0), "more_body": True}

    async def hear(message: dict[str, Any]) -> None:
        await sent_all.wait()
        heard.append(message.get("body", b""))

    async def hear_late(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            await hear(message)

    await asyncio.wait_for(app(scope(), receive, hear_late), 30)
    assert len(b"".join(heard).splitlines()) == 30


async def test_unread_answers_end_the_batch(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "GROUP", 3)
    monkeypatch.setattr(batch, "MAX_WAITING", 6)
    monkeypatch.setattr(batch.BatchAnswer.__init__, "__kwdefaults__", {"backlog_bytes": 500})
    app = application(shop)
    sent_all = asyncio.Event()
    bodies = [ndjson(shop.body(f"PO-{i}")) for i in range(30)]
    heard: list[bytes] = []

    async def receive() -> dict[str, Any]:
        if not bodies:
            sent_all.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        return {"type": "http.request", "body": bodies.pop(0), "more_body": True}

    async def hear(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            await sent_all.wait()
            heard.append(message["body"])

    await asyncio.wait_for(app(scope(), receive, hear), 30)
    answers = [json.loads(line) for line in b"".join(heard).splitlines()]
    assert answers[-1]["problem"]["type"] == "urn:crossdock:problem:answers-unread"
    assert [each["outcome"] for each in answers[:-1]] == ["created"] * (len(answers) - 1)
    assert await shop.count("orders") == len(answers) - 1 < 30


async def test_other_requests_run_while_refused_lines_are_answered(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of an empty object has an error for each required member, so 500 answers take 200 ms."""
    turns: list[int] = []
    written = batch._written

    def seen(answers: list[batch.BatchLine]) -> bytes:
        turns.append(len(answers))
        return written(answers)

    monkeypatch.setattr(batch, "_written", seen)
    answers = await send(shop.client, b"{}\n" * batch.GROUP)
    assert len(answers) == batch.GROUP == sum(turns)
    assert max(turns) == batch.LINES_AT_ONCE


@pytest.mark.parametrize(("chunk", "at_once"), [(1, 50), (50, 5)], ids=["a line a chunk", "one chunk"])
async def test_lines_are_placed_in_full_groups(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, chunk: int, at_once: int
) -> None:
    sizes: list[int] = []
    answered = batch.BatchAnswer._answers

    async def seen(self: batch.BatchAnswer, group: list[batch.Line]) -> bytes:
        sizes.append(len(group))
        return await answered(self, group)

    monkeypatch.setattr(batch.BatchAnswer, "_answers", seen)
    monkeypatch.setattr(batch, "GROUP", 20)
    monkeypatch.setattr(batch, "LINES_AT_ONCE", at_once)
    app = application(shop)
    orders = [shop.body(f"PO-{i}") for i in range(50)]
    bodies = [ndjson(*orders[i : i + chunk]) for i in range(0, 50, chunk)]

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": bodies.pop(0) if bodies else b"", "more_body": bool(bodies)}

    async def hear(message: dict[str, Any]) -> None:
        pass

    await asyncio.wait_for(app(scope(), receive, hear), 30)
    assert sizes == [20, 20, 10]
    assert await shop.count("orders") == 50


async def test_lines_refused_under_load_fail_and_can_be_sent_again(open_shop: OpenShop) -> None:
    shop = await open_shop()
    shop.service.database.pressure.outbox_depth = 10**9
    answers = await send(shop.client, ndjson(shop.body("PO-1"), b"garbage"))
    assert [each["outcome"] for each in answers] == ["failed", "invalid"]
    assert answers[0]["problem"]["status"] == 503
    shop.service.database.pressure.outbox_depth = 0
    assert [each["outcome"] for each in await send(shop.client, ndjson(shop.body("PO-1")))] == ["created"]


@pytest.mark.parametrize(
    ("bound", "limit"), [("MAX_WAITING", 6), ("WAITING_BYTES", 600)], ids=["many lines", "long lines"]
)
async def test_batch_reads_no_more_lines_than_may_wait(monkeypatch: pytest.MonkeyPatch, bound: str, limit: int) -> None:
    monkeypatch.setattr(batch, bound, limit)
    monkeypatch.setattr(batch, "GROUP", 3)
    read = 0

    async def chunks() -> AsyncIterator[list[batch.Line]]:
        nonlocal read
        for read in range(1, 31):
            yield [batch.Line(read, None, ValueError(), 100)]

    waiting = batch._Waiting()
    filling = asyncio.create_task(waiting.fill(chunks()))
    taken = 0
    while group := await waiting.take():
        taken += len(group)
        for _ in range(50):
            await asyncio.sleep(0)
        assert read <= taken + 7
    await filling
    assert taken == 30
