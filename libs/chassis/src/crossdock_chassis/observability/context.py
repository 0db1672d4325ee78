"""The id of the current request, which every log line of the request gets."""

from contextvars import ContextVar
from typing import Final

REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("crossdock_request_id", default=None)
