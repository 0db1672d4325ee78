"""W3C trace context through everything; OpenTelemetry spans where somebody collects them.

Without an OTLP endpoint nothing is recorded: a trace costs a random number and travels all the same, so that a
neighbour who records can tie its spans together. `CURRENT` is a contextvar: each request and each task has its own.
"""

import random
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TraceFlags, Tracer

MAX_LINKS: Final = 64
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_random: Final = random.Random()

CURRENT: Final[ContextVar[str | None]] = ContextVar("crossdock_traceparent", default=None)
Attributes = Mapping[str, str | int | float | bool]


class _Exporting:
    """The tracer of this process, None until `configure` was told where spans go."""

    tracer: Tracer | None = None
    provider: TracerProvider | None = None


def configure(service: str, role: str, endpoint: str | None) -> None:
    if endpoint is None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415  (slow, seldom needed)
        OTLPSpanExporter,
    )

    resource = Resource.create({"service.name": service, "service.namespace": "crossdock", "crossdock.role": role})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint.rstrip("/") + "/v1/traces")))
    use(provider)


def use(provider: TracerProvider | None) -> None:
    """The seam for tests: a provider with an exporter in memory; None switches recording off again."""
    _Exporting.provider = provider
    _Exporting.tracer = provider.get_tracer("crossdock") if provider else None


def shutdown() -> None:
    """Sends what is left; blocks for as long as the exporter's own deadline."""
    if _Exporting.provider is not None:
        _Exporting.provider.shutdown()
        use(None)


def current_traceparent() -> str | None:
    return CURRENT.get()


def trace_id(traceparent: str | None) -> str | None:
    return traceparent[3:35] if traceparent else None


def begin(name: str, parent: str | None, kind: SpanKind = SpanKind.SERVER) -> tuple[str, Span | None]:
    """The traceparent of a new span below `parent` (a new trace when that is none or nonsense), and the span when
    somebody records. Whoever begins ends it."""
    tracer = _Exporting.tracer
    if tracer is not None:
        span = tracer.start_span(name, context=trace.set_span_in_context(NonRecordingSpan(_context(parent))), kind=kind)
        return _traceparent(span.get_span_context()), span
    if parent is not None and _TRACEPARENT.fullmatch(parent):
        return f"00-{parent[3:35]}-{_random.getrandbits(64) | 1:016x}-{parent[53:55]}", None
    return f"00-{_random.getrandbits(128) | 1:032x}-{_random.getrandbits(64) | 1:016x}-00", None


@contextmanager
def span(name: str, *, parents: Iterable[str | None] = (), attributes: Attributes | None = None) -> Iterator[None]:
    """A block under a span. One distinct parent is its parent, of several each is a link, with none it continues what
    is current. An exception marks the span and goes on.

    with span("react OrderPlaced", parents=[envelope.cause.traceparent for envelope in batch]): ...
    """
    distinct = list(dict.fromkeys(parent for parent in parents if parent))
    parent = distinct[0] if len(distinct) == 1 else None if distinct else CURRENT.get()
    tracer = _Exporting.tracer
    if tracer is None:
        token = CURRENT.set(begin(name, parent)[0])
        try:
            yield
        finally:
            CURRENT.reset(token)
        return
    links = [Link(_context(each)) for each in distinct[:MAX_LINKS]] if len(distinct) > 1 else []
    context = trace.set_span_in_context(NonRecordingSpan(_context(parent)))
    kind = SpanKind.CONSUMER if distinct else SpanKind.INTERNAL
    opened = tracer.start_span(name, context=context, kind=kind, links=links, attributes=attributes)
    token = CURRENT.set(_traceparent(opened.get_span_context()))
    try:
        yield
    except BaseException as error:
        opened.set_status(StatusCode.ERROR, type(error).__name__)
        raise
    finally:
        CURRENT.reset(token)
        opened.end()


def _context(traceparent: str | None) -> SpanContext:
    found = _TRACEPARENT.fullmatch(traceparent or "")
    if found is None:
        return SpanContext(0, 0, is_remote=True)
    return SpanContext(int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=TraceFlags(int(found[3], 16)))


def _traceparent(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
