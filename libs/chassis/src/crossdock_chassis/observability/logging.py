"""Structured logs: one JSON object a line on stderr, also from libraries, without tokens, passwords or bodies."""

import logging
import re
import sys
from collections.abc import MutableMapping
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
            structlog.processors.format_exc_info,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            redact,
            structlog.processors.JSONRenderer(default=str),
        ],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    numeric = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(numeric)
    for noisy in ("uvicorn", "uvicorn.error", "uvicorn.access", "aiokafka", "httpx", "httpcore", "asyncio"):
        logger = logging.getLogger(noisy)
        logger.handlers.clear()
        logger.propagate = noisy != "uvicorn.access"
        logger.setLevel(max(numeric, logging.WARNING))


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
