"""Pass the W3C trace context on everywhere; record OpenTelemetry spans if an OTLP endpoint collects them.

Without an endpoint nothing is recorded and a trace costs a random number. Its context is still passed on, so that a
system that records spans can connect them. `CURRENT` is a contextvar: each request and each task has its own.
If spans are recorded, OpenTelemetry's own context is set too, so that the spans of libraries nest under ours.
"""

import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from opentelemetry import context, trace
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
    """The tracer of this process, None until `configure` got an endpoint."""

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
    trace.set_tracer_provider(provider)  # instrumented libraries use the global provider
    use(provider)


def use(provider: TracerProvider | None) -> None:
    """Record with this provider; None stops recording. Tests pass a provider with an exporter in memory."""
    _Exporting.provider = provider
    _Exporting.tracer = provider.get_tracer("crossdock") if provider else None


def shutdown() -> None:
    """Send the remaining spans. Block at most until the exporter's own deadline."""
    if _Exporting.provider is not None:
        _Exporting.provider.shutdown()
        use(None)


def current_traceparent() -> str | None:
    return CURRENT.get()


def trace_id(traceparent: str | None) -> str | None:
    return traceparent[3:35] if traceparent else None


class Opened:
    """A span that is current, here and for libraries, until `end`. Call `end` in the task that opened it."""

    __slots__ = ("_attached", "_current", "span", "traceparent")

    def __init__(self, traceparent: str, span: Span | None) -> None:
        self.traceparent, self.span = traceparent, span
        self._current = CURRENT.set(traceparent)
        # Without this a span of an instrumented library would begin a trace of its own.
        self._attached = None if span is None else context.attach(trace.set_span_in_context(span))

    def end(self) -> None:
        if self.span is not None and self._attached is not None:
            context.detach(self._attached)
            self.span.end()
        CURRENT.reset(self._current)


def begin(name: str, parent: str | None) -> Opened:
    """Open the span of a request below `parent`, or of a new trace if `parent` is None or malformed.

    The caller calls `end` on the result. `span` of the result is None if nothing is recorded.
    """
    return _open(name, parent, SpanKind.SERVER)


@contextmanager
def span(name: str, *, parents: Iterable[str | None] = (), attributes: Attributes | None = None) -> Iterator[None]:
    """Run the block in a span. An exception marks the span as an error and is raised on.

    One distinct parent becomes the span's parent. Several become links. Without any, the current span is the parent.

    with span("react OrderPlaced", parents=[envelope.cause.traceparent for envelope in batch]): ...
    """
    distinct = list(dict.fromkeys(parent for parent in parents if parent))
    parent = distinct[0] if len(distinct) == 1 else None if distinct else CURRENT.get()
    links = distinct[:MAX_LINKS] if len(distinct) > 1 else ()
    opened = _open(name, parent, SpanKind.CONSUMER if distinct else SpanKind.INTERNAL, links, attributes)
    try:
        yield
    except BaseException as error:
        if opened.span is not None:
            opened.span.set_status(StatusCode.ERROR, type(error).__name__)
        raise
    finally:
        opened.end()


def _open(
    name: str,
    parent: str | None,
    kind: SpanKind,
    links: Sequence[str] = (),
    attributes: Attributes | None = None,
) -> Opened:
    tracer = _Exporting.tracer
    if tracer is not None:
        above = trace.set_span_in_context(NonRecordingSpan(_context(parent)))
        linked = [Link(_context(each)) for each in links]
        recorded = tracer.start_span(name, context=above, kind=kind, links=linked, attributes=attributes)
        return Opened(_traceparent(recorded.get_span_context()), recorded)
    if parent is not None and _TRACEPARENT.fullmatch(parent):
        return Opened(f"00-{parent[3:35]}-{_random.getrandbits(64) | 1:016x}-{parent[53:55]}", None)
    return Opened(f"00-{_random.getrandbits(128) | 1:032x}-{_random.getrandbits(64) | 1:016x}-00", None)


def _context(traceparent: str | None) -> SpanContext:
    found = _TRACEPARENT.fullmatch(traceparent or "")
    if found is None:
        return SpanContext(0, 0, is_remote=True)
    return SpanContext(int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=TraceFlags(int(found[3], 16)))


def _traceparent(of: SpanContext) -> str:
    return f"00-{of.trace_id:032x}-{of.span_id:016x}-{int(of.trace_flags):02x}"
