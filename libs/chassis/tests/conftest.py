from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from uuid import uuid4

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
from crossdock_local.servers import Servers


@pytest.fixture
async def service(fresh: Fresh) -> Service:
    return await fresh(toy.build, toy.Settings)


@pytest.fixture
async def kafka_service(fresh: Fresh, servers: Servers) -> Service:
    """Build a toy service on a real broker, with a group of its own: other tests' events are on the same topics."""
    assert servers.bootstrap is not None
    made = await fresh(toy.build, toy.Settings, kafka=servers.bootstrap)
    made = replace(made, name=f"toy-{uuid4().hex[:8]}", projections=())
    servers.topics.ensure(made.topic_specs())
    return made


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
