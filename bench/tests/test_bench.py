"""Test the parts of the bench whose errors nobody would notice: arithmetic, parsing and clock."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from bench import bare, client, garbage, goods, loader, run
from bench.compare import differences
from bench.cpu import Reading, backend_of, used
from bench.helper import ROOT
from bench.profile import folded
from bench.results import Results, Row, shown
from bench.scale import TINY
from bench.stack import BenchFailed
from bench.statistics import middle, percentile, spread


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 5.0), (0.99, 10.0), (0.9, 9.0), (0.01, 1.0), (1.0, 10.0), (0.0, 1.0)]
)
def test_percentiles_are_values_that_were_measured(share: float, expected: float) -> None:
    assert percentile([10.0, 1, 2, 3, 4, 5, 6, 7, 8, 9], share) == expected


def test_of_nothing_there_is_no_percentile() -> None:
    with pytest.raises(ValueError):
        percentile([], 0.5)


def test_one_disturbed_run_does_not_move_the_result() -> None:
    assert middle([100.0, 99.0, 3.0]) == 99.0
    assert spread([90.0, 100.0, 110.0]) == pytest.approx(0.2)


def test_rows_know_whether_they_reach_their_target() -> None:
    assert Row("a", [1.0], "x", 2.0).met is False
    assert Row("a", [1.0], "x", 2.0, "less").met is True
    assert Row("a", [1.0], "x").met is None
    document = Results({}, "", rows=[Row("a", [3.0, 1.0, 2.0], "x", 2.0)]).document()
    assert document["rows"][0]["value"] == 2.0 and document["rows"][0]["met"] is True
    assert [shown(value) for value in (1234.5, 12.34, 1.234)] == ["1,234", "12.3", "1.23"]


def test_comparison_knows_noise_from_a_difference() -> None:
    def document(**rows: list[float]) -> dict[str, Any]:
        return Results({}, "", [Row(name, runs, "ms", better="less") for name, runs in rows.items()]).document()

    old = document(noisy=[10, 12, 14], faster=[10, 12, 14], slower=[10, 12, 14], single=[10], gone=[1])
    new = document(noisy=[13, 15, 17], faster=[4, 6, 8], slower=[24, 24, 30], single=[20], fresh=[1])
    found = {each.name: each for each in differences(old, new)}
    assert found.keys() == {"noisy", "faster", "slower", "single"}
    assert {name: each.beyond for name, each in found.items()} == {
        "noisy": False, "faster": True, "slower": True, "single": None,
    }  # fmt: skip
    assert found["faster"].ratio == 0.5 and found["slower"].ratio == 2
    assert found["faster"].better and not found["slower"].better


def test_orders_add_up_and_differ() -> None:
    assortment = goods.Assortment(200)
    orders = list(goods.orders(300, "T", 7, assortment))
    for order in orders:
        assert len({line["item_id"] for line in order["lines"]}) == goods.LINES
        total = sum(line["quantity"] * Decimal(line["unit_price"]) for line in order["lines"])
        assert total == Decimal(order["total"])
    assert len({order["reference"] for order in orders}) == 300
    assert orders == list(goods.orders(300, "T", 7, assortment))
    sold = Counter(line["item_id"] for order in orders for line in order["lines"])
    assert sold[assortment.items[0].id] > 5 * sold[assortment.items[150].id]


def test_orders_of_a_shape_have_its_item_and_lines() -> None:
    shape = goods.Shape(lines=5, always="HOT", partial=True)
    for order in goods.orders(20, "T", 7, goods.Assortment(50), shape):
        assert len({line["item_id"] for line in order["lines"]}) == 5
        assert order["lines"][0]["item_id"] == "HOT" and order["partial"]
        assert sum(line["quantity"] * Decimal(line["unit_price"]) for line in order["lines"]) == Decimal(order["total"])
    assert not any("partial" in order for order in goods.orders(20, "T", 7, goods.Assortment(50)))


def test_repeated_requests_are_sent_twice_at_once_or_later() -> None:
    sent = loader.repeated([b"%d" % number for number in range(2_000)])
    assert set(Counter(sent).values()) == {2} and len(sent) == 4_000
    distances = {int(each): sent.index(each, sent.index(each) + 1) - sent.index(each) for each in set(sent)}
    assert {distances[number] for number in range(1, 2_000, 2)} == {1}
    assert all(distances[number] > loader.LATER for number in range(0, 1_000, 2))


def test_groups_of_bare_orders_take_each_row_once() -> None:
    rows: Any = [{"id": number, "name": str(number)} for number in range(25)]
    step = bare.Step("orders", [bare.Rows("orders", {"id": "bigint", "name": "text"}, rows)], [], confirms=range(25))
    assert re.findall(r"\$(\d)::(\w+)", step.statement) == [("1", "uuid"), ("2", "bigint"), ("3", "text")]
    shares = [bare.Share(0.2, 1).part(number, 3) for number in range(3)]
    groups = [step.arguments(share) for share in shares]
    for column, values in enumerate((range(5, 25), range(5, 25), map(str, range(5, 25)))):
        assert [value for group in groups for value in group[column]] == list(values)


def test_batches_hold_every_line_once() -> None:
    lines = [b"%d" % n for n in range(25)]
    assert b"".join(goods.batches(lines, 10)).split() == lines


def test_processor_time_goes_to_the_database_that_used_it() -> None:
    before = Reading({"postgres": 10.0, "api": 1.0}, {7: ("orders", 4.0), 8: ("gone", 1.0)})
    after = Reading({"postgres": 16.0, "api": 1.5}, {7: ("orders", 6.0), 9: ("orders", 1.0)})
    assert used(before, after) == {"postgres": 3.0, "postgres orders": 3.0, "api": 0.5}
    assert backend_of("postgres: someone orders 127.0.0.1(4711) idle in transaction") == "orders"
    assert backend_of("postgres: walwriter ") is None


def test_samples_are_counted_once_a_function() -> None:
    profile = folded(["run (a.py:1);walk (b.py:2);walk (b.py:9) 3", "run (a.py:1) 1", ""])
    assert profile.samples == 4
    assert profile.own == {"walk (b.py)": 0.75, "run (a.py)": 0.25}
    assert profile.below == {"run (a.py)": 1.0, "walk (b.py)": 0.75}


@asynccontextmanager
async def server(answer: bytes, *, pieces: int = 1, alone: bool = False) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Answer every request with these bytes, in `pieces` writes. `alone`: first close all other connections."""
    seen: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                seen.append(await reader.readexactly(length))
                for other in writers:
                    if alone and other is not writer:
                        other.close()
                size = -(-len(answer) // pieces)
                for start in range(0, len(answer), size):
                    writer.write(answer[start : start + size])
                    await writer.drain()
                    await asyncio.sleep(0)

    listening = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1], seen
        for writer in writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


def requests(count: int) -> list[bytes]:
    return [client.request("/", "x", {"a": "b"}, b"%d" % number) for number in range(count)]


CREATED = b'HTTP/1.1 201 Created\r\ncontent-length: 10\r\n\r\n{"id":"a"}'
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"


@pytest.mark.parametrize(("answer", "status", "body"), [(CREATED, 201, b'{"id":"a"}'), (CHUNKED, 200, b"abcde")])
@pytest.mark.parametrize("pieces", [1, 7])
async def test_every_request_is_sent_once_and_answered(answer: bytes, status: int, body: bytes, pieces: int) -> None:
    async with server(answer, pieces=pieces) as (port, seen):
        answers = await client.post_all("127.0.0.1", port, requests(50), connections=4, seconds=20)
    assert sorted(map(int, seen)) == list(range(50)) == sorted(each.number for each in answers)
    assert {(each.status, each.body) for each in answers} == {(status, body)}
    assert all(each.answered >= each.due > 0 for each in answers)


async def test_steady_load_is_sent_by_the_clock() -> None:
    async with server(CREATED) as (port, _):
        answers = await client.post_all("127.0.0.1", port, requests(20), connections=2, rate=200, seconds=20)
    due = [each.due for each in sorted(answers, key=lambda each: each.number)]
    assert [later - due[0] for later in due] == pytest.approx([number / 200 for number in range(20)])


async def test_idle_connections_that_the_server_closes_are_left() -> None:
    async with server(CREATED, alone=True) as (port, _):
        answers = await client.post_all("127.0.0.1", port, requests(3), connections=3, rate=4, seconds=20)
    assert [each.status for each in answers] == [201] * 3


async def test_a_silent_server_is_not_waited_for_for_ever() -> None:
    async with server(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc") as (port, _):
        with pytest.raises(client.LoadFailed, match="0 of 3"):
            await client.post_all("127.0.0.1", port, requests(3), connections=2, seconds=0.3)


async def test_nonsense_is_not_taken_for_an_answer() -> None:
    async with server(b"what?\r\n\r\n") as (port, _):
        with pytest.raises(client.LoadFailed, match="not HTTP"):
            await client.post_all("127.0.0.1", port, requests(3), connections=1, seconds=20)


def test_an_order_that_was_not_taken_fails_the_run() -> None:
    taken = client.Answer(0, 1.0, 201, 2.0, b'{"id": "a"}')
    assert loader.single([taken]) == {"a": 2.0}
    with pytest.raises(client.LoadFailed, match="503"):
        loader.single([taken, client.Answer(1, 1.0, 503, 2.0, b"{}")])
    lines = [{"outcome": "created", "id": "a"}, {"outcome": "invalid", "reference": "R"}]
    body = b"\n".join(json.dumps(line).encode() for line in lines)
    with pytest.raises(client.LoadFailed, match="invalid"):
        loader.batched([client.Answer(0, 1.0, 200, 2.0, body)])


def test_garbage_reaches_every_route_with_a_body() -> None:
    parameter = {"name": "id", "in": "path", "schema": {"type": "string", "format": "uuid"}}
    body: dict[str, Any] = {"content": {"application/json": {}}}
    paths = {"/a/{id}": {"get": {}, "post": {"requestBody": body, "parameters": [parameter]}}, "/b": {"put": {}}}
    ((route, path),) = garbage.routes({"paths": paths})
    assert (route.method, route.path) == ("POST", "/a/{id}") and "{" not in path
    for media_type, kinds in garbage.KINDS.items():
        for made in kinds.values():
            assert 0 < len(made(100_000)) <= 1.3 * 100_000, media_type


async def test_gap_is_as_long_as_the_loop_stands_still() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    def measure(url: str) -> float:
        with garbage.pinging(url) as slowest:
            asyncio.run_coroutine_threadsafe(block(), loop).result()
        return slowest()

    async def block() -> None:
        time.sleep(0.3)

    loop = asyncio.get_running_loop()
    async with await asyncio.start_server(talk, "127.0.0.1", 0) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        assert await asyncio.to_thread(measure, url) > 0.25


def test_a_tiny_run_has_something_of_everything() -> None:
    assert all(getattr(TINY, name) for name in TINY.__dataclass_fields__)


def test_long_answer_of_an_interrupted_process_arrives_whole() -> None:
    """A signal shortens a write to a pipe, and `print` under PYTHONUNBUFFERED drops the rest."""
    answering = (
        "import signal; from bench.helper import say; signal.signal(signal.SIGALRM, lambda *_: None); "
        "signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001); say(list(range(300_000))); "
        "signal.setitimer(signal.ITIMER_REAL, 0)"
    )
    pieces = []
    with subprocess.Popen(
        [sys.executable, "-c", answering], cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        while piece := process.stdout.read(1 << 15):
            pieces.append(piece)
            time.sleep(0.0005)  # slower than the writer, so that the pipe is full
    assert process.returncode == 0
    assert json.loads(b"".join(pieces)) == list(range(300_000))


def test_rows_before_a_failed_part_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(bench: Any) -> None:
        raise BenchFailed("no broker")

    row, found = Row("a row", [1.0], "ms"), Results({}, "")
    monkeypatch.setattr(run, "PARTS", {"first": lambda bench: bench.found.rows.append(row), "second": failing})
    with pytest.raises(run.Incomplete, match=r"^The part second failed: no broker$") as failed:
        run.measure(cast(Any, SimpleNamespace(found=found)))
    assert failed.value.found.rows == [row]
