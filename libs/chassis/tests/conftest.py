from collections.abc import AsyncIterator, Iterator

import pytest
import toy
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from receiver import Receiver, posting, receiving

from crossdock_chassis import Service
from crossdock_chassis.effects.performer import Do
from crossdock_chassis.observability import tracing
from crossdock_chassis.testing import Fresh


@pytest.fixture
async def service(fresh: Fresh) -> Service:
    return await fresh(toy.build, toy.Settings)


@pytest.fixture
def exported() -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield exporter
    tracing.use(None)
    provider.shutdown()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def post(receiver: Receiver) -> AsyncIterator[Do]:
    async with posting(receiver.url) as post:
        yield post
