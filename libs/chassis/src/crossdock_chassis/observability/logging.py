"""Structured logs: one JSON object a line on stdout, also from libraries.

They have no tokens, passwords or bodies, and no values of rows. PostgreSQL quotes whole rows in the detail of an error.
"""

import logging
import re
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from types import TracebackType
from typing import Any, Final

import structlog

from crossdock_chassis.observability import tracing
from crossdock_chassis.observability.context import REQUEST_ID

_SECRET_NAMES: Final = frozenset(
    {"authorization", "token", "access_token", "client_secret", "secret", "password", "cookie", "body", "dsn"}
)
_SECRETS: Final = (
    (re.compile(r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*"), "[token]"),
    (re.compile(r"(\w+://[^\s:/@]+):[^\s@/]+@"), r"\1:***@"),
    (re.compile(r"input_value=.*?, input_type="), "input_value=[hidden], input_type="),
    (re.compile(r"(?i)(bearer|basic)\s+[\w.~+/=-]{8,}"), r"\1 [hidden]"),
)
_VALUES: Final = (
    (re.compile(r"(?:\n|\\n)(?:DETAIL:|\[parameters:).*", re.DOTALL), ""),
    (re.compile(r"(invalid (?:input|byte sequence)[^:]*:).*", re.DOTALL), r"\1 [hidden]"),
)
"""How PostgreSQL, asyncpg and SQLAlchemy write the values of a row or a parameter at the end of a message."""
Line = MutableMapping[str, Any]


def configure(service: str, role: str, level: str = "info") -> None:
    """Configure the standard library's logging, which libraries use too: `log.info("sent", extra={"count": 3})`."""

    def whose(_logger: object, _method: str, line: Line) -> Line:
        line["service"], line["role"] = service, role
        if (request_id := REQUEST_ID.get()) is not None:
            line.setdefault("request_id", request_id)
        if (trace_id := tracing.trace_id(tracing.current_traceparent())) is not None:
            line.setdefault("trace_id", trace_id)
        return line

    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            whose,
            structlog.processors.ExceptionRenderer(_traceback),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            redact,
            structlog.processors.JSONRenderer(default=str),
        ],
    )
    handler = logging.StreamHandler(sys.stderr if role == "openapi" else sys.stdout)  # which prints its description
    handler.setFormatter(formatter)
    handler.addFilter(_without_values)
    numeric = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(numeric)
    for noisy in ("uvicorn", "uvicorn.error", "uvicorn.access", "aiokafka", "httpx", "httpcore", "asyncio"):
        logger = logging.getLogger(noisy)
        logger.handlers.clear()
        logger.propagate = noisy != "uvicorn.access"
        logger.setLevel(max(numeric, logging.WARNING))


def message_of(error: BaseException) -> str:
    """Return the message of an exception without the values of rows and parameters: they can be personal data."""
    text = str(error)
    for pattern, instead in _VALUES:
        text = pattern.sub(instead, text)
    return text


def _without_values(record: logging.LogRecord) -> bool:
    if isinstance(record.args, tuple):
        record.args = tuple(message_of(each) if isinstance(each, BaseException) else each for each in record.args)
    return True


def _traceback(exc_info: tuple[type[BaseException], BaseException, TracebackType | None]) -> str:
    return "".join(_chain(exc_info[1], set())).rstrip("\n")


def _chain(error: BaseException, seen: set[int]) -> Iterator[str]:
    """Yield a traceback as Python prints it, with messages that have no values."""
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _chain(before, seen)
        yield "\nThe next exception was raised because of the one above, or while it was handled:\n\n"
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{type(error).__module__}.{type(error).__qualname__}: {message_of(error)}\n"
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            if id(each) not in seen:
                yield from _chain(each, seen)


def redact(_logger: object, _method: str, line: Line) -> Line:
    for name, value in line.items():
        line[name] = "[hidden]" if name.lower() in _SECRET_NAMES else _clean(value)
    return line


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        for pattern, instead in _SECRETS:
            value = pattern.sub(instead, value)
        return value
    if isinstance(value, dict):
        return {k: "[hidden]" if str(k).lower() in _SECRET_NAMES else _clean(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(each) for each in value]
    return value
