"""Which request this code works for, for whatever it logs."""

from contextvars import ContextVar
from typing import Final

REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("crossdock_request_id", default=None)
