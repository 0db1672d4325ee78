"""Traces that travel, logs that keep secrets, metrics with bounded labels."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import APIRouter
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import REGISTRY
from pydantic import BaseModel

from crossdock_chassis import Coalescer, Unit
from crossdock_chassis.http.application import Api
from crossdock_chassis.observability import logging as logs
from crossdock_chassis.observability import metrics, tracing
from crossdock_chassis.observability.context import REQUEST_ID
from crossdock_chassis.testing.signing import Signer

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{SPAN}-01"
OTHER = f"00-{'a' * 32}-{'b' * 16}-01"
log = logging.getLogger("crossdock.tests")


class Seen(BaseModel):
    n: int


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    router = APIRouter(prefix="/t")

    @router.get("/current/{id}")
    async def get_current(id: str) -> str | None:
        log.info("inside", extra={"id": id})
        with tracing.span("work"):
            return tracing.current_traceparent()

    @router.get("/breaks")
    async def get_breaks() -> str:
        raise RuntimeError("boom")

    api = Api("tests", [router], verifier=Signer.generate().verifier())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://service") as client:
        yield client


# --- traces


async def test_a_trace_travels_through_although_nobody_records(client: httpx.AsyncClient) -> None:
    inner = (await client.get("/t/current/1", headers={"traceparent": SAMPLED})).json()
    version, trace_id, span_id, flags = inner.split("-")
    assert (version, trace_id, flags) == ("00", TRACE, "01")
    assert span_id != SPAN
    assert tracing.current_traceparent() is None, "nothing of the request is left behind"


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        "",
        "00",
        SAMPLED[:-1],
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        SAMPLED.upper(),
        SAMPLED + " x",
        "x" * 5_000,
    ],
)
async def test_without_a_trace_that_makes_sense_a_new_one_begins(
    client: httpx.AsyncClient, nonsense: str | None
) -> None:
    headers = {} if nonsense is None else {"traceparent": nonsense}
    first, second = [(await client.get("/t/current/1", headers=headers)).json() for _ in range(2)]
    assert first[3:35] != second[3:35]
    assert TRACE not in first and first.endswith("-00")


async def test_a_later_version_of_the_header_still_joins(client: httpx.AsyncClient) -> None:
    inner = (await client.get("/t/current/1", headers={"traceparent": f"01-{TRACE}-{SPAN}-01-more"})).json()
    assert inner.startswith(f"00-{TRACE}-")


async def test_recorded_spans_have_route_and_status_and_a_parent(
    client: httpx.AsyncClient, exported: InMemorySpanExporter
) -> None:
    inner = (await client.get("/t/current/1", headers={"traceparent": SAMPLED})).json()
    assert (await client.get("/t/breaks", headers={"traceparent": SAMPLED})).status_code == 500
    work, request, broken = exported.get_finished_spans()
    assert (request.name, request.kind) == ("GET /t/current/{id}", SpanKind.SERVER)
    assert request.attributes is not None and request.parent is not None and work.parent is not None
    assert request.attributes["http.response.status_code"] == 200
    assert f"{request.parent.span_id:016x}" == SPAN
    assert work.parent.span_id == request.context.span_id
    assert inner == f"00-{TRACE}-{work.context.span_id:016x}-01"
    assert (broken.status.status_code, "boom" in str(broken.attributes)) == (StatusCode.ERROR, False)


async def test_a_caller_that_does_not_sample_is_followed(
    client: httpx.AsyncClient, exported: InMemorySpanExporter
) -> None:
    inner = (await client.get("/t/current/1", headers={"traceparent": f"00-{TRACE}-{SPAN}-00"})).json()
    assert inner.startswith(f"00-{TRACE}-") and inner.endswith("-00")
    assert exported.get_finished_spans() == ()


def test_a_batch_has_one_parent_or_many_links(exported: InMemorySpanExporter) -> None:
    with tracing.span("one", parents=[SAMPLED, None, SAMPLED]):
        assert (tracing.current_traceparent() or "").startswith(f"00-{TRACE}")
    with tracing.span("many", parents=[SAMPLED, OTHER, "nonsense"]):
        assert TRACE not in (tracing.current_traceparent() or "")
    with tracing.span("none", attributes={"count": 3}):
        pass
    one, many, none = exported.get_finished_spans()
    assert one.parent is not None and f"{one.parent.trace_id:032x}" == TRACE
    assert [f"{link.context.trace_id:032x}" for link in many.links if link.context.is_valid] == [TRACE, "a" * 32]
    assert none.parent is None and none.attributes == {"count": 3}


def test_an_exception_marks_its_span_and_goes_on(exported: InMemorySpanExporter) -> None:
    with pytest.raises(KeyError), tracing.span("fails"):
        raise KeyError("secret")
    (span,) = exported.get_finished_spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "KeyError")


async def test_concurrent_tasks_keep_their_traces_apart() -> None:
    async def one(parent: str) -> bool:
        with tracing.span("one", parents=[parent]):
            await asyncio.sleep(0)
            return (tracing.current_traceparent() or "")[3:35] == parent[3:35]

    assert all(await asyncio.gather(*(one(parent) for parent in [SAMPLED, OTHER] * 10)))


async def test_spans_reach_a_collector_over_otlp(unused_tcp_port: int) -> None:
    received: list[bytes] = []

    async def collector(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(collector, "127.0.0.1", unused_tcp_port):
        tracing.configure("order-service", "api", f"http://127.0.0.1:{unused_tcp_port}")
        with tracing.span("work"):
            assert int((tracing.current_traceparent() or "0")[-2:], 16) & 1, "sampled"
        with trace.get_tracer("a library").start_as_current_span("call") as call:
            assert call.is_recording(), "libraries send theirs the same way"
        await asyncio.to_thread(tracing.shutdown)
    assert received[0].startswith(b"POST /v1/traces")


async def test_unit_is_linked_to_all_its_callers_and_logs_for_none(
    exported: InMemorySpanExporter, logged: io.StringIO
) -> None:
    """A database that is never asked: what is tested happens around the unit."""

    @asynccontextmanager
    async def unit(**_: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(0)
        yield SimpleNamespace(sql=None)

    async def handler(unit: Unit, batch: Sequence[int]) -> list[Seen | Exception]:
        log.info("wrote", extra={"batch": len(batch)})
        return [Seen(n=n) for n in batch]

    database: Any = SimpleNamespace(unit=unit, pressure=SimpleNamespace(high=False), count=lambda *_: None)
    door: Coalescer[int, Seen] = Coalescer(database, handler, Seen, name="place")

    async def call(n: int, parent: str) -> None:
        REQUEST_ID.set("one-of-many")
        with tracing.span("request", parents=[parent]):
            assert (await door(n)).result.n == n

    await asyncio.gather(call(0, SAMPLED), call(1, OTHER))
    batches = [span for span in exported.get_finished_spans() if span.name == "place"]
    assert sum(len(span.links) or 1 for span in batches) == 2
    traces = {f"{link.context.trace_id:032x}" for span in batches for link in span.links}
    traces |= {f"{span.parent.trace_id:032x}" for span in batches if span.parent}
    assert traces == {TRACE, "a" * 32}
    assert written(logged) and "one-of-many" not in logged.getvalue()


# --- logs


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure("order-service", "api", "info")
    stream = io.StringIO()
    handler = root.handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def written(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


async def test_a_line_says_who_and_for_which_request(client: httpx.AsyncClient, logged: io.StringIO) -> None:
    answered = await client.get("/t/current/7", headers={"traceparent": SAMPLED})
    (line,) = written(logged)
    assert (line["event"], line["level"], line["id"]) == ("inside", "info", "7")
    assert (line["service"], line["role"], line["trace_id"]) == ("order-service", "api", TRACE)
    assert line["request_id"] == answered.headers["request-id"]
    assert line["timestamp"].endswith("Z")


async def test_unhandled_error_is_logged_and_not_shown_to_the_client(
    client: httpx.AsyncClient, logged: io.StringIO
) -> None:
    answered = await client.get("/t/breaks")
    (line,) = written(logged)
    assert (line["event"], line["level"], line["route"]) == ("unhandled", "error", "/t/breaks")
    assert line["request_id"] == answered.json()["request_id"]
    assert "boom" in line["exception"] and "boom" not in answered.text


def test_secrets_do_not_reach_a_line(logged: io.StringIO) -> None:
    token = Signer.generate().token("acme")
    log.warning("got %s from postgresql://role:hunter2@host/db", token)
    log.warning("x", extra={"authorization": "hunter2", "nested": {"client_secret": "hunter2", "list": [token]}})
    log.warning("Authorization: Basic aHVudGVyMjpodW50ZXIy")
    try:
        raise ValueError(f"Bearer {token}; input_value='hunter2', input_type=str")
    except ValueError:
        log.exception("failed")
    text = logged.getvalue()
    assert len(written(logged)) == 4
    assert "hunter2" not in text and token not in text and "aHVudGVy" not in text


def test_below_the_level_and_chatter_of_the_server_stay_out(logged: io.StringIO) -> None:
    log.debug("detail")
    logging.getLogger("uvicorn.access").info("GET / 200")
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("aiokafka").info("chatter")
    assert logged.getvalue() == ""
    logging.getLogger("uvicorn.error").warning("trouble")
    assert written(logged)[0]["logger"] == "uvicorn.error"


# --- metrics


async def test_requests_are_counted_by_template_and_never_by_path(client: httpx.AsyncClient) -> None:
    def count(**labels: str) -> float:
        return REGISTRY.get_sample_value("crossdock_http_requests_total", labels) or 0

    labels = {"method": "GET", "route": "/t/current/{id}", "status": "200"}
    nowhere = {"method": "other", "route": "unmatched", "status": "404"}
    before, lost = count(**labels), count(**nowhere)
    for n in range(3):
        await client.get(f"/t/current/{n}")
        await client.request(f"MADEUP{n}", f"/no/such/{n}")
    assert (count(**labels) - before, count(**nowhere) - lost) == (3, 3)
    text = metrics.exposition().decode()
    assert "/no/such/" not in text and "MADEUP" not in text
    assert 'crossdock_http_request_seconds_bucket{le="0.15",method="GET",route="/t/current/{id}"}' in text


@pytest.mark.parametrize(
    "name",
    [
        "crossdock_outbox_depth",
        "crossdock_outbox_oldest_seconds",
        "crossdock_relay_sent_total",
        "crossdock_consumer_lag_messages",
        "crossdock_consumer_lag_seconds",
        "crossdock_dead_letters",
        "crossdock_parked_keys",
        "crossdock_batch_size",
        "crossdock_queue_depth",
        "crossdock_rate_limited_total",
        "crossdock_rate_limit_unavailable_total",
        "crossdock_verb_seconds",
        "crossdock_verb_outcomes_total",
        "crossdock_command_wait_seconds",
        "crossdock_waiting_orders",
        "crossdock_waiting_oldest_seconds",
        "crossdock_consumer_stopped_partitions",
        "crossdock_consumer_unknown_types_total",
    ],
)
def test_what_dashboards_read_keeps_its_name(name: str) -> None:
    assert f"# HELP {name} " in metrics.exposition().decode()
