"""Spans that a library opens through OpenTelemetry's own API nest under ours."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest
from examples import placed
from fastapi import APIRouter
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from crossdock_chassis import Coalescer, Service, Unit, on
from crossdock_chassis.http.application import Api
from crossdock_chassis.observability import tracing
from crossdock_chassis.testing import Deliver
from crossdock_chassis.testing.signing import Signer
from crossdock_events import Envelope
from crossdock_events.orders import OrderPlaced


class Seen(BaseModel):
    n: int


@pytest.fixture(autouse=True)
def no_detach_fails(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """OpenTelemetry logs a context that is detached elsewhere than where it was attached, and goes on."""
    yield
    assert [each.getMessage() for each in caplog.get_records("call") if each.levelno >= logging.ERROR] == []


def call_library() -> None:
    """An instrumented library: it knows OpenTelemetry and nothing of Crossdock."""
    provider = tracing._Exporting.provider
    with trace.get_tracer("library", tracer_provider=provider).start_as_current_span("call"):
        pass


def parents_of_calls(exported: InMemorySpanExporter) -> list[str | None]:
    spans = exported.get_finished_spans()
    names = {span.context.span_id: span.name for span in spans}
    return [span.parent and names.get(span.parent.span_id) for span in spans if span.name == "call"]


def named(exported: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in exported.get_finished_spans() if span.name == name]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    router = APIRouter(prefix="/t")

    @router.get("/calls")
    async def get_calls() -> None:
        await asyncio.sleep(0)
        call_library()

    @router.get("/streams")
    async def get_streams() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(3):
                with tracing.span("piece"):
                    call_library()
                    yield b"x"

        return StreamingResponse(pieces())

    @router.get("/hangs")
    async def get_hangs() -> None:
        with tracing.span("hangs"):
            call_library()
            await asyncio.Event().wait()

    api = Api("tests", [router], verifier=Signer.generate().verifier())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://service") as client:
        yield client


async def test_library_span_in_a_request_nests_under_it(
    client: httpx.AsyncClient, exported: InMemorySpanExporter
) -> None:
    await asyncio.gather(*(client.get("/t/calls") for _ in range(5)))
    assert parents_of_calls(exported) == ["GET /t/calls"] * 5
    assert len({span.context.trace_id for span in named(exported, "call")}) == 5
    await client.get("/t/calls")
    assert not trace.get_current_span().get_span_context().is_valid, "nothing of the request is left behind"


async def test_library_span_in_a_stream_nests_under_its_piece(
    client: httpx.AsyncClient, exported: InMemorySpanExporter
) -> None:
    assert (await client.get("/t/streams")).text == "xxx"
    assert parents_of_calls(exported) == ["piece"] * 3


async def test_cancelled_request_ends_its_spans_and_detaches(
    client: httpx.AsyncClient, exported: InMemorySpanExporter
) -> None:
    hanging = asyncio.create_task(client.get("/t/hangs"))
    async with asyncio.timeout(5):
        while not named(exported, "call"):
            await asyncio.sleep(0)
    hanging.cancel()
    await asyncio.wait([hanging])
    assert parents_of_calls(exported) == ["hangs"]
    assert len(named(exported, "GET /t/hangs")) == 1


async def test_library_span_in_a_handler_nests_under_its_batch(
    service: Service, exported: InMemorySpanExporter
) -> None:
    async def handler(unit: Unit, batch: Sequence[int]) -> list[Seen | Exception]:
        call_library()
        return [Seen(n=n) for n in batch]

    place = Coalescer(service.database, handler, Seen, name="place")

    async def call(n: int) -> None:
        with tracing.span("request"):
            await place(n)

    await asyncio.gather(*(call(n) for n in range(5)))
    await place.many(list(range(5)))
    assert len(named(exported, "place")) >= 2
    assert set(parents_of_calls(exported)) == {"place"}


async def test_library_span_in_a_reaction_nests_under_it(
    service: Service, deliver: Deliver, exported: InMemorySpanExporter
) -> None:
    async def react(unit: Unit, batch: Sequence[Envelope[Any]]) -> None:
        call_library()

    await deliver(replace(service, reactions=[on(OrderPlaced, react)]), placed("PO-1"))
    assert parents_of_calls(exported) == ["toy-service OrderPlaced"]


async def test_span_of_an_unsampled_caller_keeps_libraries_silent(exported: InMemorySpanExporter) -> None:
    with tracing.span("ours", parents=[f"00-{'a' * 32}-{'b' * 16}-00"]):
        call_library()
    assert exported.get_finished_spans() == ()
