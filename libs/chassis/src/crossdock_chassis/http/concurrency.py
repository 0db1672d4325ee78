"""Limit how many requests of one caller a process handles at once: of a partner, or of an operator.

A rate limit is for an operator to set. This limit always holds, because without it one caller could fill the queues of
commands and the database connections, and all others would get 503. It counts in the process, without a query.
"""

from collections import Counter
from typing import Final

from crossdock_chassis.observability import metrics
from crossdock_chassis.problems import Problem, Refusal

TOO_MANY_AT_ONCE: Final = Problem(
    429,
    "too-many-at-once",
    "Too many requests of this caller are being handled; nothing was done; wait for answers, then retry",
    headers={"Retry-After": "1"},
)


class CallerRequests:
    """The requests that this process handles now, by account and route group. `limit`: the most of one account."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._counts = Counter[tuple[str, str]]()

    def enter(self, account: str, group: str = "", at_once: int | None = None) -> tuple[str, str]:
        """Count a request and return what `leave` needs. Raise Refusal 429 if `at_once` are being handled."""
        most = self.limit if at_once is None else at_once
        key = account, group
        if self._counts[key] >= most:
            metrics.TOO_MANY_AT_ONCE.labels(group or "all").inc()
            raise Refusal(TOO_MANY_AT_ONCE, f"At most {most} at once", extra={"limit": most})
        self._counts[key] += 1
        return key

    def leave(self, key: tuple[str, str]) -> None:
        self._counts[key] -= 1
        if not self._counts[key]:
            del self._counts[key]
